"""The files below a folder where other programs are at work, so that some may go while a test looks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def contents_below(folder: Path, ending: str = "") -> Iterator[tuple[Path, bytes]]:
    """Each file whose name ends so, links aside, with what is in it."""
    for place, _, names in os.walk(folder):  # which passes over a folder that has gone, unlike Path.rglob
        for name in names:
            path = Path(place, name)
            if name.endswith(ending) and path.is_file() and not path.is_symlink():
                with suppress(FileNotFoundError):
                    yield path, path.read_bytes()


def is_in_transcript(home: Path, session_id: str, text: str) -> bool:
    """Whether Claude Code, which takes its time, has written `text` into the session's transcript."""
    projects = home / ".claude" / "projects"
    return any(text.encode() in content for _, content in contents_below(projects, f"{session_id}.jsonl"))
