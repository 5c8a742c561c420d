"""How the demo model understands a prompt: simple English, one task a clause.

parse('Write fib.py and run it.') == [Task("write", "Write fib.py"), Task("run", "run it")]
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_PROMPT = 800
"""Characters; what is longer is no simple prompt."""
MAX_TASKS = 8

_VERBS = {
    "list": "list", "ls": "list",
    "show": "show", "read": "show", "open": "show", "print": "show", "display": "show", "cat": "show",
    "write": "write", "create": "write", "make": "write", "save": "write", "generate": "write",
    "replace": "replace", "change": "replace", "rename": "replace", "substitute": "replace", "edit": "replace",
    "add": "add", "append": "add",
    "run": "run", "execute": "run", "start": "run", "call": "run",
    "count": "count", "summarise": "count", "summarize": "count", "describe": "count", "explain": "count",
    "review": "review", "check": "review", "inspect": "review",
    "find": "find", "search": "find", "grep": "find", "look": "find",
}  # fmt: skip
_QUESTIONS = (
    (re.compile(r"^(what|which) files\b|^what is (here|in (this|the) (folder|directory))"), "list"),
    (re.compile(r"^how (many|much|big|large|long)\b"), "count"),
    (re.compile(r"^tell me about\b|^give me an? (overview|summary)\b"), "count"),
    (re.compile(r"^what(?: does|.s| is| do)\b.*\.\w+"), "show"),
    (re.compile(r"^(what time|what day|what date|what is the (time|date)|where am i|who am i)\b"), "run"),
)
_POLITENESS = re.compile(
    r"^(?:please|now|first|then|next|finally|also|and|so|ok|okay|hi|hello|hey|"
    r"(?:can|could|would|will) you|i(?:'d| would) like you to|i want you to|let's|"
    r"after that|afterwards|\d+[.)]|[-*])[,:!]?\s+",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|“[^”]*”|(?<!\w)'[^']*'(?!\w)")
_BOUNDARY = re.compile(
    r"[.!?;](?=\s|$)|\n|,?\s+(?:and\s+)?then\s+|,?\s+and\s+(?:please\s+)?(?=(?:" + "|".join(_VERBS) + r")\b)|"
    r",\s+(?=(?:" + "|".join(_VERBS) + r")\b)",
    re.IGNORECASE,
)
_PATH = re.compile(r"(?<![\w/.])((?:~|\.{1,2})?/?(?:[\w@+-][\w.@+-]*/)*[\w@+-][\w@+.-]*\.[A-Za-z][A-Za-z0-9]{0,7})\b")
_FOLDERS = (
    re.compile(r"\b(?:folder|directory)\s+`?([\w./@+-]+)", re.IGNORECASE),
    re.compile(r"([\w./@+-]+)`?\s+(?:folder|directory)\b", re.IGNORECASE),
    re.compile(r"\b(?:in|of|under|inside|from)\s+(?:the\s+)?`?([\w.@+-]*/[\w./@+-]*)", re.IGNORECASE),
)
_NO_FOLDERS = ("", "this", "the", "my", "a", "current", "here", "and", "is", "has")
_SMALL_TALK = re.compile(
    r"\d+|hi|hello|hey|thanks?|thank you|please|ok(?:ay)?|good (?:morning|day|evening)", re.IGNORECASE
)


@dataclass(frozen=True)
class Task:
    """One thing to do: the skill it takes, and the words that ask for it."""

    skill: str
    words: str

    @property
    def path(self) -> str | None:
        """The file that is named, if any."""
        found = [match for match in _PATH.findall(_unquoted_code(self.words)) if not _is_prose(match)]
        return found[-1] if found else None

    @property
    def folder(self) -> str:
        """The folder that is named; "." when none is."""
        for pattern in _FOLDERS:
            match = pattern.search(self.words)
            if match and (named := match[1].rstrip("/.")).lower() not in _NO_FOLDERS:
                return named
        return "."

    @property
    def quoted(self) -> list[str]:
        """The texts in quotes or backquotes."""
        return [match[1:-1] for match in _QUOTED.findall(self.words)]

    @property
    def refers_back(self) -> bool:
        """It says "it" or "that file" instead of a name."""
        return re.search(r"\b(it|its|them|that file|this file|the file|the result)\b", self.words, re.I) is not None


def parse(prompt: str) -> tuple[list[Task], list[str]]:
    """The tasks of a prompt in their order, and the clauses that were not understood."""
    tasks: list[Task] = []
    strange: list[str] = []
    for clause in _clauses(prompt):
        if skill := _skill(clause):
            tasks.append(Task(skill, clause))
        elif not _SMALL_TALK.fullmatch(clause):
            strange.append(clause)
    return tasks[:MAX_TASKS], strange


def _clauses(prompt: str) -> list[str]:
    """The prompt cut at the ends of sentences and before the next verb, but never within quotes."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\0{len(kept) - 1}\0"

    hidden = _QUOTED.sub(keep, prompt.strip())
    clauses = []
    for part in _BOUNDARY.split(hidden):
        clause = part.strip(" \t,:")
        while (shorter := _POLITENESS.sub("", clause)) != clause:
            clause = shorter
        clauses.append(re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], clause))
    return [clause for clause in clauses if clause]


def _skill(clause: str) -> str | None:
    low = clause.lower()
    for pattern, asked in _QUESTIONS:
        if pattern.search(low):
            return asked
    verb = re.match(r"[a-z]+", low)
    skill = _VERBS.get(verb[0]) if verb else None
    if in_file := re.match(r"in\s+\S+,?\s+([a-z]+)\b", low):
        skill = _VERBS.get(in_file[1])
    if skill == "show" and not _PATH.search(clause) and re.search(r"\b(files|folder|directory)\b", low):
        return "list"
    if skill == "count" and low.startswith(("explain", "describe")) and not _PATH.search(clause):
        return "count" if re.search(r"\b(files?|folder|directory|project|it|here)\b", low) else None
    return skill


def _unquoted_code(words: str) -> str:
    return words.replace("`", " ").replace('"', " ").replace("'", " ")


def _is_prose(path: str) -> bool:
    name = path.lower()
    return name in ("e.g", "i.e", "node.js") or ("/" not in name and name.endswith((".com", ".org")))
