"""Opening the database file: its mode, its settings, whose it is."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path

from ...errors import StoreUnavailable
from .failures import BUSY_SECONDS, is_busy
from .migrations import AGENTS, Schema, migrate, user_version

_CHECKPOINT_PAGES = 4_000
"""Pages in the log (16 MB) before a commit also moves them into the database."""

_LOG_LIMIT = 64 << 20
"""Bytes to which the log is cut down after it grew for a large write."""


class Connection:
    """An open connection, and which file it was opened on."""

    def __init__(self, path: Path, raw: sqlite3.Connection) -> None:
        self.raw = raw
        self._path = path
        self._identity = _identity(path)

    def is_current(self) -> bool:
        """Whether the path still leads to the file that is open. Writing on to a file that was removed or
        replaced would succeed, and be lost."""
        return self._identity is not None and self._identity == _identity(self._path)

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.raw.close()


_creating = threading.Lock()


def create(path: Path) -> None:
    """Make the file, for its owner alone, and the folders that are missing. Blocks. Raises OSError."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    # A file that a store of this process may have open is not opened here: closing it again would release
    # SQLite's locks on it (https://sqlite.org/howtocorrupt.html, section 2.2).
    with _creating, contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    # SQLite gives its -wal and -shm files the mode of the database.
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)


def connect_writer(path: Path, schema: Schema = AGENTS) -> Connection:
    """A connection that writes, to an existing file brought up to date. Raises sqlite3.Error, StoreUnavailable."""
    raw = _connect(path)
    try:
        _check_is_ours(path, raw, schema)
        _use_write_ahead_log(raw)
        # FULL: each commit waits until the disk has the log (fsync), so that a commit outlives a loss of
        # power, as far as the disk keeps its word, and not only the end of the process, which NORMAL
        # would do as well. Group commit shares the cost between the calls that wait.
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        raw.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT}")
        migrate(raw, schema.migrations, schema.application_id)
        # A file that can only be read opens all the same, and shows it at the first write: here.
        raw.execute("BEGIN IMMEDIATE")
        raw.execute(f"PRAGMA user_version = {schema.version}")
        raw.execute("ROLLBACK")
        return Connection(path, raw)
    except BaseException:
        raw.close()
        raise


def connect_reader(path: Path) -> Connection:
    """A connection that cannot write. Raises sqlite3.Error."""
    raw = _connect(path)
    try:
        raw.execute("PRAGMA query_only = ON")
        return Connection(path, raw)
    except BaseException:
        raw.close()
        raise


def _connect(path: Path) -> sqlite3.Connection:
    # mode=rw: a file that has gone is an error, not a new empty database.
    raw = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # BEGIN and COMMIT stand in the code.
        check_same_thread=False,  # Opened in one thread, used in another, never in two at once.
    )
    raw.execute("PRAGMA foreign_keys = ON")
    return raw


def _check_is_ours(path: Path, raw: sqlite3.Connection, schema: Schema) -> None:
    # In one snapshot: another process may be making the schema at this moment.
    raw.execute("BEGIN")
    version = user_version(raw)
    application: int = raw.execute("PRAGMA application_id").fetchone()[0]
    empty: bool = raw.execute("SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()[0]
    raw.execute("ROLLBACK")
    if not empty and application != schema.application_id:
        raise StoreUnavailable(f"{path} is the database of another program. Name another file, or move this one away.")
    check_version(path, version, schema)


def check_version(path: Path, version: int, schema: Schema) -> None:
    """Raises StoreUnavailable when a newer version of this program has the file."""
    if version > schema.version:
        raise StoreUnavailable(
            f"{path} was written by a newer version of jupyterhub-agents (its format is {version}, this "
            f"version knows formats up to {schema.version}). Upgrade jupyterhub-agents, or name another file."
        )


def _use_write_ahead_log(raw: sqlite3.Connection) -> None:
    # SQLite does not wait for a lock here by itself when two processes make the change at once.
    deadline = time.monotonic() + BUSY_SECONDS
    while raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            raw.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
