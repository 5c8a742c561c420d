"""The outbox, in SQL: what the service does not have yet as it is here.

It holds no copies: a row says which thing changed, and what is sent is the thing as it is by then. So it has at
most one row for each run, approval and transcript, however long the service is away.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ...errors import StoreUnavailable
from ...models import TranscriptKey
from ..paging import microseconds, moment

RUN = "run"
APPROVAL = "approval"
TRANSCRIPT = "transcript"
DELETED_TRANSCRIPT = "deleted-transcript"

_ADD = """
    INSERT INTO outbox (kind, owner, key, version, bytes, since) VALUES (?, ?, ?, random(), ?, ?)
    ON CONFLICT (kind, owner, key) DO UPDATE SET version = random(), bytes = bytes + excluded.bytes, trouble = NULL
"""
_TAIL = "(SELECT max(position) + 1 FROM outbox)"

Note = Callable[[sqlite3.Connection, int, datetime], None]
"""Puts a change into the outbox, within its transaction; with the bytes that it adds, and the time."""


@dataclass(frozen=True)
class Entry:
    """Something to bring to the service, as it was noted when this was read."""

    position: int
    kind: str
    owner: str
    key: str
    version: int
    bytes: int


@dataclass(frozen=True)
class Lag:
    """How far the service is behind this home."""

    entries: int = 0
    """Runs, approvals and transcripts that it does not have as they are here."""
    bytes: int = 0
    since: datetime | None = None
    """When the oldest of it was written."""
    refused: int = 0
    """How many of them the service refused, each for a reason of its own."""
    reason: str = ""
    """Why the service refused the first of those."""
    away: str = ""
    """Why nothing is sent now; nothing when it is."""

    @property
    def sentence(self) -> str:
        """For a person; nothing when all is well."""
        said = []
        if self.away:
            since = f", the oldest since {self.since:%Y-%m-%d %H:%M} UTC" if self.since is not None else ""
            said.append(
                f"The hub does not have the newest of this workspace ({self.entries} changed runs, approvals and "
                f"transcripts wait{since}). All of it is kept here, runs go on, and it is sent by itself. {self.away}"
            )
        if self.refused:
            said.append(
                f"The hub's service refused {self.refused} of the changes of this workspace; they are kept here. Tell "
                f"the hub's administrator. The first reason: {self.reason}"
            )
        return " ".join(said)


def note(kind: str, owner: str, key: str) -> Note:
    def add(connection: sqlite3.Connection, size: int, now: datetime) -> None:
        connection.execute(_ADD, (kind, owner, key, size, microseconds(now)))

    return add


def note_approvals_of(owner: str, run_id: str) -> Note:
    """Of all approvals of a run: which of them a call closes is not known before."""

    def add(connection: sqlite3.Connection, size: int, now: datetime) -> None:
        ids = connection.execute("SELECT id FROM approvals WHERE owner = ? AND run_id = ?", (owner, run_id)).fetchall()
        for (id,) in ids:
            connection.execute(_ADD, (APPROVAL, owner, id, 0, microseconds(now)))

    return add


def note_deletion(owner: str, key: TranscriptKey) -> Note:
    def add(connection: sqlite3.Connection, size: int, now: datetime) -> None:
        # What waits to be sent of it has no sense any more; what is written anew comes after the deletion.
        for position, other in connection.execute(
            "SELECT position, key FROM outbox WHERE kind = ? AND owner = ?", (TRANSCRIPT, owner)
        ).fetchall():
            if covers(key, transcript_of(other)):
                connection.execute("DELETE FROM outbox WHERE position = ?", (position,))
        connection.execute(_ADD, (DELETED_TRANSCRIPT, owner, key_of(key), 0, microseconds(now)))

    return add


def note_everything(connection: sqlite3.Connection, owner: str, now: datetime) -> None:
    """All that an owner has here, runs first."""
    for (id,) in connection.execute("SELECT id FROM runs WHERE owner = ? ORDER BY number", (owner,)).fetchall():
        connection.execute(_ADD, (RUN, owner, id, 0, microseconds(now)))
    for (id,) in connection.execute("SELECT id FROM approvals WHERE owner = ? ORDER BY number", (owner,)).fetchall():
        connection.execute(_ADD, (APPROVAL, owner, id, 0, microseconds(now)))
    for parts in connection.execute(
        "SELECT project_key, session_id, subpath FROM transcripts WHERE owner = ? ORDER BY number", (owner,)
    ).fetchall():
        connection.execute(_ADD, (TRANSCRIPT, owner, json.dumps(parts), 0, microseconds(now)))


def check_room(connection: sqlite3.Connection, bound: int) -> None:
    """Raises StoreUnavailable when more than `bound` bytes wait."""
    (waiting,) = connection.execute("SELECT COALESCE(sum(bytes), 0) FROM outbox").fetchone()
    if waiting >= bound:
        raise StoreUnavailable(
            f"{waiting >> 20} MB of this workspace wait for the hub's agents service, which is all that may wait. Runs "
            "stand still, and go on by themselves when the service is back. Tell the hub's administrator."
        )


def next_(connection: sqlite3.Connection, after: int, limit: int) -> list[Entry]:
    """What to send, the oldest first, behind a position; not what was refused."""
    rows = connection.execute(
        "SELECT position, kind, owner, key, version, bytes FROM outbox WHERE trouble IS NULL AND position > ?"
        " ORDER BY position LIMIT ?",
        (after, limit),
    )
    return [Entry(*row) for row in rows]


def sent(connection: sqlite3.Connection, entry: Entry, now: datetime) -> None:
    """The service has it as it was noted; what was noted meanwhile comes after the others."""
    deleted = connection.execute(
        "DELETE FROM outbox WHERE position = ? AND version = ?", (entry.position, entry.version)
    ).rowcount
    if not deleted:
        connection.execute(
            f"UPDATE outbox SET bytes = max(bytes - ?, 0), since = ?, position = {_TAIL}"  # noqa: S608 - a constant
            " WHERE kind = ? AND owner = ? AND key = ? AND position = ?",
            (entry.bytes, microseconds(now), entry.kind, entry.owner, entry.key, entry.position),
        )


def postpone(connection: sqlite3.Connection, entry: Entry) -> None:
    """Let the others go first."""
    connection.execute(f"UPDATE outbox SET position = {_TAIL} WHERE position = ?", (entry.position,))  # noqa: S608 - as above


def refuse(connection: sqlite3.Connection, entry: Entry, why: str) -> None:
    """The service does not take it as it is: leave it until it changes, or this server is started again."""
    connection.execute(
        "UPDATE outbox SET trouble = ? WHERE position = ? AND version = ?", (why, entry.position, entry.version)
    )


def try_again(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE outbox SET trouble = NULL WHERE trouble IS NOT NULL")


def lag(connection: sqlite3.Connection) -> Lag:
    entries, size, since, refused = connection.execute(
        "SELECT count(*), COALESCE(sum(bytes), 0), min(since), count(trouble) FROM outbox"
    ).fetchone()
    reason = connection.execute("SELECT trouble FROM outbox WHERE trouble IS NOT NULL ORDER BY position").fetchone()
    return Lag(
        entries, size, None if since is None else moment(since), refused, reason[0] if reason is not None else ""
    )


def deletions(connection: sqlite3.Connection, owner: str) -> list[TranscriptKey]:
    """The transcripts that are deleted here, and not there yet."""
    rows = connection.execute("SELECT key FROM outbox WHERE kind = ? AND owner = ?", (DELETED_TRANSCRIPT, owner))
    return [transcript_of(key) for (key,) in rows]


# Keys


def key_of(key: TranscriptKey) -> str:
    return json.dumps([key.project_key, key.session_id, key.subpath])


def transcript_of(key: str) -> TranscriptKey:
    project, session, subpath = json.loads(key)
    return TranscriptKey(project_key=project, session_id=session, subpath=subpath)


def covers(deleted: TranscriptKey, key: TranscriptKey) -> bool:
    """Whether the deletion of one is the deletion of the other too."""
    same_session = (deleted.project_key, deleted.session_id) == (key.project_key, key.session_id)
    return same_session and deleted.subpath in ("", key.subpath)
