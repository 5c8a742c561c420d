"""Processes that must not outlive the hub: told apart, reaped and stopped."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterable

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
"""Of <linux/prctl.h>; see prctl(2)."""

GRACE_S = 2.0
"""Seconds from SIGTERM to SIGKILL for what the hub itself did not stop."""


def _prctl(option: int, value: int) -> None:
    """prctl(2) where there is one; other systems do without."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that none is lost from sight. Linux only."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """Have this process get SIGTERM when its parent ends, however that happens. Linux only. For a new child,
    before exec."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def reap_orphans(keep: int) -> None:
    """Take note of ended children, so that they leave the process table; not of the child `keep`, whose owner
    waits for it."""
    if not hasattr(os, "waitid"):  # without adopt_orphans there are none
        return
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == keep:
            return
        os.waitpid(ended.si_pid, 0)


def descendants() -> set[psutil.Process]:
    """All that this process started, directly or not."""
    return set(psutil.Process().children(recursive=True))


def marked(variable: str, value: str) -> set[psutil.Process]:
    """The processes whose environment says `variable=value`, without this one and those it runs under."""
    found = set()
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable) == value:
                found.add(process)
        except psutil.Error:  # another account's, or gone already
            continue
    me = psutil.Process()
    return found - {me, *me.parents()}


def stop(processes: Iterable[psutil.Process]) -> None:
    """End `processes`: SIGTERM, then SIGKILL for what is left after GRACE_S."""
    alive = list(processes)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for process in alive:
            try:
                process.send_signal(sign)
            except psutil.Error:
                continue
        alive = psutil.wait_procs(alive, timeout=GRACE_S)[1]
