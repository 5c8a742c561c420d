"""The clauses on the store itself: whether it can be used, and who has something in it."""

from __future__ import annotations

from ...errors import StoreUnavailable
from ...store import AgentStore
from .clauses import Clauses
from .samples import make_approval, make_entries, make_run, refused, spec, transcript_key


class WholeClauses(Clauses):
    async def test_a_store_that_can_be_used_says_so_and_nothing_changes(self, store: AgentStore) -> None:
        await store.check()
        assert await store.owners() == []
        await store.create_agent(self.owner, "reviewer", spec())
        await store.check()
        assert await store.owners() == [self.owner]

    async def test_a_closed_store_says_that_it_cannot_be_used(self, store: AgentStore) -> None:
        await store.close()
        await refused(StoreUnavailable, store.check())

    async def test_an_empty_store_has_no_owners(self, store: AgentStore) -> None:
        assert await store.owners() == []

    async def test_reading_makes_nobody_an_owner(self, store: AgentStore) -> None:
        await store.list_agents(self.other)
        await store.list_runs(self.other)
        await store.load_transcript(self.other, transcript_key())
        await store.close_approvals(self.other, make_run(self.other).id)
        assert await store.owners() == []

    async def test_everyone_who_has_something_is_an_owner_by_name(self, store: AgentStore) -> None:
        deleted, running, writing = self.owner, self.other, "ada.b@example.org"
        await store.create_agent(deleted, "reviewer", spec())
        await store.delete_agent(deleted, "reviewer", revision=1)
        run = make_run(running)
        await store.create_run(run)
        await store.create_approval(make_approval(run))
        await store.append_transcript(writing, transcript_key(), make_entries(1, 1))
        assert await store.owners() == sorted([deleted, running, writing])
