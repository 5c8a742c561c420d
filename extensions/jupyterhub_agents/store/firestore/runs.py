"""Runs, in documents.

What a run is like now stands in one document, its head. A change makes a new head and deletes the old one in the same
commit: no document is ever written twice, however fast a run changes, and a list with filters always sees exactly
one head a run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from google.cloud.firestore_v1.base_query import FieldFilter
from pydantic_core import from_json

from ...models import Page, Run, RunStatus, agent_reference
from .. import rules
from ..paging import time_cursor
from .database import ATTEMPTS, ConflictingCommit, Create, Database, Snapshot, too_many_conflicts
from .events import Entry, newest_entry
from .layout import new_token, sort_key, sort_key_of
from .packing import Packed, Value, pack, unpack

_ROOM = 400_000
"""For the prompt, and again for everything else."""

_MISSING_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Head:
    """What a run is like since the entry `number` of its log."""

    run: Run
    number: int
    prompt: Value
    """As it is stored; it never changes, and is handed on from head to head."""


def head_documents(database: Database, head: Head, token: str) -> tuple[Create, list[Create]]:
    """The head's document, and parts of its texts."""
    run = head.run
    record = pack(database.layout, run.owner, rules.in_utc(run).model_dump_json(exclude={"prompt", "last_seq"}), _ROOM)
    fields = {
        "run": run.id, "number": head.number, "token": token, "order": sort_key_of(run), "agent": run.agent,
        "conversation": run.conversation_id, "status": str(run.status), "last_seq": run.last_seq,
        "prompt": head.prompt, "record": record.value,
    }  # fmt: skip
    size = record.size + Packed(head.prompt).size
    return Create(database.layout.run(run.owner, run.id, head.number), fields, size=size), list(record.parts)


async def create(database: Database, run: Run) -> Head:
    """Store a new run. Raises AlreadyExists."""
    token, prompt = new_token(), pack(database.layout, run.owner, run.prompt, _ROOM)
    head = Head(run, 0, prompt.value)
    document, parts = head_documents(database, head, token)
    # The log's first entry stays for ever, and so keeps the id taken.
    begin = Entry(number=0, last_seq=0, head=0).document(database, run.owner, run.id, token)
    try:
        await database.commit([begin, document], [*prompt.parts, *parts])
    except ConflictingCommit:
        raise rules.run_exists(run.id) from None
    return head


async def get(database: Database, owner: str, run_id: str) -> tuple[Head, Entry | None]:
    """The head, its run brought up to date, and the newest entry of the log unless it was not needed. Raises
    NotFound."""
    if not rules.is_run_id(run_id):
        raise rules.unknown_run(run_id)
    for _ in range(ATTEMPTS):
        documents = await database.query(
            database.layout.runs(owner).where(filter=FieldFilter("run", "==", run_id)).limit(1)
        )
        if not documents:
            raise rules.unknown_run(run_id)
        (head,) = await _heads(database, owner, documents)
        # Every entry after the end makes a new head.
        if head.run.status.is_final:
            return head, None
        entry = await newest_entry(database, owner, run_id)
        if entry is not None and entry.head == head.number:
            run = head.run.model_copy(update={"last_seq": entry.last_seq})
            return Head(run, head.number, head.prompt), entry
    raise too_many_conflicts(f"run {run_id!r}")


async def list_(
    database: Database,
    owner: str,
    *,
    agent_id: str | None,
    agent_owner: str | None,
    conversation_id: str | None,
    statuses: Collection[RunStatus] | None,
    limit: int,
    before: tuple[int, str] | None,
) -> Page[Run]:
    query = database.layout.runs(owner).order_by("order", direction="DESCENDING").limit(limit + 1)
    if agent_id is not None:
        query = query.where(filter=FieldFilter("agent", "==", agent_reference(agent_owner, agent_id)))
    if conversation_id is not None:
        query = query.where(filter=FieldFilter("conversation", "==", conversation_id))
    if statuses is not None:
        if not statuses:
            return Page[Run](items=[])
        query = query.where(filter=FieldFilter("status", "in", sorted({str(status) for status in statuses})))
    if before is not None:
        query = query.where(filter=FieldFilter("order", "<", sort_key(*before)))
    documents = await database.query(query)
    heads = await _heads(database, owner, documents[:limit])
    gate = asyncio.Semaphore(_MISSING_AT_ONCE)

    async def up_to_date(head: Head) -> Run:
        if head.run.status.is_final:
            return head.run
        async with gate:
            entry = await newest_entry(database, owner, head.run.id)
        # When the run has changed since the list was read, it is shown as it was when it got this head.
        if entry is None or entry.head != head.number:
            return head.run
        return head.run.model_copy(update={"last_seq": entry.last_seq})

    items = await asyncio.gather(*map(up_to_date, heads))
    return Page[Run](items=items, next=time_cursor(items[-1]) if len(documents) > limit else None)


async def _heads(database: Database, owner: str, documents: Sequence[Snapshot]) -> list[Head]:
    values = [document.get(name) for document in documents for name in ("prompt", "record")]
    texts = iter(await unpack(database, owner, values))
    heads = []
    for document, prompt, record in zip(documents, texts, texts, strict=True):
        run = Run.model_validate(from_json(record) | {"prompt": prompt, "last_seq": document.get("last_seq")})
        heads.append(Head(run, document.get("number"), document.get("prompt")))
    return heads
