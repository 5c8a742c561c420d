"""Agents and their revisions, in SQL."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime

from pydantic import ValidationError

from ...errors import AlreadyExists, InvalidInput, NotFound, StaleRevision
from ...models import Agent, AgentSpec, Page
from ..paging import agent_cursor, revision_cursor

_NOW = "SELECT revision, deleted FROM agents WHERE owner = ? AND id = ?"
_REVISION = "SELECT record FROM revisions WHERE owner = ? AND agent_id = ? AND revision = ?"
_MAX_INTEGER = (1 << 63) - 1


def create(connection: sqlite3.Connection, owner: str, agent_id: str, spec: AgentSpec, now: datetime) -> Agent:
    row = connection.execute(_NOW, (owner, agent_id)).fetchone()
    if row is None:
        agent = _first(spec, agent_id, owner, now)
        connection.execute("INSERT INTO agents (owner, id, revision) VALUES (?, ?, 1)", (owner, agent_id))
    else:
        revision, deleted = row
        if not deleted:
            raise AlreadyExists(f"There is already an agent {agent_id!r}: choose another id, or change that one.")
        agent = _first(spec, agent_id, owner, now, revision=revision + 1)
        _set_newest(connection, agent)
    _add_revision(connection, agent)
    return agent


def get(connection: sqlite3.Connection, owner: str, agent_id: str, revision: int | None) -> Agent:
    if revision is None:
        return _newest(connection, owner, agent_id)
    row = None
    if 1 <= revision <= _MAX_INTEGER:
        row = connection.execute(_REVISION, (owner, agent_id, revision)).fetchone()
    if row is None:
        raise NotFound(f"There is no revision {revision} of an agent {agent_id!r}.")
    return Agent.model_validate_json(row[0])


def list_(connection: sqlite3.Connection, owner: str, limit: int, after: str) -> Page[Agent]:
    rows = connection.execute(
        "SELECT record FROM agents JOIN revisions AS r"
        " ON r.owner = agents.owner AND r.agent_id = agents.id AND r.revision = agents.revision"
        " WHERE agents.owner = ? AND agents.id > ? AND NOT agents.deleted ORDER BY agents.id LIMIT ?",
        (owner, after, limit + 1),
    ).fetchall()
    items = [Agent.model_validate_json(record) for (record,) in rows[:limit]]
    return Page[Agent](items=items, next=agent_cursor(items[-1]) if len(rows) > limit else None)


def update(
    connection: sqlite3.Connection, owner: str, agent_id: str, spec: AgentSpec, revision: int, now: datetime
) -> Agent:
    newest = _newest(connection, owner, agent_id)
    _check_revision(newest, revision)
    if _canonical(spec) == _canonical(newest.spec):
        return newest
    agent = Agent.from_spec(
        spec, id=agent_id, owner=owner, revision=revision + 1, now=now, created_at=newest.created_at
    )
    _add_revision(connection, agent)
    _set_newest(connection, agent)
    return agent


def delete(connection: sqlite3.Connection, owner: str, agent_id: str, revision: int) -> None:
    _check_revision(_newest(connection, owner, agent_id), revision)
    connection.execute("UPDATE agents SET deleted = 1 WHERE owner = ? AND id = ?", (owner, agent_id))


def list_revisions(
    connection: sqlite3.Connection, owner: str, agent_id: str, limit: int, before: int | None
) -> Page[Agent]:
    if connection.execute(_NOW, (owner, agent_id)).fetchone() is None:
        raise _unknown(agent_id)
    rows = connection.execute(
        "SELECT record FROM revisions WHERE owner = ? AND agent_id = ? AND revision < ? ORDER BY revision DESC LIMIT ?",
        (owner, agent_id, _MAX_INTEGER if before is None else before, limit + 1),
    ).fetchall()
    items = [Agent.model_validate_json(record) for (record,) in rows[:limit]]
    return Page[Agent](items=items, next=revision_cursor(items[-1]) if len(rows) > limit else None)


def _first(spec: AgentSpec, agent_id: str, owner: str, now: datetime, revision: int = 1) -> Agent:
    try:
        return Agent.from_spec(spec, id=agent_id, owner=owner, revision=revision, now=now)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise InvalidInput(f"{'.'.join(map(str, problem['loc']))} is {problem['input']!r}: {problem['msg']}.") from None


def _newest(connection: sqlite3.Connection, owner: str, agent_id: str) -> Agent:
    row = connection.execute(_NOW, (owner, agent_id)).fetchone()
    if row is None or row[1]:
        raise _unknown(agent_id)
    (record,) = connection.execute(_REVISION, (owner, agent_id, row[0])).fetchone()
    return Agent.model_validate_json(record)


def _check_revision(newest: Agent, revision: int) -> None:
    if newest.revision != revision:
        raise StaleRevision(
            f"Agent {newest.id!r} is at revision {newest.revision}, not {revision}: read it again, then repeat "
            "your change.",
            newest.revision,
        )


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


def _canonical(spec: AgentSpec) -> str:
    # As JSON, because Python takes 1, 1.0 and True for equal.
    return json.dumps(spec.model_dump(mode="json"), sort_keys=True)


def _unknown(agent_id: str) -> NotFound:
    return NotFound(f"There is no agent {agent_id!r}.")
