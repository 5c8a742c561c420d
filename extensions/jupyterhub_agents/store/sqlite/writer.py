"""Group commit: the one thread that writes, and puts the calls that wait at the same time into one commit."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ...errors import StoreUnavailable
from .connection import Connection, check_version, connect_writer
from .failures import explain, is_busy
from .migrations import AGENTS, Schema, user_version

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
"""What a call does within the transaction. It may be run a second time, after a rollback."""

MAX_BATCH_CALLS = 512
MAX_BATCH_BYTES = 8 << 20
"""Where one commit ends, so that the first call in it does not wait long for the last."""


@dataclass(slots=True, eq=False)
class _Write:
    operation: Operation[Any]
    size: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = field(default=None)


class GroupCommitWriter:
    """Owns the writing connection and its thread.

    A commit takes what is waiting when the one before is done: alone, a call waits for nobody; under load, the
    calls share the disk's flush. Each stands under a savepoint, so that one refused leaves the others
    untouched. When the commit itself fails, each call is tried alone, so that one too large for the disk
    does not take the others with it.
    """

    def __init__(self, path: Path, schema: Schema = AGENTS) -> None:
        self._path = path
        self._schema = schema
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None
        self._ended = False

    def start(self) -> None:
        """Open the file and start the thread. Blocks. Raises sqlite3.Error, StoreUnavailable."""
        self._connection = connect_writer(self._path, self._schema)
        # A daemon: a process that ends without closing the store has nothing acknowledged left to write.
        self._thread = threading.Thread(target=self._run, name="agents-store-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Commit what waits, then end the thread and close the file. Blocks."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    async def write(self, operation: Operation[T], size: int = 0) -> T:
        """What `operation` gives, once it is committed. `size` is what it adds, in bytes. A caller that is cancelled
        while it waits does not stop the write."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put(_Write(operation, size, loop, future))
        return await future

    # In the thread

    def _run(self) -> None:
        while batch := self._collect():
            try:
                self._commit(batch)
            except BaseException as error:
                # A fault of the program: the callers get it, and the thread lives on.
                for write in batch:
                    write.error = write.error or error
            _deliver(batch)
        self._drop()

    def _collect(self) -> list[_Write]:
        """What waits, at least one call; nothing once the queue has come to its end."""
        batch: list[_Write] = []
        size = 0
        while len(batch) < MAX_BATCH_CALLS and size < MAX_BATCH_BYTES and not self._ended:
            try:
                write = self._queue.get(block=not batch)
            except queue.Empty:
                break
            if write is None:
                self._ended = True
                break
            batch.append(write)
            size += write.size
        return batch

    def _commit(self, batch: list[_Write]) -> None:
        try:
            connection = self._begin()
        except (sqlite3.Error, OSError, StoreUnavailable) as error:
            self._fail(batch, error)
            return
        try:
            for write in batch:
                _attempt(self._path, connection, write)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            # A new connection is the way out of any state that the failure left; closing rolls back.
            self._drop()
            if len(batch) == 1:
                self._fail(batch, error)
            else:
                for write in batch:
                    self._commit([write])

    def _begin(self) -> sqlite3.Connection:
        if self._connection is not None and not self._connection.is_current():
            self._drop()
        if self._connection is None:
            self._connection = connect_writer(self._path, self._schema)
        raw = self._connection.raw
        raw.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have brought the file to a newer format meanwhile.
            check_version(self._path, user_version(raw), self._schema)
        except BaseException:
            raw.execute("ROLLBACK")
            raise
        return raw

    def _fail(self, batch: list[_Write], error: Exception) -> None:
        if not is_busy(error):
            self._drop()
        for write in batch:
            write.error = explain(self._path, error)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _attempt(path: Path, connection: sqlite3.Connection, write: _Write) -> None:
    write.error = None
    connection.execute("SAVEPOINT call")
    try:
        write.result = write.operation(connection)
    except sqlite3.Error:
        raise
    except Exception as error:
        connection.execute("ROLLBACK TO call")
        write.error = explain(path, error)
    connection.execute("RELEASE call")


def _deliver(batch: list[_Write]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Write]] = {}
    for write in batch:
        by_loop.setdefault(write.loop, []).append(write)
    for loop, writes in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, writes)
        except RuntimeError:
            # The callers' loop is closed: nobody waits any more.
            continue


def _resolve(writes: list[_Write]) -> None:
    for write in writes:
        if write.future.done():
            continue
        if write.error is not None:
            write.future.set_exception(write.error)
        else:
            write.future.set_result(write.result)
