"""Transcripts of Claude Code's sessions, in SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_core import from_json

from ...models import TranscriptKey
from ..rules import EntryRow

_POSITION_BITS = 32
_MAX_POSITION = (1 << _POSITION_BITS) - 1

_WHICH = "owner = ? AND project_key = ? AND session_id = ?"
_NUMBER = f"SELECT number FROM transcripts WHERE {_WHICH} AND subpath = ?"  # noqa: S608 - made of constants
_ADD = (
    "INSERT INTO transcript_entries (key, transcript, uuid, entry) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (transcript, uuid) WHERE uuid IS NOT NULL DO NOTHING"
)


def append(connection: sqlite3.Connection, owner: str, key: TranscriptKey, rows: Sequence[EntryRow], now: int) -> None:
    """Store those of `rows` that are new; `now` is in milliseconds since 1970."""
    number = _number(connection, owner, key)
    if number is None:
        number = connection.execute(
            "INSERT INTO transcripts (owner, project_key, session_id, subpath, modified_at) VALUES (?, ?, ?, ?, 0)",
            (owner, key.project_key, key.session_id, key.subpath),
        ).lastrowid
        assert number is not None  # noqa: S101 - an INSERT that succeeded has one
    base = number << _POSITION_BITS
    (last,) = connection.execute(
        "SELECT max(key) FROM transcript_entries WHERE key BETWEEN ? AND ?", (base, base | _MAX_POSITION)
    ).fetchone()
    first = (base if last is None else last) + 1
    before = connection.total_changes
    connection.executemany(_ADD, ((first + at, number, uuid, entry) for at, (uuid, entry) in enumerate(rows)))
    if connection.total_changes > before:
        # A clock that was set back does not make the session older.
        connection.execute("UPDATE transcripts SET modified_at = max(modified_at, ?) WHERE number = ?", (now, number))


def load(connection: sqlite3.Connection, owner: str, key: TranscriptKey) -> list[dict[str, Any]] | None:
    number = _number(connection, owner, key)
    if number is None:
        return None
    base = number << _POSITION_BITS
    rows = connection.execute(
        "SELECT entry FROM transcript_entries WHERE key BETWEEN ? AND ? ORDER BY key", (base, base | _MAX_POSITION)
    )
    return [from_json(entry) for (entry,) in rows]


def some(connection: sqlite3.Connection, owner: str, key: TranscriptKey, limit: int, offset: int) -> Iterator[str]:
    """Entries as JSON, in order, without the first `offset`."""
    number = _number(connection, owner, key)
    if number is not None:
        base = number << _POSITION_BITS
        for (entry,) in connection.execute(
            "SELECT entry FROM transcript_entries WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ? OFFSET ?",
            (base, base | _MAX_POSITION, limit, offset),
        ):
            yield entry


def list_(connection: sqlite3.Connection, owner: str, project_key: str) -> list[tuple[str, int]]:
    return connection.execute(
        "SELECT session_id, modified_at FROM transcripts WHERE owner = ? AND project_key = ? AND subpath = ''",
        (owner, project_key),
    ).fetchall()


def list_subpaths(connection: sqlite3.Connection, owner: str, project_key: str, session_id: str) -> list[str]:
    rows = connection.execute(
        f"SELECT subpath FROM transcripts WHERE {_WHICH} AND subpath <> ''",  # noqa: S608 - made of constants
        (owner, project_key, session_id),
    )
    return [subpath for (subpath,) in rows]


def list_keys(connection: sqlite3.Connection, owner: str) -> list[TranscriptKey]:
    rows = connection.execute("SELECT project_key, session_id, subpath FROM transcripts WHERE owner = ?", (owner,))
    return [
        TranscriptKey(project_key=project, session_id=session, subpath=subpath) for project, session, subpath in rows
    ]


def delete(connection: sqlite3.Connection, owner: str, key: TranscriptKey) -> None:
    rows = connection.execute(
        f"SELECT number FROM transcripts WHERE {_WHICH} AND ? IN ('', subpath)",  # noqa: S608 - made of constants
        (owner, key.project_key, key.session_id, key.subpath),
    ).fetchall()
    for (number,) in rows:
        base = number << _POSITION_BITS
        connection.execute("DELETE FROM transcript_entries WHERE key BETWEEN ? AND ?", (base, base | _MAX_POSITION))
        connection.execute("DELETE FROM transcripts WHERE number = ?", (number,))


def _number(connection: sqlite3.Connection, owner: str, key: TranscriptKey) -> int | None:
    row = connection.execute(_NUMBER, (owner, key.project_key, key.session_id, key.subpath)).fetchone()
    return None if row is None else row[0]
