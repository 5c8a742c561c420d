"""One SQLite file while it is open: the thread that writes and the threads that read."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ...errors import StoreUnavailable
from . import connection
from .failures import explain
from .migrations import AGENTS, Schema
from .readers import ReaderPool
from .writer import GroupCommitWriter

T = TypeVar("T")


class SQLiteFile:
    """A file that only its owner may read, with the tables of `schema`. Folders that are missing are made."""

    def __init__(self, path: Path, schema: Schema = AGENTS) -> None:
        self._path = path
        self._schema = schema
        self._writer: GroupCommitWriter | None = None
        self._readers: ReaderPool | None = None
        self._lifecycle = asyncio.Lock()

    async def open(self) -> None:
        """Raises StoreUnavailable. Opening twice is fine."""
        async with self._lifecycle:
            if self._writer is not None:
                return
            starting = asyncio.create_task(asyncio.to_thread(self._start))
            try:
                self._writer = await asyncio.shield(starting)
            except asyncio.CancelledError:
                # A thread cannot be cancelled: take back what it started.
                with contextlib.suppress(StoreUnavailable):
                    await asyncio.to_thread((await starting).stop)
                raise
            self._readers = ReaderPool(self._path)

    async def close(self) -> None:
        """Commit what waits, then close. Closing twice is fine."""
        async with self._lifecycle:
            writer, self._writer = self._writer, None
            readers, self._readers = self._readers, None
            if writer is not None and readers is not None:
                await asyncio.to_thread(_stop, writer, readers)

    async def write(self, operation: Callable[[sqlite3.Connection], T], size: int = 0) -> T:
        """What `operation` gives, once it is committed (`GroupCommitWriter.write`)."""
        if self._writer is None:
            raise self._not_open()
        return await self._writer.write(operation, size)

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """What `query` gives, in one snapshot."""
        if self._readers is None:
            raise self._not_open()
        return await self._readers.read(query)

    def _start(self) -> GroupCommitWriter:
        writer = GroupCommitWriter(self._path, self._schema)
        try:
            connection.create(self._path)
            writer.start()
        except (sqlite3.Error, OSError) as error:
            raise explain(self._path, error) from error
        return writer

    def _not_open(self) -> StoreUnavailable:
        return StoreUnavailable(f"The store {self._path} is not open: the server is starting or stopping.")


def _stop(writer: GroupCommitWriter, readers: ReaderPool) -> None:
    writer.stop()
    readers.stop()
