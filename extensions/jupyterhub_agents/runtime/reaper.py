"""A small parent for one program: when it ends, or its own parent does, nothing under it is left.

    python -IS reaper.py PROGRAM [ARGUMENT...]

Runs PROGRAM with the same standard streams and answers with its exit status. However it ends (the program
by itself, SIGTERM or SIGHUP to the reaper, death of the reaper's parent even by kill -9), every process that
came of the program is killed, also those that made themselves daemons or moved to a session of their own:
the reaper is their subreaper (PR_SET_CHILD_SUBREAPER, prctl(2)), so they stay in its tree.

It uses the standard library alone and imports little, because it starts with each run. Environment:

JUPYTERHUB_AGENTS_REAPER_PARENT  the process it must not outlive (default: whatever its parent is)
JUPYTERHUB_AGENTS_REAPER_GRACE   seconds between SIGTERM to the program and SIGKILL to all (default 1)
JUPYTERHUB_AGENTS_REAPER_DROP    names of variables, by spaces, that PROGRAM must not see

The program sees none of these three. Where there is no prctl (macOS) the parent is looked after by polling,
and a daemon that left the process group escapes.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

PREFIX = "JUPYTERHUB_AGENTS_REAPER_"
POLL_S = 1.0
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> bool:
    """prctl(2); False where the system has none."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    return int(ctypes.CDLL(None).prctl(option, value, 0, 0, 0)) == 0


def parents() -> dict[int, int]:
    """Every process's parent, by process id. Empty where there is no /proc."""
    found = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else ():  # noqa: PTH112, PTH208 - start-up time
        if entry.isdigit():
            with suppress(OSError, ValueError, IndexError), open(f"/proc/{entry}/stat", "rb") as stat:  # noqa: PTH123
                # The name, in parentheses, may hold anything: the fields begin after the last one.
                found[int(entry)] = int(stat.read().rpartition(b")")[2].split()[1])
    return found


def descendants(root: int) -> list[int]:
    """The processes under `root`, children before their own children."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    todo = [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


class Reaper:
    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.parent = int(os.environ.get(PREFIX + "PARENT") or os.getppid())
        self.grace = float(os.environ.get(PREFIX + "GRACE") or 1)
        self.child = 0
        self.status: int | None = None
        self.stopping = False

    def run(self) -> int:
        wake, wake_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) if hasattr(os, "pipe2") else os.pipe()
        os.set_blocking(wake_end, False)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if self.orphaned():
            return 1
        self.child = self.start()
        self.let_go_of_streams()
        deadline = None
        while self.status is None:
            if self.stopping and deadline is None:
                deadline = time.monotonic() + self.grace
                self.signal_program(signal.SIGTERM)
            if deadline is not None and time.monotonic() >= deadline:
                break
            wait = POLL_S if deadline is None else max(0.0, deadline - time.monotonic())
            if select.select([wake], [], [], wait)[0]:
                with suppress(OSError):
                    os.read(wake, 512)
            self.collect()
            self.stopping = self.stopping or self.orphaned()
        self.kill_all()
        return 128 + signal.SIGKILL if self.status is None else self.status

    def stop(self, *_: object) -> None:
        self.stopping = True

    def orphaned(self) -> bool:
        return os.getppid() != self.parent

    def start(self) -> int:
        reaper = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        try:
            os.setsid()  # a Ctrl-C in the terminal is for the server, which decides what becomes of its runs
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != reaper:
                os._exit(1)
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            dropped = os.environ.get(PREFIX + "DROP", "").split()
            environment = {
                name: value for name, value in os.environ.items() if not name.startswith(PREFIX) and name not in dropped
            }
            os.execvpe(self.command[0], self.command, environment)  # noqa: S606 - the caller's program, no shell
        except OSError as error:
            os.write(2, f"{self.command[0]}: {error.strerror}\n".encode())
        finally:
            os._exit(127)

    def let_go_of_streams(self) -> None:
        """The program alone holds the streams, so that its end is seen at their other end."""
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1):
            os.dup2(nothing, stream)

    def signal_program(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child, number)

    def collect(self) -> None:
        """Take the exit status of whatever has ended below."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.child:
                    code = os.waitstatus_to_exitcode(status)
                    self.status = code if code >= 0 else 128 - code

    def kill_all(self) -> None:
        """Kill until nothing is left. What forks meanwhile is found in the next round, because a process
        whose parent was killed becomes the reaper's own child."""
        deadline = time.monotonic() + 5
        self.signal_program(signal.SIGKILL)
        while time.monotonic() < deadline:
            for pid in descendants(os.getpid()):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return
            time.sleep(0.005)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: {Path(sys.argv[0]).name} PROGRAM [ARGUMENT...]")
    sys.exit(Reaper(sys.argv[1:]).run())
