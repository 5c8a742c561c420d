"""`LocalStore`: the SQLite file of the home, in which each change is noted in the outbox in the same commit."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from pydantic_core import from_json

from ...ids import Clock, utcnow
from ...models import Approval, Decision, Event, EventType, Run, RunChanges, TranscriptKey
from .. import rules
from ..paging import moment
from ..sqlite import SQLiteStore, approvals, runs, transcripts
from ..sqlite import events as event_log
from . import mirror, outbox
from .outbox import APPROVAL, RUN, TRANSCRIPT, Lag, Note

T = TypeVar("T")

BATCH_BYTES = 1 << 20
BATCH = 500
"""What is sent at once."""

_NOTE: ContextVar[tuple[Note, bool] | None] = ContextVar("note", default=None)
"""What the write that is being made puts into the outbox, and whether it may be refused because that is full."""


class LocalStore(SQLiteStore):
    """`max_bytes` may wait for the service; `on_note` is called after each change."""

    def __init__(self, path: Path, clock: Clock = utcnow, *, max_bytes: int, on_note: Callable[[], None]) -> None:
        super().__init__(path, clock)
        self._max_bytes = max_bytes
        self._on_note = on_note

    async def write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Something that is not for the service."""
        return await super()._write(operation)

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        return await self._read(query)

    async def _write(self, operation: Callable[[sqlite3.Connection], T], size: int = 0) -> T:
        noting = _NOTE.get()
        if noting is None:
            return await super()._write(operation, size)
        note, bounded = noting
        now = self._clock()

        def noted(connection: sqlite3.Connection) -> T:
            if bounded and size:
                outbox.check_room(connection, self._max_bytes)
            result = operation(connection)
            note(connection, size, now)
            return result

        result = await super()._write(noted, size)
        self._on_note()
        return result

    # What is for the service

    async def create_run(self, run: Run) -> None:
        with _noting(outbox.note(RUN, run.owner, run.id)):
            await super().create_run(run)

    async def append_events(
        self, owner: str, run_id: str, events: Sequence[Event], changes: RunChanges | None = None
    ) -> None:
        with _noting(outbox.note(RUN, owner, run_id), bounded=True):
            await super().append_events(owner, run_id, events, changes)

    async def create_approval(self, approval: Approval) -> None:
        with _noting(outbox.note(APPROVAL, approval.owner, approval.id)):
            await super().create_approval(approval)

    async def import_approval(self, approval: Approval) -> None:
        with _noting(outbox.note(APPROVAL, approval.owner, approval.id)):
            await super().import_approval(approval)

    async def decide_approval(
        self, owner: str, approval_id: str, decision: Decision, *, message: str | None = None, by: str
    ) -> Approval:
        with _noting(outbox.note(APPROVAL, owner, approval_id)):
            return await super().decide_approval(owner, approval_id, decision, message=message, by=by)

    async def deliver_approval(self, owner: str, approval_id: str) -> Approval:
        with _noting(outbox.note(APPROVAL, owner, approval_id)):
            return await super().deliver_approval(owner, approval_id)

    async def close_approvals(self, owner: str, run_id: str, approval_id: str | None = None) -> int:
        with _noting(outbox.note_approvals_of(owner, run_id)):
            return await super().close_approvals(owner, run_id, approval_id)

    async def append_transcript(self, owner: str, key: TranscriptKey, entries: Sequence[dict[str, Any]]) -> None:
        with _noting(outbox.note(TRANSCRIPT, owner, outbox.key_of(key)), bounded=True):
            await super().append_transcript(owner, key, entries)

    async def delete_transcript(self, owner: str, key: TranscriptKey) -> None:
        with _noting(outbox.note_deletion(owner, key)):
            await super().delete_transcript(owner, key)

    # What is here

    async def has_run(self, owner: str, run_id: str) -> bool:
        return bool(await self.runs_here(owner, [run_id]))

    async def runs_here(self, owner: str, ids: Collection[str]) -> set[str]:
        return await self._read(lambda db: _which(db, "runs", owner, ids))

    async def approvals_here(self, owner: str, ids: Collection[str]) -> set[str]:
        return await self._read(lambda db: _which(db, "approvals", owner, ids))

    async def has_transcript(self, owner: str, key: TranscriptKey) -> bool:
        return await self._read(lambda db: next(transcripts.some(db, owner, key, 1, 0), None)) is not None

    async def deletions(self, owner: str) -> list[TranscriptKey]:
        return await self._read(lambda db: outbox.deletions(db, owner))

    async def lag(self) -> Lag:
        return await self._read(outbox.lag)

    # What comes from the service

    async def bring(self, run: Run, events: Sequence[Event], approvals_: Sequence[Approval]) -> None:
        """Store a run as the service has it, unless it is here by now."""
        rows = rules.event_rows(run.id, events)

        def bring(connection: sqlite3.Connection) -> None:
            if _which(connection, "runs", run.owner, [run.id]):
                return
            runs.create(connection, run)
            number, _ = runs.position(connection, run.owner, run.id)
            if rows:
                event_log.append(connection, number, 0, rows)
            for approval in approvals_:
                approvals.import_(connection, approval)

        await self.write(bring)

    async def bring_transcript(self, owner: str, key: TranscriptKey, entries: Sequence[dict[str, Any]]) -> None:
        """Store a transcript as the service has it, unless it is here by now."""
        rows = rules.entry_rows(entries)
        now = int(self._clock().timestamp() * 1_000)

        def bring(connection: sqlite3.Connection) -> None:
            if rows and next(transcripts.some(connection, owner, key, 1, 0), None) is None:
                transcripts.append(connection, owner, key, rows, now)

        await self.write(bring)

    # What is sent

    async def run_to_send(self, owner: str, run_id: str, after: int) -> tuple[Run, list[Event]]:
        """The run as it is now, and some of its events after a number. Raises NotFound."""

        def read(connection: sqlite3.Connection) -> tuple[Run, list[Event]]:
            number, _ = runs.position(connection, owner, run_id)
            base = number << 32
            rows = connection.execute(
                "SELECT key, time, type, payload FROM events WHERE key > ? AND key <= ? ORDER BY key LIMIT ?",
                (base | after, base | 0xFFFFFFFF, BATCH),
            )
            events: list[Event] = []
            size = 0
            for key, time, type_, payload in rows:
                if events and size + len(payload) > BATCH_BYTES:
                    break
                size += len(payload)
                events.append(
                    Event.model_construct(
                        run_id=run_id, seq=key - base, time=moment(time), type=EventType(type_),
                        payload=from_json(payload),
                    )
                )  # fmt: skip
            return runs.get(connection, owner, run_id), events

        return await self._read(read)

    async def entries_to_send(self, owner: str, key: TranscriptKey, done: int) -> list[dict[str, Any]]:
        """Some of the entries behind the first `done`."""

        def read(connection: sqlite3.Connection) -> list[dict[str, Any]]:
            entries: list[dict[str, Any]] = []
            size = 0
            for entry in transcripts.some(connection, owner, key, BATCH, done):
                if entries and size + len(entry) > BATCH_BYTES:
                    break
                size += len(entry)
                entries.append(from_json(entry))
            return entries

        return await self._read(read)

    async def is_known(self, name: str) -> bool:
        return await self._read(lambda db: mirror.known(db, name)) is not None


@contextlib.contextmanager
def _noting(note: Note, *, bounded: bool = False) -> Iterator[None]:
    token = _NOTE.set((note, bounded))
    try:
        yield
    finally:
        _NOTE.reset(token)


def _which(connection: sqlite3.Connection, table: str, owner: str, ids: Collection[str]) -> set[str]:
    marks = ", ".join("?" * len(ids))
    rows = connection.execute(
        f"SELECT id FROM {table} WHERE owner = ? AND id IN ({marks})",  # noqa: S608 - names of tables, and marks
        (owner, *ids),
    )
    return {id for (id,) in rows}
