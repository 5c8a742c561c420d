"""What the demo model can do: each skill is a generator that yields tool calls, gets their results, and returns
what it found.

Nothing is remembered between two requests. A request carries the results of all calls so far, so the skills are
run again from the start with these, and what they ask for next is the reply.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from . import demo_content
from .conversation import ToolResult
from .demo_language import Task

MAX_SHOWN = 30
"""Lines of a file or an output that an answer quotes."""
READ_LINES = READ_COLUMNS = 2000
"""Where the Read tool cuts (its own description)."""


@dataclass(frozen=True)
class Call:
    """A tool call, and the sentence said before it."""

    says: str
    tool: str
    input: dict[str, Any]
    may_fail: bool = False
    """An error is the skill's to deal with; otherwise it ends the work."""


class GaveUp(Exception):
    """The work cannot go on; the text says why."""


Work = Generator[Call, ToolResult, str]


@dataclass
class Desk:
    """What a skill has before it: the folder, the tools on offer, and the file last worked on."""

    directory: str
    tools: frozenset[str]
    file: str | None = None

    def absolute(self, path: str) -> str:
        return str(PurePosixPath(self.directory) / path)

    def path_of(self, task: Task) -> str:
        """The file that a task means. Raises GaveUp."""
        path = task.path or self.file
        if path is None:
            raise GaveUp(f"I do not know which file is meant by “{task.words}”: please name it, such as notes.md.")
        self.file = path
        return path


def list_files(task: Task, desk: Desk) -> Work:
    folder = task.folder
    where = "here" if folder == "." else f"in `{folder}`"
    if "Bash" not in desk.tools and "Glob" in desk.tools:
        found = yield Call(f"I look at the files {where}.", "Glob", {"pattern": f"{folder}/*"})
        names = found.text.splitlines()
    else:
        found = yield _shell(f"I look at the files {where}.", f"ls -1Ap -- {shlex.quote(folder)}", "List files")
        names = [name for name in found.text.splitlines() if name and not name.startswith("(Bash completed")]
    if not names:
        return f"There are no files {where}."
    shown = ", ".join(f"`{name}`" for name in names[:MAX_SHOWN])
    more = f", and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return f"{_count(names, 'entry', 'entries')} {where}: {shown}{more}."


def show(task: Task, desk: Desk) -> Work:
    path = desk.path_of(task)
    text = yield from _read(f"I read `{path}`.", path, desk)
    return f"`{path}` has {_count(text.splitlines(), 'line')}:\n\n{_quote(text)}"


def write(task: Task, desk: Desk) -> Work:
    path = task.path or demo_content.default_name(task.words) or (desk.file if task.refers_back else None)
    if path is None:
        raise GaveUp(f"I do not know what file to write for “{task.words}”: please name it, such as notes.md.")
    desk.file = path
    text = demo_content.content(path, task.words, task.quoted)
    yield _write(f"I write `{path}`.", path, text, desk)
    return f"I wrote `{path}` ({_count(text.splitlines(), 'line')})."


def replace(task: Task, desk: Desk) -> Work:
    path = desk.path_of(task)
    if len(task.quoted) >= 2:
        old, new = task.quoted[:2]
    elif match := re.search(
        r"\b(?:replace|change|rename|substitute)\s+(?:the\s+(?:word|text|line)\s+)?(.+?)\s+(?:with|to|by|into)\s+"
        r"(.+?)(?:\s+in\s+(?:the\s+file\s+)?\S+)?$",
        task.words,
        re.IGNORECASE | re.DOTALL,
    ):
        old, new = (part.strip("\"'`“”") for part in match.groups())
    else:
        raise GaveUp(f'I do not see what to change in `{path}`. Please say: replace "this" with "that" in {path}.')
    text = yield from _read_whole(f"I read `{path}` first.", path, desk)
    forms = [old] if old in text else sorted(set(re.findall(re.escape(old), text, re.IGNORECASE)))
    if not forms:
        raise GaveUp(f"There is no “{old}” in `{path}`, so I changed nothing.")
    number = 0
    for form in forms:
        put = new[:1].upper() + new[1:] if form[:1].isupper() and not old[:1].isupper() else new
        times = text.count(form)
        yield Call(
            f"“{form}” is there {_times(times)}; I replace it.", "Edit",
            {"file_path": desk.absolute(path), "old_string": form, "new_string": put, "replace_all": times > 1},
        )  # fmt: skip
        text = text.replace(form, put)
        number += times
    return f"I replaced “{old}” with “{new}” in `{path}` ({_times(number)})."


def add(task: Task, desk: Desk) -> Work:
    path = desk.path_of(task)
    match = re.search(
        r"\b(?:add|append)\s+(?:(?:a|the|another)\s+)?(?:(?:line|text|sentence|note|item)\b:?\s*)?"
        r"(?:(?:that says|saying)\s+)?(.+?)\s+(?:to|into|in|at the end of)\s+\S*$",
        task.words.strip(),
        re.IGNORECASE | re.DOTALL,
    )
    line = task.quoted[0] if task.quoted else match[1].strip() if match else ""
    if not line:
        raise GaveUp(f'I do not see what to add to `{path}`. Please say: add the line "this" to {path}.')
    text = yield from _read_whole(f"I read `{path}` first.", path, desk)
    ending = "" if not text or text.endswith("\n") else "\n"
    longer = f"{text}{ending}{line}\n"
    yield _write(f"I add the line to `{path}`.", path, longer, desk)
    return f"I added “{line}” to `{path}`, which now has {_count(longer.splitlines(), 'line')}."


def run(task: Task, desk: Desk) -> Work:
    command = _command(task, desk)
    done = yield Call(
        f"I run `{command}`.", "Bash", {"command": command, "description": f"Run {command}"[:80]}, may_fail=True
    )  # fmt: skip
    if done.is_error:
        raise GaveUp(f"`{command}` did not work:\n\n{_quote(done.text)}")
    if not done.text or done.text.startswith("(Bash completed"):
        return f"`{command}` ran well and printed nothing."
    return f"`{command}` printed:\n\n{_quote(done.text)}"


def count(task: Task, desk: Desk) -> Work:
    if task.path or (task.refers_back and desk.file):
        path = desk.path_of(task)
        text = yield from _read(f"I read `{path}`.", path, desk)
        return _summary_of_file(path, text)
    folder = task.folder
    where = "here" if folder == "." else f"in `{folder}`"
    found = yield _shell(
        f"I count the files and their lines {where}.",
        f"find {shlex.quote(folder)} -type f -not -path '*/.*' -exec wc -lc {{}} + | head -n 2000",
        "Count files and lines",
    )
    rows = re.findall(r"^\s*(\d+)\s+(\d+)\s+(.+)$", found.text, re.MULTILINE)
    files = [(int(lines), int(size), name.removeprefix("./")) for lines, size, name in rows if name != "total"]
    if not files:
        return f"There are no files {where}."
    kinds = Counter(PurePosixPath(name).suffix or "no suffix" for _, _, name in files)
    largest = max(files, key=lambda row: row[1])
    return (
        f"{_count(files, 'file')} {where}, {sum(row[0] for row in files)} lines and "
        f"{sum(row[1] for row in files)} bytes in all. By kind: "
        + ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(6))
        + f". The largest is `{largest[2]}` with {largest[1]} bytes."
    )


def review(task: Task, desk: Desk) -> Work:
    paths = [task.path or desk.file] if task.path or (task.refers_back and desk.file) else []
    if not paths:
        find = f"find {shlex.quote(task.folder)} -name '*.py' -type f -not -path '*/.*' | sort | head -n 3"
        found = yield _shell("I look for Python files.", find, "Find Python files")
        paths = [line.removeprefix("./") for line in found.text.splitlines() if line.endswith(".py")]
        if not paths:
            return "There is no Python file here to review."
    reviews = []
    for path in filter(None, paths):
        desk.file = path
        text = yield from _read(f"I read `{path}` to review it.", path, desk)
        reviews.append(_review(path, text) if path.endswith(".py") else _summary_of_file(path, text))
    return "\n\n".join(reviews)


def find(task: Task, desk: Desk) -> Work:
    match = re.search(
        r"\b(?:find|search(?:\s+for)?|grep(?:\s+for)?|look\s+for)\s+(?:all\s+|every\s+|the\s+(?:word|text)\s+)?(\S+)",
        task.words,
        re.IGNORECASE,
    )
    wanted = task.quoted[0] if task.quoted else match[1].strip(".,") if match else ""
    wanted = "TODO" if wanted.lower() in ("todo", "todos") else wanted
    if not wanted:
        raise GaveUp('I do not see what to look for. Please say: find "text" here.')
    command = (
        f"grep -rnI --exclude-dir='.*' -- {shlex.quote(wanted)} {shlex.quote(task.path or task.folder)} | head -n 50"
    )
    found = yield _shell(f"I look for “{wanted}”.", command, "Search the files")
    lines = [line for line in found.text.splitlines() if ":" in line]
    if not lines:
        return f"I found no “{wanted}”."
    return f"“{wanted}” is in {_count(lines, 'line')}:\n\n{_quote(chr(10).join(lines))}"


SKILLS: dict[str, Callable[[Task, Desk], Work]] = {
    "list": list_files, "show": show, "write": write, "replace": replace, "add": add,
    "run": run, "count": count, "review": review, "find": find,
}  # fmt: skip


def _shell(says: str, command: str, description: str) -> Call:
    return Call(says, "Bash", {"command": command, "description": description})


def _read(says: str, path: str, desk: Desk) -> Generator[Call, ToolResult, str]:
    """The text of a file. The Read tool gives it with numbered lines."""
    found = yield Call(says, "Read", {"file_path": desk.absolute(path)})
    numbered = re.findall(r"^[ \t]*\d+(?:\t|→)(.*)$", found.text, re.MULTILINE)
    return "\n".join(numbered) if numbered else found.text


def _read_whole(says: str, path: str, desk: Desk) -> Generator[Call, ToolResult, str]:
    """The text of a file that is to be changed. Raises GaveUp for one that Read may have cut short."""
    text = yield from _read(says, path, desk)
    lines = text.splitlines()
    if path.endswith(".ipynb") or len(lines) >= READ_LINES or max(map(len, lines), default=0) >= READ_COLUMNS:
        raise GaveUp(f"`{path}` is too long, or not plain text: I leave it alone.")
    return text


def _write(says: str, path: str, text: str, desk: Desk) -> Call:
    return Call(says, "Write", {"file_path": desk.absolute(path), "content": text})


_CLOCK = re.compile(r"what (time|day|date)|what is the (time|date)", re.IGNORECASE)


def _command(task: Task, desk: Desk) -> str:
    """The command that a task means. Raises GaveUp."""
    words = re.sub(r"^(?:run|execute|start|call)\s+", "", task.words, flags=re.IGNORECASE)
    words = re.sub(r"^(?:the\s+)?(?:shell\s+)?command:?\s+", "", words, flags=re.IGNORECASE).strip()
    if _CLOCK.match(words):
        return "date"
    if words.lower().startswith(("where am i", "who am i")):
        return "pwd" if words.lower().startswith("where") else "whoami"
    if "`" in words and task.quoted:
        return task.quoted[0]
    if re.match(r"(?:all\s+|the\s+|my\s+)*(?:unit\s+)?tests?\b", words, re.IGNORECASE):
        return "python3 -m pytest -q"
    if re.match(r"(?:it|this|that|the (?:file|script|program)|the result)\b", words, re.IGNORECASE) and desk.file:
        return _runner(desk.file)
    named = r"(?:the\s+)?(?:(?:file|script|program)\s+)?\S+(?:\s+(?:with|using|in)\s.*)?"
    if task.path and re.fullmatch(named, words, re.IGNORECASE):
        desk.file = task.path
        return _runner(task.path)
    if task.path:
        desk.file = task.path
    if re.match(r"[a-z0-9_./~-]+(\s|$)", words) and not re.match(r"(?:the|a|an|my|some|it)\b", words):
        return words
    raise GaveUp(f"I do not know what to run for “{task.words}”. Please say: run `command`.")


def _runner(path: str) -> str:
    program = {".py": "python3", ".sh": "sh", ".js": "node"}.get(PurePosixPath(path).suffix)
    return f"{program} {shlex.quote(path)}" if program else f"./{shlex.quote(path)}"


def _summary_of_file(path: str, text: str) -> str:
    lines = text.splitlines()
    headings = [line.lstrip("# ").strip() for line in lines if line.startswith("#") and path.endswith(".md")]
    parts = [f"`{path}` has {_count(lines, 'line')}, {len(text.split())} words and {len(text)} characters."]
    if headings:
        parts.append("Its headings: " + ", ".join(f"“{heading}”" for heading in headings[:8]) + ".")
    elif first := next((line.strip() for line in lines if line.strip()), ""):
        parts.append(f"It begins: “{first[:120]}”.")
    return " ".join(parts)


def _review(path: str, text: str) -> str:
    """Facts about a Python file, computed from its text."""
    lines = text.splitlines()
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return f"`{path}` ({_count(lines, 'line')}) is not valid Python: {error.msg}, line {error.lineno}."
    nodes = list(ast.walk(tree))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    notes = []
    if bare := [node.name for node in [*functions, *classes] if not ast.get_docstring(node)]:
        notes.append("no docstring: " + ", ".join(f"`{name}`" for name in bare[:6]))
    notes += [f"line {node.lineno}: a bare `except` hides every error"
              for node in nodes if isinstance(node, ast.ExceptHandler) and node.type is None]  # fmt: skip
    for number, line in enumerate(lines, 1):
        if re.search(r"\b(TODO|FIXME)\b", line):
            notes.append(f"line {number}: {line.strip()[:100]}")
        if len(line) > 110:
            notes.append(f"line {number}: {len(line)} characters long")
    found = "".join(f"\n- {note}" for note in notes[:10]) if notes else " Nothing to remark."
    return (
        f"Review of `{path}`: {_count(lines, 'line')}, {_count(functions, 'function')}, "
        f"{_count(classes, 'class', 'classes')}.{found}"
    )


def _quote(text: str) -> str:
    lines = text.rstrip("\n").splitlines()
    more = f"\n... ({len(lines) - MAX_SHOWN} more lines)" if len(lines) > MAX_SHOWN else ""
    fence = "````" if "```" in text else "```"
    return f"{fence}\n" + "\n".join(lines[:MAX_SHOWN]) + f"{more}\n{fence}"


def _count(things: Any, one: str, many: str | None = None) -> str:
    number = len(things)
    return f"{number} {one if number == 1 else many or one + 's'}"


def _times(number: int) -> str:
    return f"{number} time{'' if number == 1 else 's'}"
