"""The agents of the service as this home last saw them, in SQL, so that runs can be started while it is away."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from ...models import Agent


def keep(connection: sqlite3.Connection, agents: Sequence[Agent], newest: bool, deleted: bool = False) -> None:
    """Store revisions as the service has them. With `newest` they are the newest of their agents."""
    for agent in agents:
        owner, id = agent.owner, agent.id
        if newest:
            connection.execute(
                "INSERT INTO agents (owner, id, revision, deleted) VALUES (?, ?, ?, ?) ON CONFLICT (owner, id)"
                " DO UPDATE SET revision = excluded.revision, deleted = excluded.deleted"
                " WHERE excluded.revision >= revision",
                (owner, id, agent.revision, deleted),
            )
        else:
            # As deleted, until the newest comes: it is not in the list of agents then.
            connection.execute(
                "INSERT OR IGNORE INTO agents (owner, id, revision, deleted) VALUES (?, ?, 0, 1)", (owner, id)
            )
        connection.execute(
            "INSERT OR REPLACE INTO revisions (owner, agent_id, revision, record) VALUES (?, ?, ?, ?)",
            (owner, id, agent.revision, agent.model_dump_json()),
        )


def forget(connection: sqlite3.Connection, owner: str, agent_id: str) -> None:
    """The service has it no more: it was deleted. Its revisions stay."""
    connection.execute("UPDATE agents SET deleted = 1 WHERE owner = ? AND id = ?", (owner, agent_id))


def forget_others(connection: sqlite3.Connection, owner: str, ids: Collection[str]) -> None:
    """These are all that the service has."""
    for (id,) in connection.execute("SELECT id FROM agents WHERE owner = ? AND NOT deleted", (owner,)).fetchall():
        if id not in ids:
            forget(connection, owner, id)


# What is known of the service


def known(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT value FROM replica WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def know(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO replica (name, value) VALUES (?, ?)", (name, value))


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether nobody ever stored anything in this home."""
    tables = ("agents", "runs", "transcripts")
    return not any(connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in tables)  # noqa: S608 - the constants above
