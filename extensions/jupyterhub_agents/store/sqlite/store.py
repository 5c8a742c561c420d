"""`SQLiteStore`: the store on one machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from ...errors import InvalidInput
from ...ids import Clock, utcnow
from ...models import (
    Agent,
    AgentSpec,
    Approval,
    Decision,
    Event,
    Page,
    Run,
    RunChanges,
    RunStatus,
    Share,
    ShareAccess,
    SharedAgent,
    ShareKind,
    TranscriptKey,
)
from .. import paging, rules
from ..overview import KnownAgent, LiveRun, OverviewStore, WaitingCall
from . import agents, approvals, overview, runs, shares, transcripts, whole
from . import events as event_log
from .file import SQLiteFile

T = TypeVar("T")


class SQLiteStore(OverviewStore):
    """Agents, runs, events, approvals and transcripts in one SQLite file, which only its owner may read.

    A call that returned is on the disk: it outlives the end of the process, and a loss of power as far as the disk
    keeps its word. Other processes may use the file at the same time; a call waits up to 5 s for them.
    A folder that is missing is made, for its owner alone. `clock` gives the times that
    the store itself puts down.
    """

    def __init__(self, path: Path, clock: Clock = utcnow) -> None:
        self._file = SQLiteFile(path)
        self._clock = clock

    async def open(self) -> None:
        await self._file.open()

    async def close(self) -> None:
        await self._file.close()

    async def _write(self, operation: Callable[[sqlite3.Connection], T], size: int = 0) -> T:
        return await self._file.write(operation, size)

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        return await self._file.read(query)

    # Agents and their revisions

    async def create_agent(self, owner: str, agent_id: str, spec: AgentSpec) -> Agent:
        now = self._clock()
        return await self._write(lambda db: agents.create(db, owner, agent_id, spec, now))

    async def get_agent(self, owner: str, agent_id: str, revision: int | None = None) -> Agent:
        return await self._read(lambda db: agents.get(db, owner, agent_id, revision))

    async def list_agents(
        self, owner: str, *, deleted: bool = False, limit: int = 100, after: str | None = None
    ) -> Page[Agent]:
        paging.check_limit(limit)
        start = paging.parse_agent_cursor(after)
        return await self._read(lambda db: agents.list_(db, owner, deleted, limit, start))

    async def update_agent(self, owner: str, agent_id: str, spec: AgentSpec, *, revision: int) -> Agent:
        now = self._clock()
        return await self._write(lambda db: agents.update(db, owner, agent_id, spec, revision, now))

    async def delete_agent(self, owner: str, agent_id: str, *, revision: int) -> None:
        await self._write(lambda db: agents.delete(db, owner, agent_id, revision))

    async def list_revisions(
        self, owner: str, agent_id: str, *, limit: int = 100, before: str | None = None
    ) -> Page[Agent]:
        paging.check_limit(limit)
        start = paging.parse_revision_cursor(before)
        return await self._read(lambda db: agents.list_revisions(db, owner, agent_id, limit, start))

    async def import_revision(self, agent: Agent, *, deleted: bool = False) -> None:
        await self._write(lambda db: agents.import_revision(db, agent, deleted), len(agent.instructions))

    # Shares

    async def share_agent(self, owner: str, agent_id: str, kind: ShareKind, name: str, access: ShareAccess) -> Share:
        rules.check_share(owner, kind, name)
        now = self._clock()
        return await self._write(lambda db: shares.share(db, owner, agent_id, kind, name, access, now))

    async def unshare_agent(self, owner: str, agent_id: str, kind: ShareKind, name: str) -> None:
        await self._write(lambda db: shares.unshare(db, owner, agent_id, kind, name))

    async def list_shares(
        self, owner: str, agent_id: str, *, limit: int = 100, after: str | None = None
    ) -> Page[Share]:
        paging.check_limit(limit)
        start = paging.parse_share_cursor(after)
        return await self._read(lambda db: shares.list_(db, owner, agent_id, limit, start))

    async def import_share(self, share: Share) -> None:
        rules.check_share_name(share.kind, share.name)
        await self._write(lambda db: shares.import_(db, share))

    async def list_shared(
        self, person: str, groups: Collection[str], *, limit: int = 100, after: str | None = None
    ) -> Page[SharedAgent]:
        paging.check_limit(limit)
        start = paging.parse_shared_cursor(after)
        return await self._read(lambda db: shares.list_shared(db, person, groups, limit, start))

    async def get_shared_agent(
        self, person: str, groups: Collection[str], owner: str, agent_id: str, revision: int | None = None
    ) -> SharedAgent:
        return await self._read(lambda db: shares.get(db, person, groups, owner, agent_id, revision))

    # Runs

    async def create_run(self, run: Run) -> None:
        if run.last_seq:
            raise InvalidInput(f"A new run has no events, but last_seq is {run.last_seq}: append them afterwards.")
        await self._write(lambda db: runs.create(db, run), len(run.prompt))

    async def get_run(self, owner: str, run_id: str) -> Run:
        return await self._read(lambda db: runs.get(db, owner, run_id))

    async def list_runs(
        self,
        owner: str,
        *,
        agent_id: str | None = None,
        agent_owner: str | None = None,
        conversation_id: str | None = None,
        statuses: Collection[RunStatus] | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page[Run]:
        paging.check_limit(limit)
        start = paging.parse_time_cursor(before)
        return await self._read(
            lambda db: runs.list_(
                db, owner, agent_id=agent_id, agent_owner=rules.other_than(owner, agent_owner),
                conversation_id=conversation_id, statuses=statuses, limit=limit, before=start,
            )
        )  # fmt: skip

    # Events

    async def append_events(
        self, owner: str, run_id: str, events: Sequence[Event], changes: RunChanges | None = None
    ) -> None:
        rows = rules.event_rows(run_id, events)
        if changes is not None:
            rules.check_changes(changes)

        def append(db: sqlite3.Connection) -> None:
            number, last = runs.position(db, owner, run_id)
            if rows:
                event_log.append(db, number, last, rows)
            if changes is not None:
                runs.change(db, number, changes)

        await self._write(append, sum(len(payload) for *_, payload in rows))

    async def list_events(self, owner: str, run_id: str, *, after: int = 0, limit: int = 500) -> list[Event]:
        paging.check_after(after)
        paging.check_limit(limit)
        return await self._read(
            lambda db: event_log.list_(db, run_id, runs.position(db, owner, run_id)[0], after, limit)
        )

    # Approvals

    async def create_approval(self, approval: Approval) -> None:
        await self._write(lambda db: approvals.create(db, approval))

    async def import_approval(self, approval: Approval) -> None:
        await self._write(lambda db: approvals.import_(db, approval))

    async def get_approval(self, owner: str, approval_id: str) -> Approval:
        return await self._read(lambda db: approvals.get(db, owner, approval_id))

    async def list_approvals(
        self,
        owner: str,
        *,
        run_id: str | None = None,
        waiting: bool | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page[Approval]:
        paging.check_limit(limit)
        start = paging.parse_time_cursor(before)
        return await self._read(
            lambda db: approvals.list_(db, owner, run_id=run_id, waiting=waiting, limit=limit, before=start)
        )

    async def decide_approval(
        self, owner: str, approval_id: str, decision: Decision, *, message: str | None = None, by: str
    ) -> Approval:
        now = self._clock()
        return await self._write(lambda db: approvals.decide(db, owner, approval_id, decision, message, by, now))

    async def deliver_approval(self, owner: str, approval_id: str) -> Approval:
        now = self._clock()
        return await self._write(lambda db: approvals.deliver(db, owner, approval_id, now))

    async def close_approvals(self, owner: str, run_id: str, approval_id: str | None = None) -> int:
        return await self._write(lambda db: approvals.close(db, owner, run_id, approval_id))

    # Transcripts

    async def append_transcript(self, owner: str, key: TranscriptKey, entries: Sequence[dict[str, Any]]) -> None:
        rows = rules.entry_rows(entries)
        if rows:
            now = int(self._clock().timestamp() * 1_000)
            size = sum(len(entry) for _, entry in rows)
            await self._write(lambda db: transcripts.append(db, owner, key, rows, now), size)

    async def load_transcript(self, owner: str, key: TranscriptKey) -> list[dict[str, Any]] | None:
        return await self._read(lambda db: transcripts.load(db, owner, key))

    async def list_transcripts(self, owner: str, project_key: str) -> list[tuple[str, int]]:
        return await self._read(lambda db: transcripts.list_(db, owner, project_key))

    async def list_transcript_subpaths(self, owner: str, project_key: str, session_id: str) -> list[str]:
        return await self._read(lambda db: transcripts.list_subpaths(db, owner, project_key, session_id))

    async def list_transcript_keys(self, owner: str) -> list[TranscriptKey]:
        return await self._read(lambda db: transcripts.list_keys(db, owner))

    async def delete_transcript(self, owner: str, key: TranscriptKey) -> None:
        await self._write(lambda db: transcripts.delete(db, owner, key))

    # The store itself

    async def check(self) -> None:
        await self._write(whole.touch)
        await self._read(whole.look)

    async def owners(self) -> list[str]:
        return await self._read(whole.owners)

    # Over all owners

    async def live_runs(self, limit: int) -> Sequence[LiveRun]:
        paging.check_limit(limit)
        return await self._read(lambda db: overview.live_runs(db, limit))

    async def waiting_calls(self, limit: int) -> Sequence[WaitingCall]:
        paging.check_limit(limit)
        return await self._read(lambda db: overview.waiting_calls(db, limit))

    async def known_agents(self) -> Sequence[KnownAgent]:
        return await self._read(overview.known_agents)

    async def run_outcomes(self, since: datetime, until: datetime) -> Mapping[RunStatus, int]:
        return await self._read(lambda db: overview.run_outcomes(db, since, until))
