"""A run's events, in SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from pydantic_core import from_json

from ...models import Event, EventType
from .. import rules
from ..paging import moment

_SEQ_BITS = 32
_MAX_SEQ = (1 << _SEQ_BITS) - 1

_NEWEST_KEY = "SELECT max(key) FROM events WHERE key BETWEEN number << 32 AND (number << 32) | 4294967295"
LAST_SEQ = f"COALESCE(({_NEWEST_KEY}) & 4294967295, 0)"
"""The number of a run's newest event, in a query of runs."""


def append(connection: sqlite3.Connection, number: int, last: int, rows: Sequence[rules.EventRow]) -> None:
    """Store those of `rows` that are new to the run of that number, whose newest is `last`. Raises SequenceGap."""
    rules.check_follows(rows[0][0], last)
    connection.executemany(
        "INSERT INTO events (key, time, type, payload) VALUES (?, ?, ?, ?)",
        [(number << _SEQ_BITS | seq, time, type_, payload) for seq, time, type_, payload in rows if seq > last],
    )


def list_(connection: sqlite3.Connection, run_id: str, number: int, after: int, limit: int) -> list[Event]:
    base = number << _SEQ_BITS
    rows = connection.execute(
        "SELECT key, time, type, payload FROM events WHERE key > ? AND key <= ? ORDER BY key LIMIT ?",
        (base | min(after, _MAX_SEQ), base | _MAX_SEQ, limit),
    )
    # What is stored was checked when it came: no need to check each value again.
    return [
        Event.model_construct(
            run_id=run_id, seq=key & _MAX_SEQ, time=moment(time), type=EventType(type_), payload=from_json(payload)
        )
        for key, time, type_, payload in rows
    ]
