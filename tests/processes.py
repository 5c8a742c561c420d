"""The processes that a test started."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import psutil


class Family:
    """The processes that a test started: those under this one that were not there before it, and what is under them."""

    def __init__(self) -> None:
        self._before = {child.pid for child in psutil.Process().children()}

    def __call__(self) -> list[psutil.Process]:
        mine = [child for child in psutil.Process().children() if child.pid not in self._before]
        return [process for child in mine for process in (child, *_under(child))]

    def commands(self) -> list[str]:
        return commands(self())


def commands(processes: Iterable[psutil.Process]) -> list[str]:
    """Their command lines, as anybody on the machine can read them."""
    found = []
    for process in processes:
        # One that is ending has none any more.
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(" ".join(process.cmdline()))
    return found


def environment_of(process: psutil.Process) -> dict[str, str]:
    """Of one that has ended meanwhile: nothing."""
    try:
        return process.environ()
    except psutil.Error:
        return {}


def _under(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
