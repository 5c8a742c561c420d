"""A run's events, in SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from pydantic_core import PydanticSerializationError, from_json, to_json

from ...errors import InvalidInput, SequenceGap
from ...models import Event, EventType
from ..paging import microseconds, moment

_SEQ_BITS = 32
_MAX_SEQ = (1 << _SEQ_BITS) - 1

_NEWEST_KEY = "SELECT max(key) FROM events WHERE key BETWEEN number << 32 AND (number << 32) | 4294967295"
LAST_SEQ = f"COALESCE(({_NEWEST_KEY}) & 4294967295, 0)"
"""The number of a run's newest event, in a query of runs."""

Row = tuple[int, int, str, str]
"""seq, time, type, payload."""


def encode(run_id: str, events: Sequence[Event]) -> list[Row]:
    """Events as they are stored. Raises InvalidInput for ones that are another run's or do not follow each other."""
    rows: list[Row] = []
    for position, event in enumerate(events):
        if event.run_id != run_id:
            raise InvalidInput(f"Event {event.seq} is of run {event.run_id!r}, not of {run_id!r}.")
        if event.seq != events[0].seq + position:
            raise InvalidInput(
                f"Event {event.seq} does not follow event {events[position - 1].seq}: send them in order, "
                "without a gap."
            )
        try:
            payload = to_json(event.payload).decode()
        except PydanticSerializationError as error:
            # Half of a surrogate pair, which JSON in UTF-8 cannot carry.
            raise InvalidInput(f"The payload of event {event.seq} is not JSON: {error}") from None
        rows.append((event.seq, microseconds(event.time), event.type.value, payload))
    return rows


def append(connection: sqlite3.Connection, number: int, last: int, rows: Sequence[Row]) -> None:
    """Store those of `rows` that are new to the run of that number, whose newest is `last`. Raises SequenceGap."""
    if rows[0][0] > last + 1:
        raise SequenceGap(
            f"Event {rows[0][0]} does not follow the run's newest, {last}: send the events from {last + 1} on.", last
        )
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
