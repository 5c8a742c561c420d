"""What the handlers work with: one person's store and runs, opened when they can be."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path

from ..errors import AgentsError, StoreUnavailable
from ..runtime.manager import RunManager
from ..store import AgentStore
from ..store.replicated import ReplicatedStore
from .subagent_files import SubagentFiles

log = logging.getLogger(__name__)


class Workspace:
    """The store and the runs of `owner`. A store that cannot be opened is tried again with the next request."""

    def __init__(
        self, store: AgentStore, make_manager: Callable[[], RunManager], *, owner: str, state: Path,
        files: SubagentFiles | None = None,
    ) -> None:  # fmt: skip
        self.owner = owner
        self._store = store
        self._make_manager = make_manager
        self._state = state
        self.files = files
        self._manager: RunManager | None = None
        self._opening = asyncio.Lock()
        self._lock_fd: int | None = None
        self.replicated: ReplicatedStore | None = None
        """The store, when it is the hub's service that has everything in the end."""
        self._closed = False
        self.opened = asyncio.Event()

    async def open(self) -> None:
        """Open the store and take care of runs that were left. Raises StoreUnavailable."""
        async with self._opening:
            if self._manager is not None:
                return
            if self._closed:
                raise StoreUnavailable("This workspace is being stopped. Start it again, then try again.")
            alone = await asyncio.to_thread(self._be_the_only_one)
            await self._store.open()
            manager = self._make_manager()
            if alone:
                # Each is told of in the log as a run that ended.
                await manager.start_up()
                if self.files is not None:
                    self.files.start()
            else:
                log.warning("another server works in this home: runs that it left unfinished stay as they are")
            self._manager = manager
            self.opened.set()

    async def ready(self) -> RunManager:
        """The manager of the runs. Raises StoreUnavailable."""
        if self._manager is None:
            await self.open()
        assert self._manager is not None  # noqa: S101 - open() sets it or raises
        return self._manager

    @property
    def is_first(self) -> bool:
        """Whether this is the first server of the home: it alone speaks for what the home has one of."""
        return self._lock_fd is not None

    @property
    def manager(self) -> RunManager | None:
        """The manager of the runs, when the store is open."""
        return self._manager

    async def store(self) -> AgentStore:
        """The open store. Raises StoreUnavailable."""
        await self.ready()
        return self._store

    async def close(self) -> None:
        """Stop all runs and close the store."""
        self._closed = True
        async with self._opening:
            if self.files is not None:
                await self.files.stop()
            if self._manager is not None:
                await self._manager.shut_down()
            await self._store.close()
            if self._lock_fd is not None:
                os.close(self._lock_fd)
                self._lock_fd = None

    async def notes(self) -> list[str]:
        """What people should know of the store though everything works, in sentences."""
        if self.replicated is None or self._manager is None:
            return []
        sentence = (await self.replicated.lag()).sentence
        return [sentence] if sentence else []

    async def trouble(self) -> str:
        """Why the store cannot be used now, in a sentence; nothing when it can."""
        try:
            manager = await self.ready()
            await self._store.check()
        except AgentsError as error:
            return error.message
        return manager.trouble

    def _be_the_only_one(self) -> bool:
        """Whether this is the one server of the home that may speak for runs that no one works on. The lock
        goes with the process, however it ends (flock(2))."""
        if self._lock_fd is not None:
            return True
        try:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._state / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(
                f"The folder {self._state} cannot be written: {error.strerror}. Make room in the home or mend its "
                "permissions; the next request tries again."
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._lock_fd = fd
        return True
