"""What is asked over all owners, of the collections of one name below all of them (collection groups)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from google.cloud.firestore_v1.async_query import AsyncQuery
from google.cloud.firestore_v1.base_query import FieldFilter
from pydantic_core import from_json

from ...models import RunStatus, Trigger
from ..overview import LIVE, KnownAgent, LiveRun, WaitingCall
from ..paging import microseconds
from .database import Database, Snapshot
from .layout import owner_of, sort_key
from .packing import unpack

_AT_ONCE = 50


async def live_runs(database: Database, limit: int) -> Sequence[LiveRun]:
    query = (
        database.layout.all_of("runs")
        .where(filter=FieldFilter("status", "in", sorted(map(str, LIVE))))
        .order_by("order", direction="DESCENDING")
        .limit(limit)
    )
    return [
        LiveRun(
            owner, record["id"], record["agent_id"], RunStatus(record["status"]), Trigger(record["trigger"]),
            datetime.fromisoformat(record["created_at"]),
            datetime.fromisoformat(record["started_at"]) if record["started_at"] else None,
        )
        for owner, record, _ in await _records(database, query.select(["record"]))
    ]  # fmt: skip


async def waiting_calls(database: Database, limit: int) -> Sequence[WaitingCall]:
    query = (
        database.layout.all_of("approvals")
        .where(filter=FieldFilter("waiting", "==", True))
        .order_by("order", direction="DESCENDING")
        .limit(limit)
    )
    return [
        WaitingCall(
            owner, record["id"], record["run_id"], record["agent_id"], record["tool"],
            datetime.fromisoformat(record["created_at"]),
        )
        for owner, record, _ in await _records(database, query.select(["record"]))
    ]  # fmt: skip


async def known_agents(database: Database) -> Sequence[KnownAgent]:
    query = database.layout.all_of("agents").select(["record", "deleted"])
    found = [
        KnownAgent(owner, record["id"], datetime.fromisoformat(record["created_at"]), bool(document.get("deleted")))
        for owner, record, document in await _records(database, query)
    ]
    return sorted(found, key=lambda agent: (agent.owner, agent.agent_id))


async def run_outcomes(database: Database, since: datetime, until: datetime) -> Mapping[RunStatus, int]:
    first, end = (sort_key(microseconds(when), "") for when in (since, until))

    def of(status: RunStatus) -> AsyncQuery:
        return (
            database.layout.all_of("runs")
            .where(filter=FieldFilter("status", "==", str(status)))
            .where(filter=FieldFilter("order", ">=", first))
            .where(filter=FieldFilter("order", "<", end))
            .order_by("order", direction="DESCENDING")
        )

    statuses = list(RunStatus)
    counts = await asyncio.gather(*(database.count(of(status)) for status in statuses))
    return {status: count for status, count in zip(statuses, counts, strict=True) if count}


async def _records(database: Database, query: AsyncQuery) -> list[tuple[str, dict[str, Any], Snapshot]]:
    """Of each document its owner, its record, and itself."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def read(document: Snapshot) -> tuple[str, dict[str, Any], Snapshot]:
        owner = owner_of(document.reference.path.split("/")[1])
        async with gate:
            (text,) = await unpack(database, owner, [document.get("record")])
        return owner, from_json(text), document

    return await asyncio.gather(*map(read, await database.query(query)))
