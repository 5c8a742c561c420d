"""Agents and their revisions, in SQL."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from ...models import Agent, AgentSpec, Page
from .. import rules
from ..paging import agent_cursor, revision_cursor
from . import shares

_NOW = "SELECT revision, deleted FROM agents WHERE owner = ? AND id = ?"
_REVISION = "SELECT record FROM revisions WHERE owner = ? AND agent_id = ? AND revision = ?"


def create(connection: sqlite3.Connection, owner: str, agent_id: str, spec: AgentSpec, now: datetime) -> Agent:
    row = connection.execute(_NOW, (owner, agent_id)).fetchone()
    if row is None:
        agent = rules.first_revision(spec, agent_id, owner, now)
        connection.execute("INSERT INTO agents (owner, id, revision) VALUES (?, ?, 1)", (owner, agent_id))
    else:
        revision, deleted = row
        if not deleted:
            raise rules.agent_exists(agent_id)
        agent = rules.first_revision(spec, agent_id, owner, now, revision=revision + 1)
        _set_newest(connection, agent)
    _add_revision(connection, agent)
    return agent


def get(connection: sqlite3.Connection, owner: str, agent_id: str, revision: int | None) -> Agent:
    if revision is None:
        return _newest(connection, owner, agent_id)
    row = None
    if 1 <= revision <= rules.MAX_INTEGER:
        row = connection.execute(_REVISION, (owner, agent_id, revision)).fetchone()
    if row is None:
        raise rules.unknown_revision(agent_id, revision)
    return Agent.model_validate_json(row[0])


def list_(connection: sqlite3.Connection, owner: str, deleted: bool, limit: int, after: str) -> Page[Agent]:
    rows = connection.execute(
        "SELECT record FROM agents JOIN revisions AS r"
        " ON r.owner = agents.owner AND r.agent_id = agents.id AND r.revision = agents.revision"
        " WHERE agents.owner = ? AND agents.id > ? AND agents.deleted = ? ORDER BY agents.id LIMIT ?",
        (owner, after, deleted, limit + 1),
    ).fetchall()
    items = [Agent.model_validate_json(record) for (record,) in rows[:limit]]
    return Page[Agent](items=items, next=agent_cursor(items[-1]) if len(rows) > limit else None)


def update(
    connection: sqlite3.Connection, owner: str, agent_id: str, spec: AgentSpec, revision: int, now: datetime
) -> Agent:
    newest = _newest(connection, owner, agent_id)
    rules.check_revision(agent_id, newest.revision, revision)
    if rules.same_spec(spec, newest.spec):
        return newest
    agent = Agent.from_spec(
        spec, id=agent_id, owner=owner, revision=revision + 1, now=now, created_at=newest.created_at
    )
    _add_revision(connection, agent)
    _set_newest(connection, agent)
    return agent


def delete(connection: sqlite3.Connection, owner: str, agent_id: str, revision: int) -> None:
    rules.check_revision(agent_id, _newest(connection, owner, agent_id).revision, revision)
    connection.execute("UPDATE agents SET deleted = 1 WHERE owner = ? AND id = ?", (owner, agent_id))
    shares.end(connection, owner, agent_id)


def list_revisions(
    connection: sqlite3.Connection, owner: str, agent_id: str, limit: int, before: int | None
) -> Page[Agent]:
    if connection.execute(_NOW, (owner, agent_id)).fetchone() is None:
        raise rules.unknown_agent(agent_id)
    rows = connection.execute(
        "SELECT record FROM revisions WHERE owner = ? AND agent_id = ? AND revision < ? ORDER BY revision DESC LIMIT ?",
        (owner, agent_id, rules.MAX_INTEGER if before is None else before, limit + 1),
    ).fetchall()
    items = [Agent.model_validate_json(record) for (record,) in rows[:limit]]
    return Page[Agent](items=items, next=revision_cursor(items[-1]) if len(rows) > limit else None)


def import_revision(connection: sqlite3.Connection, agent: Agent, deleted: bool) -> None:
    agent = rules.in_utc(agent)
    stored = connection.execute(_REVISION, (agent.owner, agent.id, agent.revision)).fetchone()
    if stored is not None:
        if not rules.same_spec(Agent.model_validate_json(stored[0]), agent):
            raise rules.revision_exists(agent)
        return
    row = connection.execute(_NOW, (agent.owner, agent.id)).fetchone()
    rules.check_follows_revision(agent, 0 if row is None else row[0])
    connection.execute(
        "INSERT INTO agents (owner, id, revision, deleted) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (owner, id) DO UPDATE SET revision = excluded.revision, deleted = excluded.deleted",
        (agent.owner, agent.id, agent.revision, deleted),
    )
    _add_revision(connection, agent)
    if deleted:
        shares.end(connection, agent.owner, agent.id)


def _newest(connection: sqlite3.Connection, owner: str, agent_id: str) -> Agent:
    row = connection.execute(_NOW, (owner, agent_id)).fetchone()
    if row is None or row[1]:
        raise rules.unknown_agent(agent_id)
    (record,) = connection.execute(_REVISION, (owner, agent_id, row[0])).fetchone()
    return Agent.model_validate_json(record)


def _add_revision(connection: sqlite3.Connection, agent: Agent) -> None:
    connection.execute(
        "INSERT INTO revisions (owner, agent_id, revision, record) VALUES (?, ?, ?, ?)",
        (agent.owner, agent.id, agent.revision, agent.model_dump_json()),
    )


def _set_newest(connection: sqlite3.Connection, agent: Agent) -> None:
    connection.execute(
        "UPDATE agents SET revision = ?, deleted = 0 WHERE owner = ? AND id = ?",
        (agent.revision, agent.owner, agent.id),
    )
