"""A run's log, in documents that are written once.

Each commit to a run adds entries to its log: numbered from 0 without a gap, with the events that came, or none when
only the run changed. A number can be taken once: that is what tells two writers of one run from each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from google.cloud.firestore_v1.base_query import FieldFilter
from pydantic_core import from_json

from ...models import Event, EventType
from .. import rules
from ..paging import moment
from .database import Create, Database, Snapshot
from .layout import Layout
from .packing import ARRAY_ITEMS, Packed, Value, arrays, pack_arrays, unpack

_PAGE = 250
"""Entries read with one request, which has a limit of time."""

_PARSE_IN_THREAD = 200_000
"""Characters of JSON, about 1 ms."""


@dataclass(frozen=True, slots=True)
class Entry:
    number: int
    last_seq: int
    """The number of the run's newest event, after this entry."""
    head: int
    """The number of the run's head, after this entry."""
    first: int | None = None
    """The number of the first event in it; none when it has no events."""
    events: Packed | None = None

    def document(self, database: Database, owner: str, run_id: str, token: str) -> Create:
        fields = {"number": self.number, "token": token, "last_seq": self.last_seq, "head": self.head}
        if self.first is None or self.events is None:
            return Create(database.layout.entry(owner, run_id, self.number), fields)
        # Lists of events ask for `last`, which entries without events do not have.
        fields |= {"first": self.first, "last": self.last_seq, "events": self.events.value}
        return Create(database.layout.entry(owner, run_id, self.number), fields, size=self.events.size)


def packed_rows(layout: Layout, owner: str, rows: Sequence[rules.EventRow]) -> Iterator[tuple[int, int, Packed]]:
    """`(first, last, JSON)` of the entries that hold the events."""
    groups = list(arrays([f'[{seq},{time},"{type_}",{payload}]' for seq, time, type_, payload in rows]))
    first = rows[0][0] if rows else 0
    for (count, _), packed in zip(groups, pack_arrays(layout, owner, [text for _, text in groups]), strict=True):
        yield first, first + count - 1, packed
        first += count


async def newest_entry(database: Database, owner: str, run_id: str) -> Entry | None:
    log = database.layout.log(owner, run_id)
    documents = await database.query(
        # Without the events themselves.
        log.select(["number", "last_seq", "head"]).order_by("number", direction="DESCENDING").limit(1)
    )
    for document in documents:
        return Entry(document.get("number"), document.get("last_seq"), document.get("head"))
    return None


async def list_(database: Database, owner: str, run_id: str, after: int, limit: int) -> list[Event]:
    if not rules.is_run_id(run_id):
        raise rules.unknown_run(run_id)
    documents: list[Snapshot] = []
    start, end = min(after, rules.MAX_INTEGER - 1), min(after + limit, rules.MAX_INTEGER)
    # An entry is wanted whose first event is at most `end`; it is found by its last one.
    query = (
        database.layout.log(owner, run_id)
        .where(filter=FieldFilter("last", "<", min(end + ARRAY_ITEMS, rules.MAX_INTEGER)))
        .order_by("last")
        .limit(_PAGE)
    )
    while start < end:
        page = await database.query(query.where(filter=FieldFilter("last", ">", start)))
        documents += page
        if len(page) < _PAGE:
            break
        start = page[-1].get("last")
    if not documents and await database.get(database.layout.entry(owner, run_id, 0)) is None:
        raise rules.unknown_run(run_id)
    values: list[Value] = [document.get("events") for document in documents]
    texts = await unpack(database, owner, values)
    if sum(map(len, texts)) > _PARSE_IN_THREAD:
        return await asyncio.to_thread(_parse, run_id, texts, after, limit)
    return _parse(run_id, texts, after, limit)


def _parse(run_id: str, texts: Sequence[str], after: int, limit: int) -> list[Event]:
    rows = (row for text in texts for row in from_json(text) if row[0] > after)
    # What is stored was checked when it came: no need to check each value again.
    return [
        Event.model_construct(run_id=run_id, seq=seq, time=moment(time), type=EventType(type_), payload=payload)
        for (seq, time, type_, payload), _ in zip(rows, range(limit), strict=False)
    ]
