"""`FirestoreStore`: the store of a site."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.cloud.firestore_v1 import AsyncClient

from ...errors import InvalidInput, StoreUnavailable
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
from . import agents, approvals, overview, runs, shares, transcripts
from . import events as event_log
from .connection import connect, disconnect
from .database import Database, Delete
from .failures import explain
from .layout import new_token, owner_of
from .log import RunLogs
from .transcripts import TranscriptWriters


@dataclass(frozen=True, slots=True)
class _Opened:
    client: AsyncClient
    database: Database
    logs: RunLogs
    transcripts: TranscriptWriters


class FirestoreStore(OverviewStore):
    """Agents, runs, events, approvals and transcripts in a Firestore database in Native mode.

    A call that returned is committed, in all zones of the database's location. A request waits up to
    `timeout` seconds for Firestore, with what passes by itself tried again. A call that then raises StoreUnavailable
    may, when only the answer was lost, have been carried out.

    The rights are those of the Application Default Credentials, unless a `client` is given, such as one of `connect`;
    it stays open when the store is closed. With FIRESTORE_EMULATOR_HOST in the environment the emulator is used.
    `clock` gives the times that the store itself puts down.
    """

    def __init__(
        self,
        project: str,
        *,
        database: str = "(default)",
        client: AsyncClient | None = None,
        clock: Clock = utcnow,
        timeout: float = 10.0,
    ) -> None:
        self._project = project
        self._name = database
        self._place = f"The Firestore database {database} of project {project}"
        self._given = client
        self._clock = clock
        self._timeout = timeout
        self._opened: _Opened | None = None
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._lifecycle = asyncio.Lock()

    async def open(self) -> None:
        async with self._lifecycle:
            if self._opened is not None:
                return
            try:
                client = self._given or await connect(self._project, self._name)
            except Exception as error:
                explained = explain(self._place, error)
                if explained is error:
                    raise
                raise explained from error
            database = Database(client, self._place, self._timeout)
            self._opened = _Opened(client, database, RunLogs(database), TranscriptWriters(database))

    async def close(self) -> None:
        async with self._lifecycle:
            opened, self._opened = self._opened, None
            if opened is None:
                return
            # Each call has a limit of its own.
            await self._idle.wait()
            await opened.logs.stop()
            if opened.client is not self._given:
                await disconnect(opened.client)

    @contextlib.asynccontextmanager
    async def _call(self) -> AsyncIterator[_Opened]:
        """Around each call: closing waits for it, and its errors are for people."""
        if self._opened is None:
            raise StoreUnavailable(f"{self._place} is not open: the server is starting or stopping.")
        self._calls += 1
        self._idle.clear()
        try:
            yield self._opened
        except ValueError as error:
            # A text that is none, found where a document's path or fields are made of it.
            explained = explain(self._place, error)
            if explained is error:
                raise
            raise explained from None
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    # Agents and their revisions

    async def create_agent(self, owner: str, agent_id: str, spec: AgentSpec) -> Agent:
        async with self._call() as opened:
            return await agents.create(opened.database, owner, agent_id, spec, self._clock())

    async def get_agent(self, owner: str, agent_id: str, revision: int | None = None) -> Agent:
        async with self._call() as opened:
            return await agents.get(opened.database, owner, agent_id, revision)

    async def list_agents(
        self, owner: str, *, deleted: bool = False, limit: int = 100, after: str | None = None
    ) -> Page[Agent]:
        paging.check_limit(limit)
        start = paging.parse_agent_cursor(after)
        async with self._call() as opened:
            return await agents.list_(opened.database, owner, deleted, limit, start)

    async def update_agent(self, owner: str, agent_id: str, spec: AgentSpec, *, revision: int) -> Agent:
        async with self._call() as opened:
            return await agents.update(opened.database, owner, agent_id, spec, revision, self._clock())

    async def delete_agent(self, owner: str, agent_id: str, *, revision: int) -> None:
        async with self._call() as opened:
            await agents.delete(opened.database, owner, agent_id, revision)

    async def list_revisions(
        self, owner: str, agent_id: str, *, limit: int = 100, before: str | None = None
    ) -> Page[Agent]:
        paging.check_limit(limit)
        start = paging.parse_revision_cursor(before)
        async with self._call() as opened:
            return await agents.list_revisions(opened.database, owner, agent_id, limit, start)

    async def import_revision(self, agent: Agent, *, deleted: bool = False) -> None:
        async with self._call() as opened:
            await agents.import_revision(opened.database, agent, deleted)

    # Shares

    async def share_agent(self, owner: str, agent_id: str, kind: ShareKind, name: str, access: ShareAccess) -> Share:
        rules.check_share(owner, kind, name)
        async with self._call() as opened:
            return await shares.share(opened.database, owner, agent_id, kind, name, access, self._clock())

    async def unshare_agent(self, owner: str, agent_id: str, kind: ShareKind, name: str) -> None:
        async with self._call() as opened:
            await shares.unshare(opened.database, owner, agent_id, kind, name)

    async def list_shares(
        self, owner: str, agent_id: str, *, limit: int = 100, after: str | None = None
    ) -> Page[Share]:
        paging.check_limit(limit)
        start = paging.parse_share_cursor(after)
        async with self._call() as opened:
            return await shares.list_(opened.database, owner, agent_id, limit, start)

    async def import_share(self, share: Share) -> None:
        rules.check_share_name(share.kind, share.name)
        async with self._call() as opened:
            await shares.import_(opened.database, share)

    async def list_shared(
        self, person: str, groups: Collection[str], *, limit: int = 100, after: str | None = None
    ) -> Page[SharedAgent]:
        paging.check_limit(limit)
        start = paging.parse_shared_cursor(after)
        async with self._call() as opened:
            return await shares.list_shared(opened.database, person, groups, limit, start)

    async def get_shared_agent(
        self, person: str, groups: Collection[str], owner: str, agent_id: str, revision: int | None = None
    ) -> SharedAgent:
        async with self._call() as opened:
            return await shares.get(opened.database, person, groups, owner, agent_id, revision)

    # Runs

    async def create_run(self, run: Run) -> None:
        if run.last_seq:
            raise InvalidInput(f"A new run has no events, but last_seq is {run.last_seq}: append them afterwards.")
        async with self._call() as opened:
            opened.logs.created(await runs.create(opened.database, run))

    async def get_run(self, owner: str, run_id: str) -> Run:
        async with self._call() as opened:
            head, _entry = await runs.get(opened.database, owner, run_id)
            return head.run

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
        async with self._call() as opened:
            return await runs.list_(
                opened.database, owner, agent_id=agent_id, agent_owner=rules.other_than(owner, agent_owner),
                conversation_id=conversation_id, statuses=statuses, limit=limit, before=start,
            )  # fmt: skip

    # Events

    async def append_events(
        self, owner: str, run_id: str, events: Sequence[Event], changes: RunChanges | None = None
    ) -> None:
        rows = rules.event_rows(run_id, events)
        if changes is not None:
            rules.check_changes(changes)
        async with self._call() as opened:
            await opened.logs.append(owner, run_id, rows, changes)

    async def list_events(self, owner: str, run_id: str, *, after: int = 0, limit: int = 500) -> list[Event]:
        paging.check_after(after)
        paging.check_limit(limit)
        async with self._call() as opened:
            return await event_log.list_(opened.database, owner, run_id, after, limit)

    # Approvals

    async def create_approval(self, approval: Approval) -> None:
        async with self._call() as opened:
            await approvals.create(opened.database, approval)

    async def import_approval(self, approval: Approval) -> None:
        async with self._call() as opened:
            await approvals.import_(opened.database, approval)

    async def get_approval(self, owner: str, approval_id: str) -> Approval:
        async with self._call() as opened:
            return await approvals.get(opened.database, owner, approval_id)

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
        async with self._call() as opened:
            return await approvals.list_(
                opened.database, owner, run_id=run_id, waiting=waiting, limit=limit, before=start
            )

    async def decide_approval(
        self, owner: str, approval_id: str, decision: Decision, *, message: str | None = None, by: str
    ) -> Approval:
        async with self._call() as opened:
            return await approvals.decide(opened.database, owner, approval_id, decision, message, by, self._clock())

    async def deliver_approval(self, owner: str, approval_id: str) -> Approval:
        async with self._call() as opened:
            return await approvals.deliver(opened.database, owner, approval_id, self._clock())

    async def close_approvals(self, owner: str, run_id: str, approval_id: str | None = None) -> int:
        async with self._call() as opened:
            return await approvals.close(opened.database, owner, run_id, approval_id)

    # Transcripts

    async def append_transcript(self, owner: str, key: TranscriptKey, entries: Sequence[dict[str, Any]]) -> None:
        rows = rules.entry_rows(entries)
        if not rows:
            return
        async with self._call() as opened:
            await opened.transcripts.append(owner, key, rows, int(self._clock().timestamp() * 1_000))

    async def load_transcript(self, owner: str, key: TranscriptKey) -> list[dict[str, Any]] | None:
        async with self._call() as opened:
            return await transcripts.load(opened.database, owner, key)

    async def list_transcripts(self, owner: str, project_key: str) -> list[tuple[str, int]]:
        async with self._call() as opened:
            return await transcripts.list_(opened.database, owner, project_key)

    async def list_transcript_subpaths(self, owner: str, project_key: str, session_id: str) -> list[str]:
        async with self._call() as opened:
            return await transcripts.list_subpaths(opened.database, owner, project_key, session_id)

    async def list_transcript_keys(self, owner: str) -> list[TranscriptKey]:
        async with self._call() as opened:
            return await transcripts.list_keys(opened.database, owner)

    async def delete_transcript(self, owner: str, key: TranscriptKey) -> None:
        async with self._call() as opened:
            await transcripts.delete(opened.database, owner, key)

    # The store itself

    async def check(self) -> None:
        async with self._call() as opened:
            # Removes nothing, and yet needs the right to write.
            await opened.database.commit([Delete(opened.database.layout.part("check", new_token(), 0))])

    async def owners(self) -> list[str]:
        async with self._call() as opened:
            return sorted(map(owner_of, await opened.database.owner_keys()))

    # Over all owners

    async def live_runs(self, limit: int) -> Sequence[LiveRun]:
        paging.check_limit(limit)
        async with self._call() as opened:
            return await overview.live_runs(opened.database, limit)

    async def waiting_calls(self, limit: int) -> Sequence[WaitingCall]:
        paging.check_limit(limit)
        async with self._call() as opened:
            return await overview.waiting_calls(opened.database, limit)

    async def known_agents(self) -> Sequence[KnownAgent]:
        async with self._call() as opened:
            return await overview.known_agents(opened.database)

    async def run_outcomes(self, since: datetime, until: datetime) -> Mapping[RunStatus, int]:
        async with self._call() as opened:
            return await overview.run_outcomes(opened.database, since, until)
