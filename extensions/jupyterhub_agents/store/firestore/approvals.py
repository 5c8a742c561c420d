"""Approvals, in documents: one each, written when it is asked and once more when it is decided or closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from google.cloud.firestore_v1.base_query import FieldFilter
from pydantic_core import from_json, to_json

from ...errors import AlreadyExists
from ...models import Approval, Decision, Page
from .. import rules
from ..paging import time_cursor
from .database import (
    ATTEMPTS,
    MAX_COMMIT_WRITES,
    ConflictingCommit,
    Create,
    Database,
    Replace,
    Snapshot,
    too_many_conflicts,
)
from .layout import new_token, sort_key, sort_key_of
from .packing import pack, unpack

_ROOM = 700_000
"""For the tool's input. The rest is short."""


async def create(database: Database, approval: Approval) -> None:
    approval = rules.in_utc(approval)
    owner, token = approval.owner, new_token()
    given = pack(database.layout, owner, to_json(approval.input).decode(), _ROOM)
    # The first entry of a run's log stays for ever.
    if await database.get(database.layout.entry(owner, approval.run_id, 0)) is None:
        raise rules.unknown_run(approval.run_id)
    fields = _fields(approval, token) | {
        "approval": approval.id, "run": approval.run_id, "order": sort_key_of(approval), "input": given.value,
    }  # fmt: skip
    document = Create(database.layout.approval(owner, approval.id), fields, size=given.size + len(fields["record"]))
    try:
        await database.commit([document], given.parts)
    except ConflictingCommit:
        raise rules.approval_exists(approval.id) from None


async def import_(database: Database, approval: Approval) -> None:
    approval = rules.in_utc(approval)
    for _ in range(ATTEMPTS):
        document = await database.get(database.layout.approval(approval.owner, approval.id))
        try:
            if document is None:
                return await create(database, approval)
            (stored,) = await _approvals(database, approval.owner, [document])
            if rules.goes_on(stored, approval):
                await database.commit([_replace(document, approval, new_token())])
        except (AlreadyExists, ConflictingCommit):
            continue
        return
    raise too_many_conflicts(f"approval {approval.id!r}")


async def get(database: Database, owner: str, approval_id: str) -> Approval:
    (approval,) = await _approvals(database, owner, [await _document(database, owner, approval_id)])
    return approval


async def list_(
    database: Database,
    owner: str,
    *,
    run_id: str | None,
    waiting: bool | None,
    limit: int,
    before: tuple[int, str] | None,
) -> Page[Approval]:
    query = database.layout.approvals(owner).order_by("order", direction="DESCENDING").limit(limit + 1)
    if run_id is not None:
        query = query.where(filter=FieldFilter("run", "==", run_id))
    if waiting is not None:
        query = query.where(filter=FieldFilter("waiting", "==", waiting))
    if before is not None:
        query = query.where(filter=FieldFilter("order", "<", sort_key(*before)))
    documents = await database.query(query)
    items = await _approvals(database, owner, documents[:limit])
    return Page[Approval](items=items, next=time_cursor(items[-1]) if len(documents) > limit else None)


async def decide(
    database: Database,
    owner: str,
    approval_id: str,
    decision: Decision,
    message: str | None,
    by: str,
    now: datetime,
) -> Approval:
    return await _changed(
        database, owner, approval_id, lambda old: rules.decided(old, decision, message=message, by=by, now=now)
    )


async def deliver(database: Database, owner: str, approval_id: str, now: datetime) -> Approval:
    return await _changed(database, owner, approval_id, lambda approval: rules.delivered(approval, now=now))


async def close(database: Database, owner: str, run_id: str, approval_id: str | None) -> int:
    query = (
        database.layout.approvals(owner)
        .where(filter=FieldFilter("run", "==", run_id))
        .where(filter=FieldFilter("waiting", "==", True))
        .limit(MAX_COMMIT_WRITES)
    )
    closed = conflicts = 0
    while conflicts < ATTEMPTS:
        documents = await database.query(query)
        more = len(documents) == MAX_COMMIT_WRITES and approval_id is None
        documents = [document for document in documents if approval_id in (None, document.get("approval"))]
        if not documents:
            return closed
        token = new_token()
        approvals = await _approvals(database, owner, documents)
        try:
            await database.commit(
                [
                    _replace(document, approval.model_copy(update={"closed": True}), token)
                    for document, approval in zip(documents, approvals, strict=True)
                ],
            )
        except ConflictingCommit:
            conflicts += 1
        else:
            closed += len(documents)
            if not more:
                return closed
    raise too_many_conflicts(f"the approvals of run {run_id!r}")


async def _changed(
    database: Database, owner: str, approval_id: str, change: Callable[[Approval], Approval]
) -> Approval:
    """Store what `change` makes of an approval, as often as another change comes in between. Its errors end it."""
    for _ in range(ATTEMPTS):
        document = await _document(database, owner, approval_id)
        (approval,) = await _approvals(database, owner, [document])
        changed = change(approval)
        try:
            await database.commit([_replace(document, changed, new_token())])
        except ConflictingCommit:
            continue
        return changed
    raise too_many_conflicts(f"approval {approval_id!r}")


async def _document(database: Database, owner: str, approval_id: str) -> Snapshot:
    document = None
    if rules.is_run_id(approval_id):
        document = await database.get(database.layout.approval(owner, approval_id))
    if document is None:
        raise rules.unknown_approval(approval_id)
    return document


def _fields(approval: Approval, token: str) -> dict[str, Any]:
    """What changes with a decision."""
    return {
        "waiting": rules.waits(approval),
        "record": approval.model_dump_json(exclude={"input"}),
        "token": token,
    }


def _replace(document: Snapshot, approval: Approval, token: str) -> Replace:
    fields = _fields(approval, token)
    return Replace(document.reference, fields, document.update_time, size=len(fields["record"]))


async def _approvals(database: Database, owner: str, documents: Sequence[Snapshot]) -> list[Approval]:
    inputs = await unpack(database, owner, [document.get("input") for document in documents])
    return [
        Approval.model_validate(from_json(document.get("record")) | {"input": from_json(given)})
        for document, given in zip(documents, inputs, strict=True)
    ]
