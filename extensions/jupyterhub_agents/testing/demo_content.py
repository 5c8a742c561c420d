"""What the demo model writes into a file when it is asked for one: ready-made, small, and honest about it."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath

_PROGRAMS = {
    "fib": '''"""The first Fibonacci numbers."""


def fibonacci(count):
    """The first `count` Fibonacci numbers, as a list."""
    numbers = [0, 1]
    while len(numbers) < count:
        numbers.append(numbers[-1] + numbers[-2])
    return numbers[:count]


if __name__ == "__main__":
    print(*fibonacci(15))
''',
    "prime": '''"""The prime numbers under 100."""


def is_prime(number):
    """Whether `number` is prime."""
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


if __name__ == "__main__":
    print(*[number for number in range(100) if is_prime(number)])
''',
    "fizz": '''"""FizzBuzz up to 30."""


def fizzbuzz(number):
    """Fizz for threes, Buzz for fives, both for both, else the number."""
    return "Fizz" * (number % 3 == 0) + "Buzz" * (number % 5 == 0) or str(number)


if __name__ == "__main__":
    print(*[fizzbuzz(number) for number in range(1, 31)])
''',
    "factorial": '''"""The first factorials."""


def factorial(number):
    """The product of 1 to `number`."""
    return 1 if number < 2 else number * factorial(number - 1)


if __name__ == "__main__":
    for number in range(1, 11):
        print(f"{number}! = {factorial(number)}")
''',
}


def default_name(words: str) -> str | None:
    """A name for a file that was asked for by its kind alone; None when no kind is named either."""
    low = words.lower()
    subject = topic(words)
    stem = re.sub(r"[^a-z0-9]+", "_", subject.lower()).strip("_")[:30]
    for key in _PROGRAMS:
        if key in low and re.search(r"\b(python|script|program|code|function)\b", low):
            return {"fib": "fibonacci", "prime": "primes", "fizz": "fizzbuzz"}.get(key, key) + ".py"
    if re.search(r"\b(python|script|program)\b", low):
        return "hello.py" if "hello" in low else f"{stem or 'script'}.py"
    if re.search(r"\bnotebook\b", low):
        return f"{stem or 'notebook'}.ipynb"
    if re.search(r"\breadme\b", low):
        return "README.md"
    if re.search(r"\b(notes?|document|markdown|page|report|file)\b", low):
        return f"{stem or 'notes'}.md"
    return None


def topic(words: str) -> str:
    """What a file is to be about, as the prompt says it; "" when it does not."""
    match = re.search(
        r"\b(?:about|on|for|that (?:prints?|says?|shows?|describes?|computes?))\s+(.+)$", words, re.I | re.S
    )
    return match[1].strip(" .\"'`") if match else ""


def given_text(words: str, quoted: list[str]) -> str | None:
    """The content that the prompt itself gives, if it does."""
    if quoted and re.search(r"\b(with|containing|contains|saying|says|text|line|content)\b", words, re.I):
        return quoted[-1]
    match = re.search(
        r"\b(?:with the (?:text|content|line|words)|containing|that contains|saying|that says|which says)\b:?\s+(.+)$",
        words,
        re.I | re.S,
    )
    return match[1].strip() if match else None


def content(path: str, words: str, quoted: list[str]) -> str:
    """The content of a new file."""
    if (text := given_text(words, quoted)) is not None and not path.endswith(".py"):
        return text.replace("\\n", "\n").rstrip("\n") + "\n"
    suffix = PurePosixPath(path).suffix
    stem = PurePosixPath(path).stem
    subject = topic(words) or stem.replace("_", " ").replace("-", " ")
    title = subject[:1].upper() + subject[1:]
    match suffix:
        case ".py":
            return _program(stem, words, quoted)
        case ".sh":
            return f'#!/bin/sh\n# {title}\necho "{_plain(subject)}"\n'
        case ".json":
            return json.dumps({"title": title, "items": []}, indent=2) + "\n"
        case ".csv":
            return "name,value\nfirst,1\nsecond,2\nthird,3\n"
        case ".html":
            return f"<!doctype html>\n<title>{_plain(title)}</title>\n<h1>{_plain(title)}</h1>\n"
        case ".ipynb":
            return _notebook(title)
        case ".md":
            return (
                f"# {title}\n\n- What it is:\n- Why it matters:\n- What to do next:\n\n"
                "(An outline by the demo model, which knows nothing of the subject.)\n"
            )
        case _:
            return f"{title}\n"


def _program(stem: str, words: str, quoted: list[str]) -> str:
    printed = quoted[-1] if quoted else ""
    if not printed and (match := re.search(r"\bprints?\s+(?:out\s+)?(.+)$", words, re.I | re.S)):
        printed = match[1].strip(" .")
    low = f"{stem} {words}".lower()
    if not quoted:
        for key, program in _PROGRAMS.items():
            if key in low:
                return program
    if not printed or printed.lower() in ("hello", "hello world", "hello, world"):
        printed = "Hello, world!"
    return (
        f'"""{_plain(topic(words) or stem)[:60].capitalize()}."""\n\nprint({json.dumps(printed, ensure_ascii=False)})\n'
    )


def _notebook(title: str) -> str:
    cells = [
        {"cell_type": "markdown", "id": "title", "metadata": {}, "source": [f"# {title}"]},
        {
            "cell_type": "code", "id": "first", "metadata": {}, "execution_count": None, "outputs": [],
            "source": ["sum(range(10))"],
        },
    ]  # fmt: skip
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def _plain(text: str) -> str:
    return re.sub(r"[\"'`\\$<>&]", "", text)
