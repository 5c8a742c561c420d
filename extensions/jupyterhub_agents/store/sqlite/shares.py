"""With whom agents are shared, in SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from datetime import datetime

from ...models import Agent, Page, Share, ShareAccess, SharedAgent, ShareKind
from .. import rules
from ..paging import share_cursor, shared_cursor

_AGENT = (
    "SELECT record FROM agents JOIN revisions AS r"
    " ON r.owner = agents.owner AND r.agent_id = agents.id AND r.revision = agents.revision"
    " WHERE agents.owner = ? AND agents.id = ? AND NOT agents.deleted"
)
_REVISION = "SELECT record FROM revisions WHERE owner = ? AND agent_id = ? AND revision = ?"
_SHARE = "SELECT record FROM shares WHERE owner = ? AND agent_id = ? AND kind = ? AND name = ?"
_PUT = "INSERT OR REPLACE INTO shares (owner, agent_id, kind, name, record) VALUES (?, ?, ?, ?, ?)"


def share(
    connection: sqlite3.Connection, owner: str, agent_id: str, kind: ShareKind, name: str, access: ShareAccess,
    now: datetime,
) -> Share:  # fmt: skip
    agent = _newest(connection, owner, agent_id)
    row = connection.execute(_SHARE, (owner, agent_id, kind, name)).fetchone()
    before = None if row is None else Share.model_validate_json(row[0])
    made = rules.shared_now(agent, before, kind, name, access, now)
    _put(connection, made, is_new=before is None)
    return made


def unshare(connection: sqlite3.Connection, owner: str, agent_id: str, kind: ShareKind, name: str) -> None:
    found = connection.execute(
        "DELETE FROM shares WHERE owner = ? AND agent_id = ? AND kind = ? AND name = ?", (owner, agent_id, kind, name)
    ).rowcount
    if not found:
        raise rules.unknown_share(agent_id, kind, name)


def end(connection: sqlite3.Connection, owner: str, agent_id: str) -> None:
    """The agent is shared with nobody any more."""
    connection.execute("DELETE FROM shares WHERE owner = ? AND agent_id = ?", (owner, agent_id))


def list_(connection: sqlite3.Connection, owner: str, agent_id: str, limit: int, after: tuple[str, str]) -> Page[Share]:
    _newest(connection, owner, agent_id)
    rows = connection.execute(
        "SELECT record FROM shares WHERE owner = ? AND agent_id = ? AND (kind, name) > (?, ?)"
        " ORDER BY kind, name LIMIT ?",
        (owner, agent_id, *after, limit + 1),
    ).fetchall()
    items = [Share.model_validate_json(record) for (record,) in rows[:limit]]
    return Page[Share](items=items, next=share_cursor(items[-1]) if len(rows) > limit else None)


def import_(connection: sqlite3.Connection, share: Share) -> None:
    _newest(connection, share.owner, share.agent_id)
    key = (share.owner, share.agent_id, share.kind, share.name)
    _put(connection, rules.in_utc(share), is_new=connection.execute(_SHARE, key).fetchone() is None)


def list_shared(
    connection: sqlite3.Connection, person: str, groups: Collection[str], limit: int, after: tuple[str, str]
) -> Page[SharedAgent]:
    audiences = _audiences(person, groups)
    marks = ", ".join(["(?, ?)"] * len(audiences))
    rows = connection.execute(
        f"SELECT DISTINCT owner, agent_id FROM shares WHERE (kind, name) IN (VALUES {marks})"  # noqa: S608 - marks alone
        " AND (owner, agent_id) > (?, ?) AND owner != ? ORDER BY owner, agent_id LIMIT ?",
        (*(value for audience in audiences for value in audience), *after, person, limit + 1),
    ).fetchall()
    items = [get(connection, person, groups, owner, agent_id, None) for owner, agent_id in rows[:limit]]
    return Page[SharedAgent](items=items, next=shared_cursor(items[-1].agent) if len(rows) > limit else None)


def get(
    connection: sqlite3.Connection,
    person: str,
    groups: Collection[str],
    owner: str,
    agent_id: str,
    revision: int | None,
) -> SharedAgent:
    rows = [
        connection.execute(_SHARE, (owner, agent_id, *audience)).fetchone() for audience in _audiences(person, groups)
    ]
    shares = [Share.model_validate_json(row[0]) for row in rows if row is not None]
    if not shares or owner == person:
        raise rules.not_shared(owner, agent_id)
    access, first = rules.reach(shares)
    if revision is None:
        return SharedAgent(agent=_newest(connection, owner, agent_id), access=access)
    row = None
    if first <= revision <= rules.MAX_INTEGER:
        row = connection.execute(_REVISION, (owner, agent_id, revision)).fetchone()
    if row is None:
        raise rules.not_shared_revision(owner, agent_id, revision)
    return SharedAgent(agent=Agent.model_validate_json(row[0]), access=access)


def _audiences(person: str, groups: Collection[str]) -> list[tuple[ShareKind, str]]:
    return [(ShareKind.PERSON, person), *((ShareKind.GROUP, name) for name in sorted(set(groups)))]


def _newest(connection: sqlite3.Connection, owner: str, agent_id: str) -> Agent:
    row = connection.execute(_AGENT, (owner, agent_id)).fetchone()
    if row is None:
        raise rules.unknown_agent(agent_id)
    return Agent.model_validate_json(row[0])


def _put(connection: sqlite3.Connection, share: Share, *, is_new: bool) -> None:
    if is_new:
        (others,) = connection.execute(
            "SELECT count(*) FROM shares WHERE owner = ? AND agent_id = ?", (share.owner, share.agent_id)
        ).fetchone()
        rules.check_room_for_share(share.agent_id, others)
    connection.execute(_PUT, (share.owner, share.agent_id, share.kind, share.name, share.model_dump_json()))
