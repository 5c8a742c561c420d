"""The clauses on agents and their revisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from ...errors import AlreadyExists, InvalidInput, NotFound, StaleRevision
from ...store import AgentStore
from .clauses import Clauses
from .samples import (
    all_pages,
    full_spec,
    ids,
    make_events,
    make_run,
    outcomes,
    refused,
    rest,
    seqs,
    spec,
)


class AgentClauses(Clauses):
    # Agents

    async def test_a_new_agent_is_revision_1_and_comes_back_equal(self, store: AgentStore) -> None:
        made = await store.create_agent(self.owner, "reviewer", full_spec())
        assert (made.id, made.owner, made.revision) == ("reviewer", self.owner, 1)
        assert made.spec == full_spec()
        assert await store.get_agent(self.owner, "reviewer") == made
        assert (await store.list_agents(self.owner)).items == [made]

    async def test_an_agents_times_are_now_and_in_utc(self, store: AgentStore) -> None:
        made = await store.create_agent(self.owner, "reviewer", spec())
        assert made.created_at == made.updated_at
        assert made.created_at.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - made.created_at) < timedelta(minutes=5)
        stored = await store.get_agent(self.owner, "reviewer")
        assert stored.created_at.utcoffset() == timedelta(0)

    async def test_an_id_in_use_is_refused_and_nothing_changes(self, store: AgentStore) -> None:
        made = await store.create_agent(self.owner, "reviewer", spec())
        with pytest.raises(AlreadyExists):
            await store.create_agent(self.owner, "reviewer", spec("Another"))
        assert (await store.list_revisions(self.owner, "reviewer")).items == [made]

    async def test_of_two_creations_of_one_id_at_once_exactly_one_succeeds(self, store: AgentStore) -> None:
        made, failed = await outcomes(
            store.create_agent(self.owner, "reviewer", spec(f"Reviewer {n}")) for n in range(5)
        )
        assert len(made) == 1
        assert [type(error) for error in failed] == [AlreadyExists] * 4
        assert await store.get_agent(self.owner, "reviewer") == made[0]

    @pytest.mark.parametrize("agent_id", ["", "Upper", "-x", "a/b", "a" * 65, "é"])
    async def test_what_is_no_agent_id_is_refused(self, store: AgentStore, agent_id: str) -> None:
        with pytest.raises(InvalidInput):
            await store.create_agent(self.owner, agent_id, spec())
        assert (await store.list_agents(self.owner)).items == []

    async def test_half_of_a_surrogate_pair_in_an_agent_is_refused_and_nothing_is_stored(
        self, store: AgentStore
    ) -> None:
        broken = spec(front_matter={"emoji": "\ud83e"})
        await refused(InvalidInput, store.create_agent(self.owner, "reviewer", broken))
        assert (await store.list_agents(self.owner)).items == []
        made = await store.create_agent(self.owner, "reviewer", spec())
        assert made.revision == 1
        await refused(InvalidInput, store.update_agent(self.owner, "reviewer", broken, revision=1))
        assert (await store.list_revisions(self.owner, "reviewer")).items == [made]

    @pytest.mark.parametrize("agent_id", ["missing", "", "\0", "a/b", "..", "é", "a" * 2_000])
    async def test_an_agent_that_never_was_is_not_found(self, store: AgentStore, agent_id: str) -> None:
        await refused(
            NotFound,
            store.get_agent(self.owner, agent_id),
            store.get_agent(self.owner, agent_id, 1),
            store.list_revisions(self.owner, agent_id),
            store.update_agent(self.owner, agent_id, spec(), revision=1),
            store.delete_agent(self.owner, agent_id, revision=1),
        )

    # Revisions

    async def test_an_update_makes_the_next_revision(self, store: AgentStore) -> None:
        first = await store.create_agent(self.owner, "reviewer", spec())
        second = await store.update_agent(self.owner, "reviewer", spec("Second"), revision=1)
        assert (second.revision, second.name) == (2, "Second")
        assert second.created_at == first.created_at <= second.updated_at
        assert await store.get_agent(self.owner, "reviewer") == second
        assert (await store.list_agents(self.owner)).items == [second]

    async def test_revisions_never_change(self, store: AgentStore) -> None:
        first = await store.create_agent(self.owner, "reviewer", full_spec())
        second = await store.update_agent(self.owner, "reviewer", spec("Second"), revision=1)
        await store.update_agent(self.owner, "reviewer", spec("Third"), revision=2)
        await store.delete_agent(self.owner, "reviewer", revision=3)
        assert await store.get_agent(self.owner, "reviewer", 1) == first
        assert await store.get_agent(self.owner, "reviewer", 2) == second

    @pytest.mark.parametrize("revision", [0, -1, 2, 10**30])
    async def test_a_revision_that_never_was_is_not_found(self, store: AgentStore, revision: int) -> None:
        await store.create_agent(self.owner, "reviewer", spec())
        with pytest.raises(NotFound):
            await store.get_agent(self.owner, "reviewer", revision)

    @pytest.mark.parametrize("revision", [0, 1, 3])
    async def test_a_write_of_another_revision_than_the_newest_is_stale(self, store: AgentStore, revision: int) -> None:
        await store.create_agent(self.owner, "reviewer", spec())
        newest = await store.update_agent(self.owner, "reviewer", spec("Second"), revision=1)
        errors = await refused(
            StaleRevision,
            store.update_agent(self.owner, "reviewer", spec("Third"), revision=revision),
            store.update_agent(self.owner, "reviewer", newest.spec, revision=revision),
            store.delete_agent(self.owner, "reviewer", revision=revision),
        )
        assert [error.current for error in errors] == [2, 2, 2]
        assert await store.get_agent(self.owner, "reviewer") == newest
        assert len((await store.list_revisions(self.owner, "reviewer")).items) == 2

    async def test_of_updates_from_one_revision_at_once_exactly_one_succeeds(self, store: AgentStore) -> None:
        await store.create_agent(self.owner, "reviewer", spec())
        made, failed = await outcomes(
            store.update_agent(self.owner, "reviewer", spec(f"Change {n}"), revision=1) for n in range(5)
        )
        assert len(made) == 1
        assert [type(error) for error in failed] == [StaleRevision] * 4
        assert await store.get_agent(self.owner, "reviewer") == made[0]
        assert [agent.revision for agent in (await store.list_revisions(self.owner, "reviewer")).items] == [2, 1]

    async def test_an_equal_spec_makes_no_new_revision(self, store: AgentStore) -> None:
        first = await store.create_agent(self.owner, "reviewer", full_spec())
        assert await store.update_agent(self.owner, "reviewer", full_spec(), revision=1) == first
        assert (await store.list_revisions(self.owner, "reviewer")).items == [first]

    async def test_specs_that_differ_only_in_a_values_type_are_not_equal(self, store: AgentStore) -> None:
        await store.create_agent(self.owner, "reviewer", spec(front_matter={"background": 1}))
        changed = await store.update_agent(self.owner, "reviewer", spec(front_matter={"background": True}), revision=1)
        assert changed.revision == 2
        assert (await store.get_agent(self.owner, "reviewer")).front_matter["background"] is True

    async def test_revisions_are_listed_newest_first_and_paged(self, store: AgentStore) -> None:
        await store.create_agent(self.owner, "reviewer", spec("Revision 1"))
        for revision in range(1, 7):
            await store.update_agent(self.owner, "reviewer", spec(f"Revision {revision + 1}"), revision=revision)
        for limit in (1, 2, 7, 8):
            listed = await all_pages(partial(store.list_revisions, self.owner, "reviewer", limit=limit), "before")
            assert [agent.name for agent in listed] == [f"Revision {n}" for n in range(7, 0, -1)]

    async def test_a_page_of_revisions_goes_on_where_it_ended_after_an_update(self, store: AgentStore) -> None:
        await store.create_agent(self.owner, "reviewer", spec())
        for revision in (1, 2, 3):
            await store.update_agent(self.owner, "reviewer", spec(f"After {revision}"), revision=revision)
        page = await store.list_revisions(self.owner, "reviewer", limit=2)
        await store.update_agent(self.owner, "reviewer", spec("After 4"), revision=4)
        more = await store.list_revisions(self.owner, "reviewer", limit=2, before=page.next)
        assert [agent.revision for agent in (*page.items, *more.items)] == [4, 3, 2, 1]
        assert more.next is None

    # Deleting

    async def test_a_deleted_agent_is_gone_but_its_runs_and_revisions_stay(self, store: AgentStore) -> None:
        first = await store.create_agent(self.owner, "reviewer", spec())
        run = make_run(self.owner)
        await store.create_run(run)
        await store.append_events(self.owner, run.id, make_events(run, 1, 2))
        await store.delete_agent(self.owner, "reviewer", revision=1)
        assert (await store.list_agents(self.owner)).items == []
        await refused(
            NotFound,
            store.get_agent(self.owner, "reviewer"),
            store.update_agent(self.owner, "reviewer", spec("New"), revision=1),
            store.delete_agent(self.owner, "reviewer", revision=1),
        )
        assert await store.get_agent(self.owner, "reviewer", 1) == first
        assert (await store.list_revisions(self.owner, "reviewer")).items == [first]
        assert ids((await store.list_runs(self.owner, agent_id="reviewer")).items) == [run.id]
        assert seqs(await store.list_events(self.owner, run.id)) == [1, 2]

    async def test_an_id_used_again_goes_on_counting(self, store: AgentStore) -> None:
        first = await store.create_agent(self.owner, "reviewer", spec("Old"))
        await store.delete_agent(self.owner, "reviewer", revision=1)
        second = await store.create_agent(self.owner, "reviewer", spec("New"))
        assert second.revision == 2
        assert second.created_at == second.updated_at
        assert await store.get_agent(self.owner, "reviewer", 1) == first
        assert await store.get_agent(self.owner, "reviewer") == second
        assert (await store.list_revisions(self.owner, "reviewer")).items == [second, first]
        third = await store.update_agent(self.owner, "reviewer", spec("Newer"), revision=2)
        assert third.revision == 3

    # Listing agents

    async def test_agents_are_listed_by_id_and_paged(self, store: AgentStore) -> None:
        names = ["a", "a-b", "a0", "b", "ba", "z9"]
        for name in reversed(names):
            await store.create_agent(self.owner, name, spec())
        for limit in (1, 2, 3, 6, 7):
            listed = await all_pages(partial(store.list_agents, self.owner, limit=limit), "after")
            assert ids(listed) == sorted(names)

    async def test_a_page_of_agents_goes_on_where_it_ended_whatever_changed(self, store: AgentStore) -> None:
        for name in ("c", "e", "g", "i"):
            await store.create_agent(self.owner, name, spec())
        page = await store.list_agents(self.owner, limit=2)
        assert ids(page.items) == ["c", "e"]
        for name in ("a", "d", "f"):
            await store.create_agent(self.owner, name, spec())
        await store.delete_agent(self.owner, "e", revision=1)  # The one that the cursor names.
        more = await rest(partial(store.list_agents, self.owner, limit=2), "after", page.next)
        assert ids(more) == ["f", "g", "i"]
