"""The task that keeps agents and files in step while the server runs: when something says it changed, and now and then.

The system tells of changes in the folder (`watchfiles`, by inotify on Linux). It does not tell of those that another
machine makes in a shared home, nor the store of those that another process makes: these are found by looking, at the
files every POLL_S seconds and at the agents every STORE_POLL_S.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from pathlib import Path

from watchfiles import Change, awatch

from ...errors import AgentsError
from ...store import AgentStore
from .folder import Folder, Unreadable
from .ledger import Ledger
from .sync import FileProblem, InStep

log = logging.getLogger(__name__)

POLL_S = 15.0
STORE_POLL_S = 300.0
RETRY_S = 5.0
ARMING_S = 1.0
"""Seconds within which the system surely watches. What changed before is found by one more look then."""
STEP_MS = 200
"""How often `watchfiles` asks whether the system told it anything."""
GATHER_MS = 400
"""Changes that follow each other are told together, but no longer than this after the first."""
STOP_S = 10.0


class SubagentFiles:
    """Keeps the agents of `owner` in step with the files in `folder`; `state` is where the ledger is."""

    def __init__(self, store: AgentStore, *, owner: str, folder: Path, state: Path) -> None:
        ledger = Ledger(state / "subagent-files.json", folder=folder, owner=owner)
        self._sync = InStep(store, owner, Folder(folder), ledger)
        self._woken = asyncio.Event()
        self._unarm = asyncio.Event()
        self._armed: dict[Path, tuple[int, int]] = {}
        self._arming = False
        self._store_changed = True
        self._stopping = False
        self._began = False
        self._trouble = ""
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def problems(self) -> list[FileProblem]:
        """Files that are not taken as agents now."""
        return self._sync.problems

    def changed(self) -> None:
        """The agents in the store changed."""
        self._store_changed = True
        self._woken.set()

    def start(self) -> None:
        """Begin; the store is open."""
        self._tasks = [
            asyncio.create_task(self._keep(), name="keep agents and subagent files in step"),
            asyncio.create_task(self._watch(), name="watch the subagent files"),
        ]

    async def stop(self) -> None:
        """Finish what was begun, and end."""
        self._stopping = True
        self._woken.set()
        self._unarm.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _keep(self) -> None:
        store_looked = float("-inf")
        while not self._stopping:
            self._woken.clear()
            store_due = self._store_changed or time.monotonic() - store_looked >= STORE_POLL_S
            self._store_changed = False
            wait_s: float | None = None
            try:
                if not self._began:
                    await self._sync.begin()
                    self._began = True
                wait_s = await self._sync.look(store_changed=store_due)
                if self._armed != self._sync.folders:
                    self._unarm.set()
                if store_due:
                    store_looked = time.monotonic()
                self._trouble = ""
            except (AgentsError, OSError, Unreadable) as error:
                self._store_changed = True
                wait_s = RETRY_S
                if self._trouble != type(error).__name__:
                    self._trouble = type(error).__name__
                    log.warning("agents and subagent files are not kept in step: %s", self._trouble)
            except Exception:  # one look's trouble is not the end of all
                self._store_changed = True
                wait_s = POLL_S
                log.exception("agents and subagent files were not brought in step")
            limits = [POLL_S, *([wait_s] if wait_s is not None else []), *([ARMING_S] if self._arming else [])]
            self._arming = False
            with suppress(TimeoutError):
                async with asyncio.timeout(min(limits)):
                    await self._woken.wait()

    async def _watch(self) -> None:
        while not self._stopping:
            self._unarm.clear()
            self._armed = dict(self._sync.folders)
            try:
                if self._armed:
                    self._arming = True
                    self._woken.set()
                    async for _ in awatch(
                        *self._armed, watch_filter=_counts, recursive=False, step=STEP_MS, debounce=GATHER_MS,
                        stop_event=self._unarm, ignore_permission_denied=True,
                    ):  # fmt: skip
                        self._woken.set()
            except (OSError, RuntimeError) as error:
                # The system has a limit of watches; then looking now and then has to do.
                log.warning("subagent files cannot be watched (%s): changes are found within %g s", error, POLL_S)
            if not self._unarm.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(STORE_POLL_S):
                        await self._unarm.wait()


def _counts(_: Change, path: str) -> bool:
    """Editors' hidden copies and our own do not."""
    return not Path(path).name.startswith(".")
