"""Stores that break a promise each, whatever the backend, and the clause of the contract that must notice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from jupyterhub_agents.errors import SequenceGap, StaleRevision
from jupyterhub_agents.ids import utcnow
from jupyterhub_agents.models import (
    Agent,
    AgentSpec,
    Approval,
    Decision,
    Event,
    Page,
    Run,
    RunChanges,
    Share,
    ShareAccess,
    SharedAgent,
    ShareKind,
    TranscriptKey,
)
from jupyterhub_agents.store import AgentStore
from jupyterhub_agents.testing import StoreContract


class ShowsEverybodyEverything(AgentStore):
    async def get_run(self, owner: str, run_id: str) -> Run:
        return await super().get_run(StoreContract.owner, run_id)


class LastWriterWins(AgentStore):
    async def update_agent(self, owner: str, agent_id: str, spec: AgentSpec, *, revision: int) -> Agent:
        try:
            return await super().update_agent(owner, agent_id, spec, revision=revision)
        except StaleRevision as stale:
            return await self.update_agent(owner, agent_id, spec, revision=stale.current)


class PagesByPosition(AgentStore):
    async def list_runs(self, owner: str, *, limit: int = 50, before: str | None = None, **filters: Any) -> Page[Run]:
        start = int(before or 0)
        runs = (await super().list_runs(owner, limit=1_000, **filters)).items
        more = len(runs) > start + limit
        return Page[Run](items=runs[start : start + limit], next=str(start + limit) if more else None)


class CommitsChangesApart(AgentStore):
    async def append_events(
        self, owner: str, run_id: str, events: Sequence[Event], changes: RunChanges | None = None
    ) -> None:
        await super().append_events(owner, run_id, events)
        await super().append_events(owner, run_id, [], changes)


class ClosesGaps(AgentStore):
    async def append_events(
        self, owner: str, run_id: str, events: Sequence[Event], changes: RunChanges | None = None
    ) -> None:
        try:
            await super().append_events(owner, run_id, events, changes)
        except SequenceGap as gap:
            moved = [event.model_copy(update={"seq": gap.last_seq + n}) for n, event in enumerate(events, 1)]
            await super().append_events(owner, run_id, moved, changes)


class ForgetsRevisions(AgentStore):
    async def create_agent(self, owner: str, agent_id: str, spec: AgentSpec) -> Agent:
        agent = await super().create_agent(owner, agent_id, spec)
        return agent.model_copy(update={"revision": 1})


class LastDeciderWins(AgentStore):
    async def decide_approval(
        self, owner: str, approval_id: str, decision: Decision, *, message: str | None = None, by: str
    ) -> Approval:
        approval = await self.get_approval(owner, approval_id)
        said = {"decision": decision, "message": message, "decided_by": by, "decided_at": utcnow()}
        return approval.model_copy(update=said)


class DeliversTwice(AgentStore):
    async def deliver_approval(self, owner: str, approval_id: str) -> Approval:
        approval = await self.get_approval(owner, approval_id)
        return approval if approval.delivered_at else await super().deliver_approval(owner, approval_id)


class ClosesWhatIsDecided(AgentStore):
    async def get_approval(self, owner: str, approval_id: str) -> Approval:
        approval = await super().get_approval(owner, approval_id)
        return approval.model_copy(update={"closed": True})


class StoresEntriesTwice(AgentStore):
    async def append_transcript(self, owner: str, key: TranscriptKey, entries: Sequence[dict[str, Any]]) -> None:
        await super().append_transcript(owner, key, [{**entry, "uuid": None} for entry in entries])


class DropsEntriesThatLookAlike(AgentStore):
    async def append_transcript(self, owner: str, key: TranscriptKey, entries: Sequence[dict[str, Any]]) -> None:
        stored = await self.load_transcript(owner, key) or []
        await super().append_transcript(owner, key, [entry for entry in entries if entry not in stored])


class ForgetsSubpaths(AgentStore):
    async def delete_transcript(self, owner: str, key: TranscriptKey) -> None:
        await super().delete_transcript(owner, key.model_copy(update={"subpath": key.subpath or "main"}))


class ImportsAsNew(AgentStore):
    async def import_revision(self, agent: Agent, *, deleted: bool = False) -> None:
        await super().import_revision(agent.model_copy(update={"created_at": utcnow()}), deleted=deleted)


class ImportsTheDeletedAsAlive(AgentStore):
    async def import_revision(self, agent: Agent, *, deleted: bool = False) -> None:
        await super().import_revision(agent)


class GoesOnSharing(AgentStore):
    async def unshare_agent(self, owner: str, agent_id: str, kind: ShareKind, name: str) -> None:
        await self.list_shares(owner, agent_id)


class MixesRunsOfAgentsOfOneId(AgentStore):
    async def create_run(self, run: Run) -> None:
        await super().create_run(run.model_copy(update={"agent_owner": None}))


class SharesWithGroupsOfThatName(AgentStore):
    async def share_agent(self, owner: str, agent_id: str, kind: ShareKind, name: str, access: ShareAccess) -> Share:
        await super().share_agent(owner, agent_id, ShareKind.PERSON, name, access)
        return await super().share_agent(owner, agent_id, kind, name, access)


class ShowsWhatWasBeforeTheShare(AgentStore):
    async def get_shared_agent(
        self, person: str, groups: Collection[str], owner: str, agent_id: str, revision: int | None = None
    ) -> SharedAgent:
        shared = await super().get_shared_agent(person, groups, owner, agent_id)
        return shared.model_copy(update={"agent": await self.get_agent(owner, agent_id, revision)})


Clause = Callable[..., Awaitable[None]]

BROKEN: list[tuple[type[AgentStore], Clause]] = [
    (ShowsEverybodyEverything, StoreContract.test_what_is_anothers_does_not_exist),
    (LastWriterWins, StoreContract.test_of_updates_from_one_revision_at_once_exactly_one_succeeds),
    (PagesByPosition, StoreContract.test_a_page_of_runs_goes_on_where_it_ended_after_new_runs),
    (CommitsChangesApart, StoreContract.test_readers_see_a_call_whole_or_not_at_all),
    (ClosesGaps, StoreContract.test_a_gap_is_refused_with_the_last_number_and_nothing_is_stored),
    (ForgetsRevisions, StoreContract.test_an_id_used_again_goes_on_counting),
    (LastDeciderWins, StoreContract.test_a_decision_that_comes_later_is_refused_and_nothing_changes),
    (DeliversTwice, StoreContract.test_a_decision_is_delivered_once_with_the_time),
    (ClosesWhatIsDecided, StoreContract.test_closing_a_runs_approvals_closes_those_that_wait_and_counts_them),
    (StoresEntriesTwice, StoreContract.test_entries_sent_again_are_passed_over),
    (DropsEntriesThatLookAlike, StoreContract.test_entries_without_a_uuid_are_always_added),
    (ForgetsSubpaths, StoreContract.test_deleting_a_session_deletes_its_subpaths_and_nothing_else),
    (ImportsAsNew, StoreContract.test_an_imported_revision_comes_back_equal),
    (ImportsTheDeletedAsAlive, StoreContract.test_an_agent_imported_as_deleted_is_deleted),
    (GoesOnSharing, StoreContract.test_of_several_shares_the_one_that_allows_most_counts),
    (SharesWithGroupsOfThatName, StoreContract.test_what_is_shared_with_a_group_is_seen_by_who_is_in_it),
    (ShowsWhatWasBeforeTheShare, StoreContract.test_revisions_are_shown_from_the_share_on),
    (MixesRunsOfAgentsOfOneId, StoreContract.test_runs_of_anothers_agent_are_told_from_those_of_ones_own),
]


def breaking(broken: type[AgentStore], backend: type[AgentStore]) -> Any:
    """`backend`, with that promise broken."""
    return type(broken.__name__, (broken, backend), {})
