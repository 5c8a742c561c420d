"""The clauses on taking everything of a person from one store to another."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ...errors import AlreadyExists, Conflict, InvalidInput, NotFound, SequenceGap, StaleRevision
from ...models import Agent
from ...store import AgentStore, transfer
from .clauses import Clauses
from .person import fill
from .samples import T0, all_pages, differing, full_spec, ids, refused, spec


class MovingClauses(Clauses):
    def _revision(self, number: int, **fields: Any) -> Agent:
        made = Agent.from_spec(full_spec(), id="reviewer", owner=self.owner, revision=number, now=T0)
        return made.model_copy(update=fields)

    # Deleted agents

    async def test_deleted_agents_are_listed_when_asked_for_by_id_and_paged(self, store: AgentStore) -> None:
        for name in ("e", "d", "c", "b", "a"):
            await store.create_agent(self.owner, name, spec(name))
        await store.update_agent(self.owner, "a", spec("Second"), revision=1)
        for name, revision in (("a", 2), ("c", 1), ("d", 1), ("e", 1)):
            await store.delete_agent(self.owner, name, revision=revision)
        await store.create_agent(self.owner, "d", spec("Made again"))
        for limit in (1, 2, 3, 4):
            listed = await all_pages(partial(store.list_agents, self.owner, deleted=True, limit=limit), "after")
            assert ids(listed) == ["a", "c", "e"]
            listed = await all_pages(partial(store.list_agents, self.owner, limit=limit), "after")
            assert ids(listed) == ["b", "d"]
        first = (await store.list_agents(self.owner, deleted=True)).items[0]
        assert first == await store.get_agent(self.owner, "a", 2)

    # Revisions of another store

    async def test_an_imported_revision_comes_back_equal(self, store: AgentStore) -> None:
        first, second = self._revision(1), self._revision(2, name="Second", updated_at=T0.replace(year=2027))
        await store.import_revision(first)
        assert differing(await store.get_agent(self.owner, "reviewer"), first) == []
        await store.import_revision(second)
        assert differing(await store.get_agent(self.owner, "reviewer"), second) == []
        assert differing(await store.get_agent(self.owner, "reviewer", 1), first) == []
        assert (await store.list_revisions(self.owner, "reviewer")).items == [second, first]
        assert (await store.list_agents(self.owner)).items == [second]

    async def test_an_imported_agent_is_as_if_it_had_been_made_here(self, store: AgentStore) -> None:
        await store.import_revision(self._revision(1))
        await store.import_revision(self._revision(2))
        await refused(AlreadyExists, store.create_agent(self.owner, "reviewer", spec()))
        await refused(StaleRevision, store.update_agent(self.owner, "reviewer", spec(), revision=1))
        third = await store.update_agent(self.owner, "reviewer", spec("Third"), revision=2)
        assert (third.revision, third.created_at) == (3, T0)
        await store.delete_agent(self.owner, "reviewer", revision=3)
        assert (await store.create_agent(self.owner, "reviewer", spec())).revision == 4

    async def test_an_agent_imported_as_deleted_is_deleted(self, store: AgentStore) -> None:
        first, second = self._revision(1), self._revision(2)
        await store.import_revision(first)
        await store.import_revision(second, deleted=True)
        assert (await store.list_agents(self.owner)).items == []
        assert (await store.list_agents(self.owner, deleted=True)).items == [second]
        await refused(NotFound, store.get_agent(self.owner, "reviewer"))
        assert await store.get_agent(self.owner, "reviewer", 1) == first
        assert (await store.create_agent(self.owner, "reviewer", spec())).revision == 3

    async def test_an_agent_made_again_after_it_was_deleted_is_imported_as_it_is(self, store: AgentStore) -> None:
        first, second = self._revision(1), self._revision(2, created_at=T0.replace(year=2027))
        await store.import_revision(first, deleted=True)
        await store.import_revision(second)
        assert (await store.list_agents(self.owner)).items == [second]
        assert (await store.list_agents(self.owner, deleted=True)).items == []

    async def test_a_revision_imported_again_is_passed_over(self, store: AgentStore) -> None:
        first, second = self._revision(1), self._revision(2)
        for _ in range(2):
            await store.import_revision(first)
            await store.import_revision(second, deleted=True)
        assert (await store.list_revisions(self.owner, "reviewer")).items == [second, first]
        assert (await store.list_agents(self.owner, deleted=True)).items == [second]

    async def test_another_revision_of_the_same_number_is_refused_and_nothing_changes(self, store: AgentStore) -> None:
        await store.import_revision(self._revision(1))
        await store.import_revision(self._revision(2))
        await refused(
            AlreadyExists,
            store.import_revision(self._revision(1, name="Another")),
            store.import_revision(self._revision(2, updated_at=T0.replace(year=2027)), deleted=True),
        )
        listed = (await store.list_revisions(self.owner, "reviewer")).items
        assert listed == [self._revision(2), self._revision(1)]
        assert (await store.list_agents(self.owner)).items == [self._revision(2)]

    async def test_a_revision_that_does_not_follow_the_newest_is_refused(self, store: AgentStore) -> None:
        (error,) = await refused(SequenceGap, store.import_revision(self._revision(2)))
        assert error.last_seq == 0
        await refused(NotFound, store.get_agent(self.owner, "reviewer", 2))
        await store.import_revision(self._revision(1))
        (error,) = await refused(SequenceGap, store.import_revision(self._revision(3)))
        assert error.last_seq == 1
        assert (await store.list_revisions(self.owner, "reviewer")).items == [self._revision(1)]

    async def test_a_revision_that_cannot_be_stored_is_refused_and_nothing_changes(self, store: AgentStore) -> None:
        await refused(InvalidInput, store.import_revision(self._revision(1, description="\ud83e")))
        assert (await store.list_agents(self.owner)).items == []
        assert await store.owners() == []

    # Everything

    async def test_all_that_a_person_has_is_moved_as_it_is(self, store: AgentStore, tmp_path: Path) -> None:
        await fill(store, self.owner)
        end = await transfer.export(store, self.owner, tmp_path / "export.jsonl")
        assert all(count for _, count in end.counts)
        assert await transfer.load(store, self.other, tmp_path / "export.jsonl") == end
        assert await transfer.digest(store, self.other) == await transfer.digest(store, self.owner) == end
        for agent_id in ("reviewer", "again", "deleted"):
            mine = (await store.list_revisions(self.owner, agent_id)).items
            theirs = (await store.list_revisions(self.other, agent_id)).items
            assert [each.model_copy(update={"owner": self.owner}) for each in theirs] == mine
        runs = (await store.list_runs(self.owner)).items
        assert ids((await store.list_runs(self.other)).items) == ids(runs)
        for run in runs:
            moved = await store.get_run(self.other, run.id)
            assert moved == run.model_copy(update={"owner": self.other})
            events = await store.list_events(self.owner, run.id, limit=1_000)
            assert await store.list_events(self.other, run.id, limit=1_000) == events
            for approval in (await store.list_approvals(self.owner, run_id=run.id)).items:
                moved_approval = await store.get_approval(self.other, approval.id)
                assert moved_approval == approval.model_copy(update={"owner": self.other})
        keys = await store.list_transcript_keys(self.owner)
        assert len(keys) == 3
        for key in keys:
            assert await store.load_transcript(self.other, key) == await store.load_transcript(self.owner, key)

    async def test_moving_again_changes_nothing_and_moving_onto_something_else_is_refused(
        self, store: AgentStore, tmp_path: Path
    ) -> None:
        await fill(store, self.owner, events=10)
        end = await transfer.export(store, self.owner, tmp_path / "export.jsonl")
        for _ in range(2):
            assert await transfer.load(store, self.owner, tmp_path / "export.jsonl") == end
        await store.create_agent(self.other, "reviewer", spec("Their own"))
        before = await transfer.digest(store, self.other)
        with pytest.raises(Conflict, match="reviewer"):
            await transfer.load(store, self.other, tmp_path / "export.jsonl")
        assert await transfer.digest(store, self.other) == before
