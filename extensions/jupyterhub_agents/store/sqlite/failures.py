"""What a failure of the file, or a text that cannot be stored, means to a person."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from pydantic_core import PydanticSerializationError

from ...errors import InvalidInput, StoreUnavailable, TooLarge

BUSY_SECONDS = 5.0
"""How long a call waits for another process that holds the file's lock."""

_MEANINGS = {
    sqlite3.SQLITE_BUSY: f"is locked by another process, for over {BUSY_SECONDS:.0f} s. Stop the other process, "
    "then try again.",
    sqlite3.SQLITE_FULL: "cannot grow: the disk, or a quota on it, is full. Free some space, then try again.",
    sqlite3.SQLITE_IOERR: "could not be read or written by the disk. Check that the disk works and that neither "
    "its space nor a quota on it is used up, then try again.",
    sqlite3.SQLITE_NOTADB: "is not a SQLite database. Move it away, or name another file.",
    sqlite3.SQLITE_CORRUPT: "is damaged. Put a backup in its place, or rescue what can be read with "
    "`sqlite3 FILE .recover`.",
    sqlite3.SQLITE_READONLY: "cannot be written. Make the file and its folder writable for this user.",
    sqlite3.SQLITE_PERM: "may not be opened. Make the file and its folder readable and writable for this user.",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened. Check that it is there, and that this user may read and write it "
    "and its folder.",
}


def is_busy(error: BaseException) -> bool:
    """Whether the file was only locked: the connection is as good as before."""
    return isinstance(error, sqlite3.Error) and _primary_code(error) == sqlite3.SQLITE_BUSY


def explain(path: Path, error: BaseException) -> BaseException:
    """The error a caller gets: which file, what is wrong, what to do. What is no failure of the file stays."""
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return error
    if isinstance(error, sqlite3.Error):
        code = _primary_code(error)
        if code == sqlite3.SQLITE_TOOBIG:
            return TooLarge("This is over SQLite's limit of 1 GB a value. Store less at once.")
        meaning = _MEANINGS.get(code, "could not be used.")
        return StoreUnavailable(f"{path} {meaning} (SQLite says: {error})")
    if isinstance(error, OSError):
        return StoreUnavailable(
            f"{path} cannot be opened: {error.strerror}. Make the file and its folder readable and writable for "
            "this user, or name another file."
        )
    if isinstance(error, UnicodeEncodeError | PydanticSerializationError):
        # A Python string can hold half of a surrogate pair (U+D800 to U+DFFF); UTF-8, and so JSON, cannot.
        return InvalidInput(f"This is not text that can be stored: {error}. Replace the broken characters.")
    return error


def _primary_code(error: sqlite3.Error) -> int:
    # The low byte is the kind of failure, the rest is detail (https://sqlite.org/rescode.html).
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF
