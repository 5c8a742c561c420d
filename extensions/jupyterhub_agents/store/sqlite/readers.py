"""The few threads that read, each call in one snapshot of the database."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from .connection import Connection, connect_reader
from .failures import explain

T = TypeVar("T")

READERS = 4
"""Reads at once. More would only wait for each other: parsing holds the interpreter's lock."""


class ReaderPool:
    """Owns the reading connections and their threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[Connection] = []
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="agents-store-reader")

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """What `query` gives. Raises StoreUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, query)

    def stop(self) -> None:
        """Finish what was begun, and close. Blocks."""
        self._threads.shutdown(wait=True)
        while self._idle:
            self._idle.pop().close()

    def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        connection = None
        try:
            connection = self._take()
            with _snapshot(connection.raw):
                result = query(connection.raw)
        except Exception as error:
            if connection is not None:
                if isinstance(error, sqlite3.Error):
                    connection.close()
                else:
                    self._idle.append(connection)
            explained = explain(self._path, error)
            if explained is error:
                raise
            raise explained from error
        self._idle.append(connection)
        return result

    def _take(self) -> Connection:
        with contextlib.suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if connection.is_current():
                    return connection
                connection.close()
        return connect_reader(self._path)


@contextlib.contextmanager
def _snapshot(raw: sqlite3.Connection) -> Iterator[None]:
    raw.execute("BEGIN")
    try:
        yield
    finally:
        raw.execute("ROLLBACK")
