"""With whom agents are shared, in documents: one each, below its owner.

What is shared with a person or their groups is found over all owners, by one index (`with`, then `order`). Every write
of a share writes the agent's document too, so that of a share and a deletion at once one comes after the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from google.cloud.firestore_v1.base_query import FieldFilter

from ...errors import NotFound
from ...models import Agent, Page, Share, ShareAccess, SharedAgent, ShareKind
from .. import rules
from ..paging import share_cursor
from . import agents
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
from .layout import digest, new_token

IN = 30
"""The most values that a query's `in` takes (Firestore's "Perform simple and compound queries", Query limitations)."""
_SEPARATOR = "\x01"
"""Comes before every letter of a name, so that the order is that of (owner, agent id)."""


async def share(
    database: Database, owner: str, agent_id: str, kind: ShareKind, name: str, access: ShareAccess, now: datetime
) -> Share:
    for _ in range(ATTEMPTS):
        document = await agents.newest_document(database, owner, agent_id)
        (agent,) = await agents.unpacked(database, owner, [document])
        stored = await database.get(database.layout.share(owner, agent_id, kind, name))
        made = rules.shared_now(agent, _shares([stored])[0] if stored else None, kind, name, access, now)
        try:
            await _put(database, document, stored, made)
        except ConflictingCommit:
            continue
        return made
    raise too_many_conflicts(f"agent {agent_id!r}")


async def import_(database: Database, share: Share) -> None:
    share = rules.in_utc(share)
    for _ in range(ATTEMPTS):
        document = await agents.newest_document(database, share.owner, share.agent_id)
        stored = await database.get(database.layout.share(share.owner, share.agent_id, share.kind, share.name))
        try:
            await _put(database, document, stored, share)
        except ConflictingCommit:
            continue
        return
    raise too_many_conflicts(f"agent {share.agent_id!r}")


async def unshare(database: Database, owner: str, agent_id: str, kind: ShareKind, name: str) -> None:
    if not rules.is_agent_id(agent_id):
        raise rules.unknown_share(agent_id, kind, name)
    ref = database.layout.share(owner, agent_id, kind, name)
    if await database.get(ref) is None:
        raise rules.unknown_share(agent_id, kind, name)
    await database.commit([Delete(ref)])


async def list_(database: Database, owner: str, agent_id: str, limit: int, after: tuple[str, str]) -> Page[Share]:
    await agents.newest_document(database, owner, agent_id)
    # There are MAX_SHARES at most.
    shares = sorted(_shares(await agents.shares_of(database, owner, agent_id)), key=_in_order)
    found = [share for share in shares if _in_order(share) > after]
    items = found[:limit]
    return Page[Share](items=items, next=share_cursor(items[-1]) if len(found) > limit else None)


async def list_shared(
    database: Database, person: str, groups: Collection[str], limit: int, after: tuple[str, str]
) -> Page[SharedAgent]:
    found: dict[tuple[str, str], list[Share]] = {}
    for audiences in _audiences(person, groups):
        for share in await _with(database, person, audiences, limit + 1, after):
            found.setdefault((share.owner, share.agent_id), []).append(share)
    keys = sorted(found)
    items = []
    newest = await _newest(database, keys[:limit])
    for key in keys[:limit]:
        # It may have been deleted since.
        if key in newest:
            items.append(SharedAgent(agent=newest[key], access=rules.reach(found[key])[0]))
    more = len(keys) > limit
    return Page[SharedAgent](items=items, next="/".join(keys[limit - 1]) if more else None)


async def get(
    database: Database, person: str, groups: Collection[str], owner: str, agent_id: str, revision: int | None
) -> SharedAgent:
    shares: list[Share] = []
    if rules.is_agent_id(agent_id) and owner not in ("", person):
        for audiences in _audiences(person, groups):
            query = database.layout.shares(owner).where(filter=FieldFilter("agent", "==", agent_id))
            shares += _shares(await database.query(query.where(filter=FieldFilter("with", "in", audiences))))
    if not shares:
        raise rules.not_shared(owner, agent_id)
    access, first = rules.reach(shares)
    if revision is not None and not first <= revision <= rules.MAX_INTEGER:
        raise rules.not_shared_revision(owner, agent_id, revision)
    try:
        agent = await agents.get(database, owner, agent_id, revision)
    except NotFound:
        if revision is None:
            raise rules.not_shared(owner, agent_id) from None
        raise rules.not_shared_revision(owner, agent_id, revision) from None
    return SharedAgent(agent=agent, access=access)


async def _with(
    database: Database, person: str, audiences: list[str], enough: int, after: tuple[str, str]
) -> list[Share]:
    """The shares with these, until they are of so many agents; of the last agent perhaps not all."""
    shares: list[Share] = []
    agents_found: set[tuple[str, str]] = set()
    # Behind all shares of that agent.
    start = f"{_SEPARATOR.join(after)}\x02" if after[0] else ""
    while len(agents_found) < enough:
        query = database.layout.all_shares().where(filter=FieldFilter("with", "in", audiences)).order_by("order")
        if start:
            query = query.where(filter=FieldFilter("order", ">", start))
        documents = await database.query(query.limit(enough))
        for share in _shares(documents):
            if share.owner != person:
                shares.append(share)
                agents_found.add((share.owner, share.agent_id))
        if len(documents) < enough:
            break
        start = documents[-1].get("order")
    return shares


async def _newest(database: Database, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Agent]:
    found: dict[tuple[str, str], Agent] = {}
    for owner in dict.fromkeys(owner for owner, _ in keys):
        refs = [database.layout.agents(owner).document(agent_id) for other, agent_id in keys if other == owner]
        documents = [each for each in (await database.get_all(refs)).values() if not each.get("deleted")]
        for agent in await agents.unpacked(database, owner, documents):
            found[owner, agent.id] = agent
    return found


async def _put(database: Database, agent: Snapshot, stored: Snapshot | None, share: Share) -> None:
    """Store a share of the agent that was read, instead of the one that is stored. Raises ConflictingCommit."""
    token = new_token()
    if stored is None:
        others = await agents.shares_of(database, share.owner, share.agent_id)
        rules.check_room_for_share(share.agent_id, len(others))
    ref = database.layout.share(share.owner, share.agent_id, share.kind, share.name)
    record = share.model_dump_json()
    fields: dict[str, Any] = {
        "agent": share.agent_id, "with": _audience(share.kind, share.name), "record": record, "token": token,
        "order": _SEPARATOR.join((share.owner, share.agent_id, digest(share.kind, share.name)[:12])),
    }  # fmt: skip
    size = len(record.encode())
    written: Write = (
        Create(ref, fields, size=size) if stored is None else Replace(ref, fields, stored.update_time, size=size)
    )
    await database.commit([Replace(agent.reference, {"token": token}, agent.update_time), written])


def _shares(documents: Sequence[Snapshot]) -> list[Share]:
    return [Share.model_validate_json(document.get("record")) for document in documents]


def _in_order(share: Share) -> tuple[str, str]:
    return share.kind.value, share.name


def _audience(kind: ShareKind, name: str) -> str:
    return f"{kind.value}:{name}"


def _audiences(person: str, groups: Collection[str]) -> Iterator[list[str]]:
    """Whom things are shared with to be this person's, as many at a time as a query takes."""
    names = [(ShareKind.PERSON, person), *((ShareKind.GROUP, name) for name in sorted(set(groups)))]
    for first in range(0, len(names), IN):
        yield [_audience(*name) for name in names[first : first + IN]]
