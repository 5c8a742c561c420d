"""The schema, as numbered steps from an empty file to what this version needs.

A step never changes once it is released: a new need is a new step at the end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

APPLICATION_ID = 0x4A484147
"""Says in the file's header whose database it is (`PRAGMA application_id`): the letters JHAG."""

Migration = Sequence[str]
"""Statements, run in one transaction."""

MIGRATIONS: Sequence[Migration] = (
    (
        """
        CREATE TABLE agents (
            owner    TEXT NOT NULL,
            id       TEXT NOT NULL,
            revision INTEGER NOT NULL,
            deleted  INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (owner, id)
        ) WITHOUT ROWID
        """,
        # `record` is the agent as JSON.
        """
        CREATE TABLE revisions (
            owner    TEXT NOT NULL,
            agent_id TEXT NOT NULL,
            revision INTEGER NOT NULL,
            record   TEXT NOT NULL,
            PRIMARY KEY (owner, agent_id, revision),
            FOREIGN KEY (owner, agent_id) REFERENCES agents (owner, id)
        )
        """,
        # Times are whole microseconds since 1970 in UTC. The number of a run's newest event is not kept
        # here, but found at the end of its events: otherwise each append would rewrite a row whose prompt
        # may be a megabyte.
        """
        CREATE TABLE runs (
            number          INTEGER PRIMARY KEY,
            owner           TEXT NOT NULL,
            id              TEXT NOT NULL,
            agent_id        TEXT NOT NULL,
            agent_revision  INTEGER NOT NULL,
            trigger         TEXT NOT NULL,
            status          TEXT NOT NULL,
            session_id      TEXT NOT NULL,
            conversation_id TEXT NOT NULL,
            continues       TEXT,
            created_at      INTEGER NOT NULL,
            started_at      INTEGER,
            finished_at     INTEGER,
            turns           INTEGER NOT NULL,
            usage           TEXT NOT NULL,
            error           TEXT,
            notice          TEXT,
            prompt          TEXT NOT NULL,
            result          TEXT,
            UNIQUE (owner, id)
        )
        """,
        # Each ends in `status`, so that a search for a rare status reads the index and not the runs.
        "CREATE INDEX runs_newest ON runs (owner, created_at, id, status)",
        "CREATE INDEX runs_of_agent ON runs (owner, agent_id, created_at, id, status)",
        "CREATE INDEX runs_of_conversation ON runs (owner, conversation_id, created_at, id, status, agent_id)",
        # `key` is the run's number * 2^32 + seq: a run's events lie together in order, in one tree.
        # A table WITHOUT ROWID on (run, seq) would hold payloads over a quarter page outside of it.
        """
        CREATE TABLE events (
            key     INTEGER PRIMARY KEY,
            time    INTEGER NOT NULL,
            type    TEXT NOT NULL,
            payload TEXT NOT NULL
        )
        """,
    ),
    (
        # `record` is the approval as JSON; the columns before it are what it is found by.
        """
        CREATE TABLE approvals (
            number     INTEGER PRIMARY KEY,
            owner      TEXT NOT NULL,
            id         TEXT NOT NULL,
            run_id     TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            waiting    INTEGER NOT NULL,
            record     TEXT NOT NULL,
            UNIQUE (owner, id),
            FOREIGN KEY (owner, run_id) REFERENCES runs (owner, id)
        )
        """,
        "CREATE INDEX approvals_newest ON approvals (owner, created_at, id, waiting)",
        "CREATE INDEX approvals_of_run ON approvals (owner, run_id, created_at, id, waiting)",
        # Few wait of the many there were.
        "CREATE INDEX approvals_waiting ON approvals (owner, created_at, id) WHERE waiting = 1",
        # `modified_at` is in milliseconds since 1970, as the SDK wants it.
        """
        CREATE TABLE transcripts (
            number      INTEGER PRIMARY KEY,
            owner       TEXT NOT NULL,
            project_key TEXT NOT NULL,
            session_id  TEXT NOT NULL,
            subpath     TEXT NOT NULL,
            modified_at INTEGER NOT NULL,
            UNIQUE (owner, project_key, session_id, subpath)
        )
        """,
        # `key` is the transcript's number * 2^32 + a position: entries lie together in order, as events do.
        """
        CREATE TABLE transcript_entries (
            key        INTEGER PRIMARY KEY,
            transcript INTEGER NOT NULL,
            uuid       TEXT,
            entry      TEXT NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX transcript_uuids ON transcript_entries (transcript, uuid) WHERE uuid IS NOT NULL",
    ),
    (
        # What the hub's service does not have yet as it is here: one row for each thing, however often it changed.
        # `version` is another with each change, `bytes` what was added, `since` when the oldest of it was, `trouble`
        # why the service refused it.
        """
        CREATE TABLE outbox (
            position INTEGER PRIMARY KEY,
            kind     TEXT NOT NULL,
            owner    TEXT NOT NULL,
            key      TEXT NOT NULL,
            version  INTEGER NOT NULL,
            bytes    INTEGER NOT NULL,
            since    INTEGER NOT NULL,
            trouble  TEXT,
            UNIQUE (kind, owner, key)
        )
        """,
        # What this home knows of the service.
        """
        CREATE TABLE replica (
            name  TEXT PRIMARY KEY,
            value TEXT NOT NULL
        ) WITHOUT ROWID
        """,
    ),
    (
        # None where the agent is the run's owner's own.
        "ALTER TABLE runs ADD COLUMN agent_owner TEXT",
        "DROP INDEX runs_of_agent",
        "CREATE INDEX runs_of_agent ON runs (owner, agent_id, agent_owner, created_at, id, status)",
        # `record` is the share as JSON; the columns before it are what it is found by.
        """
        CREATE TABLE shares (
            owner    TEXT NOT NULL,
            agent_id TEXT NOT NULL,
            kind     TEXT NOT NULL,
            name     TEXT NOT NULL,
            record   TEXT NOT NULL,
            PRIMARY KEY (owner, agent_id, kind, name),
            FOREIGN KEY (owner, agent_id) REFERENCES agents (owner, id)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX shares_with ON shares (kind, name, owner, agent_id)",
    ),
)


@dataclass(frozen=True)
class Schema:
    """What a file holds: whose it is (`PRAGMA application_id`), and the steps to what this version needs."""

    application_id: int
    migrations: Sequence[Migration]

    @property
    def version(self) -> int:
        """What `PRAGMA user_version` says of a file that this version writes."""
        return len(self.migrations)


AGENTS = Schema(APPLICATION_ID, MIGRATIONS)
VERSION = AGENTS.version


def user_version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def migrate(
    connection: sqlite3.Connection,
    migrations: Sequence[Migration] = MIGRATIONS,
    application_id: int = APPLICATION_ID,
) -> None:
    """Take the steps that the file has not taken yet, each whole or not at all. Raises sqlite3.Error; the file is
    then as the last whole step left it. Two processes may do this at once."""
    while user_version(connection) < len(migrations):
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Read again: another process may have taken the step while this one waited.
            version = user_version(connection)
            if version < len(migrations):
                for statement in migrations[version]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {application_id}")
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
