"""The clauses on who sees what, and on what may be asked for."""

from __future__ import annotations

import pytest

from ...errors import InvalidInput, NotFound
from ...models import (
    RunChanges,
    RunStatus,
    ShareAccess,
    ShareKind,
)
from ...store import MAX_PAGE, AgentStore
from .clauses import Clauses
from .samples import (
    BAD_CURSORS,
    make_events,
    make_run,
    refused,
    seqs,
    spec,
)


class BoundClauses(Clauses):
    # Owners

    async def test_what_is_anothers_does_not_exist(self, store: AgentStore) -> None:
        agent = await store.create_agent(self.owner, "reviewer", spec())
        run = make_run(self.owner)
        await store.create_run(run)
        await store.append_events(self.owner, run.id, make_events(run, 1, 1))
        run = await store.get_run(self.owner, run.id)
        await refused(
            NotFound,
            store.get_agent(self.other, "reviewer"),
            store.get_agent(self.other, "reviewer", 1),
            store.update_agent(self.other, "reviewer", spec("Mine"), revision=1),
            store.delete_agent(self.other, "reviewer", revision=1),
            store.list_revisions(self.other, "reviewer"),
            store.get_run(self.other, run.id),
            store.append_events(self.other, run.id, make_events(run, 2, 2), RunChanges(turns=1)),
            store.append_events(self.other, run.id, make_events(run, 9, 9)),
            store.list_events(self.other, run.id),
        )
        assert (await store.list_agents(self.other)).items == []
        assert (await store.list_agents(self.other, deleted=True)).items == []
        assert (await store.list_runs(self.other)).items == []
        assert (await store.list_runs(self.other, agent_id="reviewer")).items == []
        assert (await store.list_runs(self.other, conversation_id=run.conversation_id)).items == []
        assert (await store.list_runs(self.other, statuses=list(RunStatus))).items == []
        await refused(
            NotFound,
            store.share_agent(self.other, "reviewer", ShareKind.PERSON, self.third, ShareAccess.USE),
            store.list_shares(self.other, "reviewer"),
            store.get_shared_agent(self.other, self.groups, self.owner, "reviewer"),
        )
        assert (await store.list_shared(self.other, self.groups)).items == []
        assert await store.get_agent(self.owner, "reviewer") == agent
        assert await store.get_run(self.owner, run.id) == run
        assert seqs(await store.list_events(self.owner, run.id)) == [1]

    async def test_two_people_may_use_the_same_ids(self, store: AgentStore) -> None:
        mine = await store.create_agent(self.owner, "reviewer", spec("Mine"))
        theirs = await store.create_agent(self.other, "reviewer", spec("Theirs"))
        run = make_run(self.owner)
        twin = run.model_copy(update={"owner": self.other, "prompt": "Theirs"})
        for each in (run, twin):
            await store.create_run(each)
        await store.append_events(self.owner, run.id, make_events(run, 1, 3), RunChanges(turns=3))
        await store.delete_agent(self.other, "reviewer", revision=1)
        assert (mine.revision, theirs.revision) == (1, 1)
        assert await store.get_agent(self.owner, "reviewer") == mine
        assert await store.get_run(self.other, run.id) == twin
        assert await store.list_events(self.other, run.id) == []
        assert seqs(await store.list_events(self.owner, run.id)) == [1, 2, 3]

    # Limits and cursors

    @pytest.mark.parametrize("limit", [0, -1, MAX_PAGE + 1, 10**30])
    async def test_a_limit_out_of_bounds_is_refused(self, store: AgentStore, limit: int) -> None:
        await store.create_agent(self.owner, "reviewer", spec())
        run = make_run(self.owner)
        await store.create_run(run)
        await refused(
            InvalidInput,
            store.list_agents(self.owner, limit=limit),
            store.list_revisions(self.owner, "reviewer", limit=limit),
            store.list_runs(self.owner, limit=limit),
            store.list_events(self.owner, run.id, limit=limit),
            store.list_approvals(self.owner, limit=limit),
            store.list_shares(self.owner, "reviewer", limit=limit),
            store.list_shared(self.owner, [], limit=limit),
        )

    async def test_the_largest_page_may_be_asked_for(self, store: AgentStore) -> None:
        await store.create_agent(self.owner, "reviewer", spec())
        run = make_run(self.owner)
        await store.create_run(run)
        assert len((await store.list_agents(self.owner, limit=MAX_PAGE)).items) == 1
        assert len((await store.list_revisions(self.owner, "reviewer", limit=MAX_PAGE)).items) == 1
        assert len((await store.list_runs(self.owner, limit=MAX_PAGE)).items) == 1
        assert await store.list_events(self.owner, run.id, limit=MAX_PAGE) == []
        assert (await store.list_approvals(self.owner, limit=MAX_PAGE)).items == []

    @pytest.mark.parametrize("cursor", BAD_CURSORS)
    async def test_a_cursor_that_no_page_gave_is_refused(self, store: AgentStore, cursor: str) -> None:
        await store.create_agent(self.owner, "reviewer", spec())
        await refused(
            InvalidInput,
            store.list_agents(self.owner, after=cursor),
            store.list_revisions(self.owner, "reviewer", before=cursor),
            store.list_runs(self.owner, before=cursor),
            store.list_approvals(self.owner, before=cursor),
            store.list_shares(self.owner, "reviewer", after=cursor),
            store.list_shared(self.owner, [], after=cursor),
        )

    async def test_a_negative_event_number_is_refused(self, store: AgentStore) -> None:
        run = make_run(self.owner)
        await store.create_run(run)
        with pytest.raises(InvalidInput):
            await store.list_events(self.owner, run.id, after=-1)
