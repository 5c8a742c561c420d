"""The file as a whole, in SQL: whether it can be used, and who has something in it."""

from __future__ import annotations

import sqlite3

from .migrations import VERSION

_TABLES = ("agents", "runs", "transcripts")
"""Where somebody has something: events and approvals are of a run."""


def touch(connection: sqlite3.Connection) -> None:
    """Write to the disk without changing anything: the version that the file has."""
    connection.execute(f"PRAGMA user_version = {VERSION}")


def look(connection: sqlite3.Connection) -> None:
    for table in _TABLES:
        connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()  # noqa: S608 - the constants above


def owners(connection: sqlite3.Connection) -> list[str]:
    found: set[str] = set()
    for table in _TABLES:
        # From one name to the next in the index: as many steps as there are people, not as there are rows.
        (owner,) = connection.execute(f"SELECT min(owner) FROM {table}").fetchone()  # noqa: S608 - as above
        while owner is not None:
            found.add(owner)
            (owner,) = connection.execute(f"SELECT min(owner) FROM {table} WHERE owner > ?", (owner,)).fetchone()  # noqa: S608
    return sorted(found)
