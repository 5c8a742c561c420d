"""A copy of the record in a SQLite file of this process, which reports are read from.

Firestore cannot sum and sort by what the pages ask. The copy follows the logs of all sessions: a report has every call
that this process settled before it, and every call that another one settled a second before. It is made anew at each
start, in the background; a report that comes before it is whole is told to come again.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from google.cloud.firestore_v1.base_query import FieldFilter

from ....errors import StoreUnavailable
from ....store.firestore.database import Database, Snapshot
from ....store.sqlite.file import SQLiteFile
from .. import books
from ..schema import LEDGER
from .burying import entries_after
from .layout import Layout, Settled, unpack_calls, unpack_rows
from .sessions import open_sessions

log = logging.getLogger(__name__)

T = TypeVar("T")

EVERY_S = 1.0
_AT_ONCE = 8
"""Logs that are read at the same time."""
_CLOCKS_DIFFER_US = 600_000_000
"""Between replicas, at most."""
_PREFIX = "ledger-copy-"


class Copy:
    """The copy, in a folder below `folder` that goes when it is closed. Reports wait up to `wait_s` seconds for it."""

    def __init__(self, database: Database, layout: Layout, folder: Path, wait_s: float) -> None:
        self._database = database
        self._layout = layout
        self._folder = folder
        self._wait_s = wait_s
        self._stack = contextlib.ExitStack()
        self._file: SQLiteFile | None = None
        self._began = -1e9
        self._reading: asyncio.Task[None] | None = None
        self._known: dict[str, int] = {}
        self._own: dict[str, int] = {}
        self._changed = 0
        self._pruned: set[str] | None = None
        self._whole = False

    async def open(self) -> None:
        """Begin to read. Raises StoreUnavailable when the folder cannot be written."""
        try:
            path = await asyncio.to_thread(self._stack.enter_context, _own_folder(self._folder))
        except OSError as error:
            raise StoreUnavailable(f"The folder {self._folder} cannot be written: {error.strerror}.") from error
        self._file = SQLiteFile(path / "copy.db", LEDGER)
        await self._file.open()
        self._read_on()

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._file is not None:
            await self._file.close()
        await asyncio.to_thread(self._stack.close)

    def stored(self, session: str, number: int) -> None:
        """An entry of this process's own is in Firestore: the next report has it."""
        self._own[session] = number

    async def read(self, query: Callable[[sqlite3.Connection], T], old_s: float = EVERY_S) -> T:
        """What `query` gives, of a copy that is at most `old_s` seconds old. Raises StoreUnavailable."""
        asked = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._wait_s):
                while self._began < asked - old_s or self._is_behind:
                    await asyncio.shield(self._read_on())
        except TimeoutError:
            raise StoreUnavailable(
                "The record of calls is being read from Firestore, which takes a while after a start. Try again in a "
                "minute."
                if not self._whole
                else "The record of calls could not be read from Firestore in time. Try again."
            ) from None
        return await self._opened.read(query)

    async def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        return await self._opened.write(change)

    def forget(self, days: Sequence[str]) -> None:
        """Calls of these days are pruned; what is still read of them is not to count again."""
        self._pruned = {*(self._pruned or ()), *days}

    @property
    def _opened(self) -> SQLiteFile:
        if self._file is None:
            raise StoreUnavailable("The ledger is not open: the service is starting or stopping.")
        return self._file

    @property
    def _is_behind(self) -> bool:
        return any(self._known.get(session, -1) < number for session, number in self._own.items())

    def _read_on(self) -> asyncio.Task[None]:
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="ledger copy")
            self._reading.add_done_callback(self._done)
        return self._reading

    def _done(self, task: asyncio.Task[None]) -> None:
        self._reading = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("The record of calls could not be read: %s", error)

    async def _read(self) -> None:
        began = asyncio.get_running_loop().time()
        while not self._whole:
            before = await self._pruned_days()
            self._pruned = await self._read_sums()
            await self._follow_all()
            # What another replica pruned meanwhile may have been read neither as calls nor as sums.
            if self._pruned == await self._pruned_days() == before:
                self._whole = True
            else:
                self._known.clear()
                await self._opened.write(books.clear)
        await self._follow_all()
        self._began = began

    async def _follow_all(self) -> None:
        # Those that live, and those that ended since the last time.
        since = self._changed - _CLOCKS_DIFFER_US
        ended = await self._database.query(self._layout.sessions().where(filter=FieldFilter("changed", ">=", since)))
        found = [*await open_sessions(self._database, self._layout), *ended]
        self._changed = max([self._changed, *(session.get("changed") for session in found)])
        gate = asyncio.Semaphore(_AT_ONCE)

        async def follow(session: str) -> None:
            async with gate:
                await self._follow(session)

        # A session that ended is known to its end once it was read after that.
        sessions = {session.id for session in found} | {
            session for session, number in self._own.items() if self._known.get(session, -1) < number
        }
        try:
            async with asyncio.TaskGroup() as group:
                for session in sorted(sessions):
                    group.create_task(follow(session))
        except ExceptionGroup as failed:
            # The others were cancelled, or failed for the same reason.
            raise failed.exceptions[0] from None

    async def _pruned_days(self) -> set[str]:
        return {document.get("day") for document in await self._database.query(self._layout.days().select(["day"]))}

    async def _read_sums(self) -> set[str]:
        days = set()
        for document in await self._database.query(self._layout.days().order_by("__name__")):
            day, runs, rows = document.get("day"), document.get("runs"), unpack_rows(document.get("rows"))
            await self._opened.write(lambda db, d=day, r=runs, s=rows: books.add_sums(db, d, r, s))  # type: ignore[misc]  # The defaults bind.
            days.add(day)
        return days

    async def _follow(self, session: str) -> None:
        while page := await entries_after(self._database, self._layout, session, self._known.get(session, -1)):
            settled = await asyncio.to_thread(_calls, page, frozenset(self._pruned or ()))
            await self._opened.write(lambda db, calls=settled: _record(db, calls))  # type: ignore[misc]  # The default binds.
            self._known[session] = page[-1].get("number")


def _calls(page: Sequence[Snapshot], without: frozenset[str]) -> list[Settled]:
    found = []
    for entry in page:
        if packed := (entry.to_dict() or {}).get("calls"):
            found += [settled for settled in unpack_calls(packed) if settled[0].day not in without]
    return found


def _record(db: sqlite3.Connection, calls: Sequence[Settled]) -> None:
    for call, accounts in calls:
        books.record(db, call, accounts)


@contextlib.contextmanager
def _own_folder(folder: Path) -> Iterator[Path]:
    """A new folder that is locked by this process. Those of processes that were killed are removed."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        # One after the other: another would take a folder that is made, and not locked yet, for one that was left.
        with _lock(folder, wait=True):
            for old in folder.glob(f"{_PREFIX}*"):
                with contextlib.suppress(OSError), _lock(old):
                    shutil.rmtree(old, ignore_errors=True)
            made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
            stack.callback(shutil.rmtree, made, ignore_errors=True)
            stack.enter_context(_lock(made))
        yield made


@contextlib.contextmanager
def _lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock of a folder that ends with the process. Raises OSError when another one has it, or waits for it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
