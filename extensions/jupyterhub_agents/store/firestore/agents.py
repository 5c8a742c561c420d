"""Agents and their revisions, in documents.

An agent's document holds its newest revision, so that a list reads one document an agent. Every revision stands
below it once more, under its number, and is never written again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from google.cloud.firestore_v1.base_query import FieldFilter

from ...models import Agent, AgentSpec, Page
from .. import rules
from ..paging import agent_cursor, revision_cursor
from .database import (
    ATTEMPTS,
    ConflictingCommit,
    Create,
    Database,
    Delete,
    Replace,
    Snapshot,
    Write,
    too_many_conflicts,
)
from .layout import new_token
from .packing import pack, unpack

_ROOM = 800_000


async def create(database: Database, owner: str, agent_id: str, spec: AgentSpec, now: datetime) -> Agent:
    first = rules.first_revision(spec, agent_id, owner, now)
    try:
        await _store(database, first, None)
    except ConflictingCommit:
        pass
    else:
        return first
    for _ in range(ATTEMPTS):
        document = await database.get(database.layout.agents(owner).document(agent_id))
        if document is None or not document.get("deleted"):
            break
        again = rules.first_revision(spec, agent_id, owner, now, document.get("revision") + 1)
        try:
            await _store(database, again, document)
        except ConflictingCommit:
            continue
        return again
    raise rules.agent_exists(agent_id)


async def get(database: Database, owner: str, agent_id: str, revision: int | None) -> Agent:
    if revision is None:
        (agent,) = await unpacked(database, owner, [await newest_document(database, owner, agent_id)])
        return agent
    document = None
    if rules.is_agent_id(agent_id) and 1 <= revision <= rules.MAX_INTEGER:
        document = await database.get(database.layout.revisions(owner, agent_id).document(str(revision)))
    if document is None:
        raise rules.unknown_revision(agent_id, revision)
    (agent,) = await unpacked(database, owner, [document])
    return agent


async def list_(database: Database, owner: str, deleted: bool, limit: int, after: str) -> Page[Agent]:
    agents = database.layout.agents(owner)
    query = agents.where(filter=FieldFilter("deleted", "==", deleted)).order_by("__name__").limit(limit + 1)
    if after:
        query = query.start_after({"__name__": agents.document(after)})
    documents = await database.query(query)
    items = await unpacked(database, owner, documents[:limit])
    return Page[Agent](items=items, next=agent_cursor(items[-1]) if len(documents) > limit else None)


async def update(database: Database, owner: str, agent_id: str, spec: AgentSpec, revision: int, now: datetime) -> Agent:
    for _ in range(ATTEMPTS):
        document = await newest_document(database, owner, agent_id)
        rules.check_revision(agent_id, document.get("revision"), revision)
        (newest,) = await unpacked(database, owner, [document])
        if rules.same_spec(spec, newest.spec):
            return newest
        agent = Agent.from_spec(
            spec, id=agent_id, owner=owner, revision=revision + 1, now=now, created_at=newest.created_at
        )
        try:
            await _store(database, agent, document)
        except ConflictingCommit:
            continue
        return agent
    raise too_many_conflicts(f"agent {agent_id!r}")


async def delete(database: Database, owner: str, agent_id: str, revision: int) -> None:
    for _ in range(ATTEMPTS):
        document = await newest_document(database, owner, agent_id)
        rules.check_revision(agent_id, document.get("revision"), revision)
        try:
            token = new_token()
            gone = Replace(document.reference, {"deleted": True, "token": token}, _seen(document))
            await database.commit([gone, *_ending(await shares_of(database, owner, agent_id))])
        except ConflictingCommit:
            continue
        return
    raise too_many_conflicts(f"agent {agent_id!r}")


async def list_revisions(database: Database, owner: str, agent_id: str, limit: int, before: int | None) -> Page[Agent]:
    if not rules.is_agent_id(agent_id):
        raise rules.unknown_agent(agent_id)
    query = database.layout.revisions(owner, agent_id).order_by("revision", direction="DESCENDING").limit(limit + 1)
    if before is not None:
        query = query.where(filter=FieldFilter("revision", "<", before))
    documents = await database.query(query)
    if not documents and await database.get(database.layout.agents(owner).document(agent_id)) is None:
        raise rules.unknown_agent(agent_id)
    items = await unpacked(database, owner, documents[:limit])
    return Page[Agent](items=items, next=revision_cursor(items[-1]) if len(documents) > limit else None)


async def import_revision(database: Database, agent: Agent, deleted: bool) -> None:
    agent = rules.in_utc(agent)
    ref = database.layout.agents(agent.owner).document(agent.id)
    numbered = database.layout.revisions(agent.owner, agent.id).document(str(agent.revision))
    for _ in range(ATTEMPTS):
        if document := await database.get(numbered):
            (stored,) = await unpacked(database, agent.owner, [document])
            if not rules.same_spec(stored, agent):
                raise rules.revision_exists(agent)
            return
        newest = await database.get(ref)
        rules.check_follows_revision(agent, 0 if newest is None else newest.get("revision"))
        try:
            await _store(database, agent, newest, deleted)
            if deleted and (shares := await shares_of(database, agent.owner, agent.id)):
                await database.commit(_ending(shares))
        except ConflictingCommit:
            continue
        return
    raise too_many_conflicts(f"agent {agent.id!r}")


async def newest_document(database: Database, owner: str, agent_id: str) -> Snapshot:
    document = None
    if rules.is_agent_id(agent_id):
        document = await database.get(database.layout.agents(owner).document(agent_id))
    if document is None or document.get("deleted"):
        raise rules.unknown_agent(agent_id)
    return document


async def shares_of(database: Database, owner: str, agent_id: str) -> list[Snapshot]:
    """With whom an agent is shared. There are MAX_SHARES at most."""
    return await database.query(database.layout.shares(owner).where(filter=FieldFilter("agent", "==", agent_id)))


def _ending(shares: Sequence[Snapshot]) -> list[Write]:
    return [Delete(document.reference) for document in shares]


async def _store(database: Database, agent: Agent, before: Snapshot | None, deleted: bool = False) -> None:
    """Store a revision, and make it the newest instead of `before`. Raises ConflictingCommit."""
    packed, token = pack(database.layout, agent.owner, agent.model_dump_json(), _ROOM), new_token()
    revision = {"revision": agent.revision, "record": packed.value, "token": token}
    newest = {**revision, "deleted": deleted}
    ref = database.layout.agents(agent.owner).document(agent.id)
    numbered = database.layout.revisions(agent.owner, agent.id).document(str(agent.revision))
    await database.commit(
        [
            Create(numbered, revision, size=packed.size),
            Create(ref, newest, size=packed.size)
            if before is None
            else Replace(ref, newest, _seen(before), size=packed.size),
        ],
        packed.parts,
    )


async def unpacked(database: Database, owner: str, documents: Sequence[Snapshot]) -> list[Agent]:
    records = await unpack(database, owner, [document.get("record") for document in documents])
    return [Agent.model_validate_json(record) for record in records]


def _seen(document: Snapshot) -> Any:
    return document.update_time
