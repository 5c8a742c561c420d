"""`ReplicatedStore`: the store of a workspace, on its home volume first, in the hub's service as soon as can be."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ...errors import AgentsError, NotAllowed, NotFound, StoreUnavailable
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
from .. import rules
from ..base import MAX_PAGE, AgentStore
from ..remote import RemoteStore
from ..remote.transport import Token
from . import mirror, outbox
from .local import LocalStore
from .merging import merged
from .outbox import Lag
from .replicator import ADOPTED, Replicator, is_away

T = TypeVar("T")

MAX_WAITING_BYTES = 2 << 30
ASK_S = 4.0
"""How long a person waits for the service, before it counts as away."""
DECIDE_S = 15.0
"""How long for what only the service can do, unless it counts as away already."""
SEND_S = 30.0
AWAY_S = (2.0, 5.0, 15.0, 30.0)
"""How long it counts as away without being asked again for what can do without it."""


class ReplicatedStore(AgentStore):
    """Runs, events, approvals and transcripts are written to the SQLite file `path` and given to readers from there;
    the service at `url` gets them after that. Agents are the service's, and read from here while it is away.

    `docs/data-model.md` says what is read from where, and what happens when the service is away. At most
    `max_waiting_bytes` wait for the service; then events and transcripts are refused (StoreUnavailable) until it is
    back. `close` sends what waits for at most `flush_s` seconds. `owner` is whose workspace this is: only their things
    are taken to the service when the home was used without it before.
    """

    def __init__(
        self,
        path: Path,
        url: str,
        token: Token,
        *,
        owner: str | None = None,
        clock: Clock = utcnow,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        flush_s: float = 3.0,
    ) -> None:
        self._clock = clock
        self._flush_s = flush_s
        self._local = LocalStore(path, clock, max_bytes=max_waiting_bytes, on_note=self._noticed)
        self._remote = RemoteStore(url, token, timeout=ASK_S)
        self._patient = RemoteStore(url, token, timeout=DECIDE_S)
        self._feed = RemoteStore(url, token, timeout=SEND_S)
        self._path = path
        self._owner = owner
        self._replicator: Replicator | None = None
        self._lifecycle = asyncio.Lock()
        self._away_until = 0.0
        self._why_away = ""
        self._times_away = 0
        self._seen: dict[tuple[str, str], int] = {}
        """The newest revisions that are in the mirror."""
        self._listed: set[str] = set()
        self._changes = 0
        """How often agents were changed from here: an answer from before the newest change is not kept."""

    async def open(self) -> None:
        async with self._lifecycle:
            if self._replicator is not None:
                return
            await self._local.open()
            try:
                await self._local.write(outbox.try_again)
                await self._local.write(_adopted_if_new)
                await self._remote.open()
                await self._patient.open()
                await self._feed.open()
            except BaseException:
                await self._feed.close()
                await self._patient.close()
                await self._remote.close()
                await self._local.close()
                raise
            self._replicator = Replicator(
                self._path, self._local, self._feed, clock=self._clock, owner=self._owner, on_sent=self._reached
            )
            self._replicator.start()

    async def close(self) -> None:
        async with self._lifecycle:
            replicator, self._replicator = self._replicator, None
            if replicator is not None:
                await replicator.stop(self._flush_s)
            await self._feed.close()
            await self._patient.close()
            await self._remote.close()
            await self._local.close()

    async def lag(self) -> Lag:
        """How far the service is behind this home. Raises StoreUnavailable."""
        return await self._local.lag() if self._replicator is None else await self._replicator.lag()

    @property
    def newest_lag(self) -> Lag:
        """How far the service was behind a moment ago."""
        return Lag() if self._replicator is None else self._replicator.newest_lag

    def _noticed(self) -> None:
        if self._replicator is not None:
            self._replicator.notice()

    # The service

    async def _there(self, call: Callable[[RemoteStore], Awaitable[T]], *, ask: bool = False) -> T:
        """What the service answers. Raises its errors, and StoreUnavailable at once while it counts as away, unless a
        person wants it to be asked."""
        loop = asyncio.get_running_loop()
        away = loop.time() < self._away_until
        if away and not ask:
            raise StoreUnavailable(self._why_away)
        try:
            answer = await call(self._patient if ask and not away else self._remote)
        except AgentsError as error:
            if not is_away(error):
                self._reached()
                raise
            said = f"The hub's agents service lets this workspace not in: {error.message}"
            self._why_away = said if isinstance(error, NotAllowed) else error.message
            self._away_until = loop.time() + AWAY_S[min(self._times_away, len(AWAY_S) - 1)]
            self._times_away += 1
            raise StoreUnavailable(self._why_away) from error
        self._reached()
        return answer

    def _reached(self) -> None:
        self._away_until = 0.0
        self._times_away = 0

    # Agents and their revisions: the service's

    async def create_agent(self, owner: str, agent_id: str, spec: AgentSpec) -> Agent:
        return await self._changed(lambda store: store.create_agent(owner, agent_id, spec))

    async def update_agent(self, owner: str, agent_id: str, spec: AgentSpec, *, revision: int) -> Agent:
        return await self._changed(lambda store: store.update_agent(owner, agent_id, spec, revision=revision))

    async def delete_agent(self, owner: str, agent_id: str, *, revision: int) -> None:
        await self._decided(lambda store: store.delete_agent(owner, agent_id, revision=revision))
        await self._forget(owner, agent_id)

    async def import_revision(self, agent: Agent, *, deleted: bool = False) -> None:
        await self._decided(lambda store: store.import_revision(agent, deleted=deleted))
        self._seen.pop((agent.owner, agent.id), None)

    async def get_agent(self, owner: str, agent_id: str, revision: int | None = None) -> Agent:
        if not await self._is_adopted():
            return await self._local.get_agent(owner, agent_id, revision)
        if revision is not None:
            try:
                return await self._local.get_agent(owner, agent_id, revision)
            except NotFound:
                agent = await self._there(lambda store: store.get_agent(owner, agent_id, revision))
                await self._local.write(lambda db: mirror.keep(db, [agent], newest=False))
                return agent
        before = self._changes
        try:
            agent = await self._there(lambda store: store.get_agent(owner, agent_id))
        except StoreUnavailable as away:
            try:
                return await self._local.get_agent(owner, agent_id)
            except NotFound:
                raise away from None
        except NotFound:
            if before == self._changes:
                await self._forget(owner, agent_id)
            raise
        if before == self._changes:
            await self._keep([agent])
        return agent

    async def list_agents(
        self, owner: str, *, deleted: bool = False, limit: int = 100, after: str | None = None
    ) -> Page[Agent]:
        if not await self._is_adopted():
            return await self._local.list_agents(owner, deleted=deleted, limit=limit, after=after)
        listed = _LISTED + owner
        before = self._changes
        try:
            page = await self._there(lambda store: store.list_agents(owner, deleted=deleted, limit=limit, after=after))
        except StoreUnavailable:
            if deleted or not await self._local.is_known(listed):
                raise
            return await self._local.list_agents(owner, limit=limit, after=after)
        if deleted or before != self._changes:
            return page
        await self._keep(page.items)
        # While that was written, an agent may have been made that this page does not have.
        if before == self._changes and after is None and page.next is None:
            ids = {agent.id for agent in page.items}
            gone = {id for who, id in self._seen if who == owner} - ids
            if gone or listed not in self._listed:
                await self._local.write(lambda db: _now_listed(db, owner, ids, listed))
                self._listed.add(listed)
                for id in gone:
                    self._seen.pop((owner, id), None)  # another listing may have been sooner
        return page

    async def list_revisions(
        self, owner: str, agent_id: str, *, limit: int = 100, before: str | None = None
    ) -> Page[Agent]:
        if not await self._is_adopted():
            return await self._local.list_revisions(owner, agent_id, limit=limit, before=before)
        return await self._there(lambda store: store.list_revisions(owner, agent_id, limit=limit, before=before))

    async def _changed(self, call: Callable[[RemoteStore], Awaitable[Agent]]) -> Agent:
        agent = await self._decided(call)
        await self._keep([agent])
        return agent

    async def _decided(self, call: Callable[[RemoteStore], Awaitable[T]]) -> T:
        """What only the service can decide, because others may change agents too."""
        self._changes += 1
        try:
            if not await self._is_adopted():
                raise StoreUnavailable("The agents of this workspace are not in the hub's service yet.")
            return await self._there(call, ask=True)
        except StoreUnavailable as error:
            raise StoreUnavailable(
                "Agents cannot be changed now; runs and conversations go on. Should the change have been on its way, "
                f"look at the agent before you make it again. {error.message}"
            ) from error
        finally:
            self._changes += 1

    async def _keep(self, agents: Sequence[Agent]) -> None:
        new = [agent for agent in agents if self._seen.get((agent.owner, agent.id)) != agent.revision]
        if new:
            await self._local.write(lambda db: mirror.keep(db, new, newest=True))
            self._seen.update({(agent.owner, agent.id): agent.revision for agent in new})

    async def _forget(self, owner: str, agent_id: str) -> None:
        if self._seen.pop((owner, agent_id), None) is not None:
            await self._local.write(lambda db: mirror.forget(db, owner, agent_id))

    async def _is_adopted(self) -> bool:
        return await self._local.is_known(ADOPTED)

    # Shares: the service's alone, for no home knows what others share

    async def share_agent(self, owner: str, agent_id: str, kind: ShareKind, name: str, access: ShareAccess) -> Share:
        return await self._shared(lambda store: store.share_agent(owner, agent_id, kind, name, access))

    async def unshare_agent(self, owner: str, agent_id: str, kind: ShareKind, name: str) -> None:
        return await self._shared(lambda store: store.unshare_agent(owner, agent_id, kind, name))

    async def list_shares(
        self, owner: str, agent_id: str, *, limit: int = 100, after: str | None = None
    ) -> Page[Share]:
        return await self._shared(lambda store: store.list_shares(owner, agent_id, limit=limit, after=after), ask=False)

    async def import_share(self, share: Share) -> None:
        return await self._shared(lambda store: store.import_share(share))

    async def list_shared(
        self, person: str, groups: Collection[str], *, limit: int = 100, after: str | None = None
    ) -> Page[SharedAgent]:
        return await self._shared(lambda store: store.list_shared(person, groups, limit=limit, after=after), ask=False)

    async def get_shared_agent(
        self, person: str, groups: Collection[str], owner: str, agent_id: str, revision: int | None = None
    ) -> SharedAgent:
        return await self._shared(lambda store: store.get_shared_agent(person, groups, owner, agent_id, revision))

    async def _shared(self, call: Callable[[RemoteStore], Awaitable[T]], *, ask: bool = True) -> T:
        """What the service answers. Lists are looked at often: for those it is not asked while it counts as away."""
        try:
            return await self._there(call, ask=ask)
        except StoreUnavailable as error:
            raise StoreUnavailable(
                "What is shared cannot be read or changed now; your own agents, and runs that are at work, go on. "
                f"{error.message}"
            ) from error

    # Runs: written here

    async def create_run(self, run: Run) -> None:
        await self._local.create_run(run)

    async def get_run(self, owner: str, run_id: str) -> Run:
        try:
            return await self._local.get_run(owner, run_id)
        except NotFound:
            return await self._there(lambda store: store.get_run(owner, run_id))

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
        filters: dict[str, Any] = {
            "agent_id": agent_id, "agent_owner": agent_owner, "conversation_id": conversation_id, "statuses": statuses,
        }  # fmt: skip

        async def there(**page: Any) -> Page[Run]:
            return await self._there(lambda store: store.list_runs(owner, **filters, **page))

        here = partial(self._local.list_runs, owner, **filters)
        try:
            return await merged(here, there, partial(self._local.runs_here, owner), limit=limit, before=before)
        except StoreUnavailable:
            return await here(limit=limit, before=before)

    async def append_events(
        self, owner: str, run_id: str, events: Sequence[Event], changes: RunChanges | None = None
    ) -> None:
        await self._here(owner, run_id, lambda: self._local.append_events(owner, run_id, events, changes))

    async def list_events(self, owner: str, run_id: str, *, after: int = 0, limit: int = 500) -> list[Event]:
        try:
            return await self._local.list_events(owner, run_id, after=after, limit=limit)
        except NotFound:
            return await self._there(lambda store: store.list_events(owner, run_id, after=after, limit=limit))

    async def _here(self, owner: str, run_id: str, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call of the run's; a run that is not in this home is brought here first, because from now on it is
        written here. Raises NotFound when the service has no such run either."""
        try:
            return await call()
        except NotFound:
            if not rules.is_run_id(run_id) or await self._local.has_run(owner, run_id):
                raise
        await self._bring(owner, run_id)
        return await call()

    async def _bring(self, owner: str, run_id: str) -> None:
        run = await self._there(lambda store: store.get_run(owner, run_id))
        events: list[Event] = []
        while len(events) < run.last_seq:
            after = len(events)
            events += await self._there(
                lambda store, after=after: store.list_events(owner, run_id, after=after, limit=MAX_PAGE)  # type: ignore[misc]  # the default binds it
            )
            if len(events) >= run.last_seq:
                run = await self._there(lambda store: store.get_run(owner, run_id))
        approvals: list[Approval] = []
        before: str | None = None
        while True:
            page = await self._there(
                lambda store, before=before: store.list_approvals(owner, run_id=run_id, limit=MAX_PAGE, before=before)  # type: ignore[misc]  # as above
            )
            approvals += page.items
            if (before := page.next) is None:
                break
        await self._local.bring(run, events[: run.last_seq], approvals)

    # Approvals: written where their run is

    async def create_approval(self, approval: Approval) -> None:
        await self._here(approval.owner, approval.run_id, lambda: self._local.create_approval(approval))

    async def import_approval(self, approval: Approval) -> None:
        await self._here(approval.owner, approval.run_id, lambda: self._local.import_approval(approval))

    async def get_approval(self, owner: str, approval_id: str) -> Approval:
        try:
            return await self._local.get_approval(owner, approval_id)
        except NotFound:
            return await self._there(lambda store: store.get_approval(owner, approval_id))

    async def list_approvals(
        self,
        owner: str,
        *,
        run_id: str | None = None,
        waiting: bool | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page[Approval]:
        here = partial(self._local.list_approvals, owner, run_id=run_id, waiting=waiting)
        if run_id is not None and await self._local.has_run(owner, run_id):
            return await here(limit=limit, before=before)

        async def there(**page: Any) -> Page[Approval]:
            return await self._there(lambda store: store.list_approvals(owner, run_id=run_id, waiting=waiting, **page))

        try:
            return await merged(here, there, partial(self._local.approvals_here, owner), limit=limit, before=before)
        except StoreUnavailable:
            return await here(limit=limit, before=before)

    async def decide_approval(
        self, owner: str, approval_id: str, decision: Decision, *, message: str | None = None, by: str
    ) -> Approval:
        await self._bring_run_of(owner, approval_id)
        return await self._local.decide_approval(owner, approval_id, decision, message=message, by=by)

    async def deliver_approval(self, owner: str, approval_id: str) -> Approval:
        await self._bring_run_of(owner, approval_id)
        return await self._local.deliver_approval(owner, approval_id)

    async def close_approvals(self, owner: str, run_id: str, approval_id: str | None = None) -> int:
        if rules.is_run_id(run_id) and not await self._local.has_run(owner, run_id):
            try:
                await self._bring(owner, run_id)
            except NotFound:
                return 0
        return await self._local.close_approvals(owner, run_id, approval_id)

    async def _bring_run_of(self, owner: str, approval_id: str) -> None:
        if not await self._local.approvals_here(owner, [approval_id]):
            approval = await self._there(lambda store: store.get_approval(owner, approval_id))
            await self._bring(owner, approval.run_id)

    # Transcripts: written here

    async def append_transcript(self, owner: str, key: TranscriptKey, entries: Sequence[dict[str, Any]]) -> None:
        if not await self._local.has_transcript(owner, key):
            # A session that began elsewhere is loaded before it goes on, and is here then. When the service is away
            # this is a new one.
            try:
                await self._bring_transcript(owner, key)
            except StoreUnavailable:
                await self._local.check()
        await self._local.append_transcript(owner, key, entries)

    async def load_transcript(self, owner: str, key: TranscriptKey) -> list[dict[str, Any]] | None:
        entries = await self._local.load_transcript(owner, key)
        return await self._bring_transcript(owner, key) if entries is None else entries

    async def _bring_transcript(self, owner: str, key: TranscriptKey) -> list[dict[str, Any]] | None:
        if any(outbox.covers(deleted, key) for deleted in await self._local.deletions(owner)):
            return None
        entries = await self._there(lambda store: store.load_transcript(owner, key))
        if entries is not None:
            await self._local.bring_transcript(owner, key, entries)
            return await self._local.load_transcript(owner, key)
        return None

    async def list_transcripts(self, owner: str, project_key: str) -> list[tuple[str, int]]:
        deleted = await self._local.deletions(owner)
        there = await self._unless_away(lambda store: store.list_transcripts(owner, project_key))
        kept = {
            session_id: mtime
            for session_id, mtime in there or ()
            if not _is_deleted(deleted, TranscriptKey(project_key=project_key, session_id=session_id))
        }
        return list((kept | dict(await self._local.list_transcripts(owner, project_key))).items())

    async def list_transcript_subpaths(self, owner: str, project_key: str, session_id: str) -> list[str]:
        deleted = await self._local.deletions(owner)
        there = await self._unless_away(lambda store: store.list_transcript_subpaths(owner, project_key, session_id))
        keys = [TranscriptKey(project_key=project_key, session_id=session_id, subpath=each) for each in there or ()]
        kept = {key.subpath for key in keys if not _is_deleted(deleted, key)}
        return list(kept | set(await self._local.list_transcript_subpaths(owner, project_key, session_id)))

    async def list_transcript_keys(self, owner: str) -> list[TranscriptKey]:
        deleted = await self._local.deletions(owner)
        there = await self._unless_away(lambda store: store.list_transcript_keys(owner))
        kept = {key for key in there or () if not _is_deleted(deleted, key)}
        return list(kept | set(await self._local.list_transcript_keys(owner)))

    async def delete_transcript(self, owner: str, key: TranscriptKey) -> None:
        await self._local.delete_transcript(owner, key)

    # What is deleted here is read before the service is asked: afterwards, the deletion may be there already, and the
    # answer from before it.

    async def _unless_away(self, call: Callable[[RemoteStore], Awaitable[T]]) -> T | None:
        try:
            return await self._there(call)
        except StoreUnavailable:
            return None

    # The store itself

    async def check(self) -> None:
        """Raises StoreUnavailable unless the home can be read and written: without the service runs go on (`lag`)."""
        await self._local.check()

    async def owners(self) -> list[str]:
        there = await self._there(lambda store: store.owners())
        return sorted({*there, *await self._local.owners()})


_LISTED = "agents of "
"""Before a name: all agents of theirs are in the mirror."""


def _is_deleted(deleted: Sequence[TranscriptKey], key: TranscriptKey) -> bool:
    return any(outbox.covers(each, key) for each in deleted)


def _adopted_if_new(connection: sqlite3.Connection) -> None:
    """A home in which there is nothing has nothing to bring to the service."""
    if mirror.is_empty(connection):
        mirror.know(connection, ADOPTED, "yes")


def _now_listed(connection: sqlite3.Connection, owner: str, ids: Collection[str], name: str) -> None:
    mirror.forget_others(connection, owner, ids)
    mirror.know(connection, name, "yes")
