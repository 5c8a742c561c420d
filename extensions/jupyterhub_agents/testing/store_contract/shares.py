"""The clauses on what people share with others and with groups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from ...errors import InvalidInput, NotFound
from ...models import MAX_SHARES, Share, ShareAccess, SharedAgent, ShareKind
from ...store import AgentStore
from .clauses import Clauses
from .samples import T0, Reopen, all_pages, full_spec, ids, make_run, outcomes, refused, rest, spec

PERSON, GROUP = ShareKind.PERSON, ShareKind.GROUP
USE, COPY = ShareAccess.USE, ShareAccess.COPY


class ShareClauses(Clauses):
    async def _seen(self, store: AgentStore, person: str) -> list[str]:
        """What is shared with a person, as the list says."""
        groups = self.groups if person == self.other else ()
        return [f"{each.agent.owner}/{each.agent.id}" for each in (await store.list_shared(person, groups)).items]

    # Sharing

    async def test_a_shared_agent_is_seen_by_that_person_alone(self, store: AgentStore) -> None:
        agent = await store.create_agent(self.owner, "reviewer", full_spec())
        await store.create_agent(self.owner, "private", spec())
        made = await store.share_agent(self.owner, "reviewer", PERSON, self.other, USE)
        assert (made.owner, made.agent_id, made.kind, made.name) == (self.owner, "reviewer", PERSON, self.other)
        assert (made.access, made.revision) == (USE, 1)
        assert made.created_at.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - made.created_at) < timedelta(minutes=5)
        shared = SharedAgent(agent=agent, access=USE)
        assert (await store.list_shared(self.other, self.groups)).items == [shared]
        assert await store.get_shared_agent(self.other, self.groups, self.owner, "reviewer") == shared
        assert (await store.list_shares(self.owner, "reviewer")).items == [made]
        assert await self._seen(store, self.third) == await self._seen(store, self.owner) == []
        await refused(
            NotFound,
            store.get_shared_agent(self.third, [], self.owner, "reviewer"),
            store.get_shared_agent(self.owner, [], self.owner, "reviewer"),
            store.get_shared_agent(self.other, self.groups, self.owner, "private"),
            store.get_shared_agent(self.other, self.groups, self.owner, "missing"),
            store.get_shared_agent(self.other, self.groups, self.third, "reviewer"),
        )

    async def test_what_is_shared_with_a_group_is_seen_by_who_is_in_it(self, store: AgentStore) -> None:
        await store.create_agent(self.owner, "reviewer", spec())
        await store.create_agent(self.owner, "writer", spec())
        for group in self.groups:
            await store.share_agent(self.owner, "reviewer", GROUP, group, USE)
        await store.share_agent(self.owner, "writer", GROUP, "others", USE)
        # A group is no person, nor the other way round, whatever they are called.
        await store.share_agent(self.owner, "writer", GROUP, self.other, USE)
        await store.share_agent(self.owner, "writer", PERSON, self.groups[0], USE)
        assert await self._seen(store, self.other) == [f"{self.owner}/reviewer"]
        assert await self._seen(store, self.third) == []
        await refused(NotFound, store.get_shared_agent(self.other, self.groups, self.owner, "writer"))
        await store.unshare_agent(self.owner, "reviewer", GROUP, self.groups[0])
        assert await self._seen(store, self.other) == [f"{self.owner}/reviewer"]

    async def test_of_several_shares_the_one_that_allows_most_counts(self, store: AgentStore) -> None:
        agent = await store.create_agent(self.owner, "reviewer", spec())
        await store.share_agent(self.owner, "reviewer", PERSON, self.other, USE)
        await store.share_agent(self.owner, "reviewer", GROUP, self.groups[0], COPY)
        wide, narrow = SharedAgent(agent=agent, access=COPY), SharedAgent(agent=agent, access=USE)
        assert await store.get_shared_agent(self.other, self.groups, self.owner, "reviewer") == wide
        assert (await store.list_shared(self.other, self.groups)).items == [wide]
        await store.unshare_agent(self.owner, "reviewer", GROUP, self.groups[0])
        assert await store.get_shared_agent(self.other, self.groups, self.owner, "reviewer") == narrow
        assert (await store.list_shared(self.other, self.groups)).items == [narrow]

    async def test_sharing_again_changes_the_access_and_nothing_else(self, store: AgentStore) -> None:
        await store.create_agent(self.owner, "reviewer", spec())
        made = await store.share_agent(self.owner, "reviewer", PERSON, self.other, USE)
        await store.update_agent(self.owner, "reviewer", spec("Second"), revision=1)
        again = await store.share_agent(self.owner, "reviewer", PERSON, self.other, COPY)
        assert again == made.model_copy(update={"access": COPY})
        assert (await store.list_shares(self.owner, "reviewer")).items == [again]
        shared = await store.get_shared_agent(self.other, self.groups, self.owner, "reviewer")
        assert (shared.access, shared.agent.revision) == (COPY, 2)

    @pytest.mark.parametrize("name", ["", "x" * 256, "a\0b", "a\nb", "\ud83e", "."])
    async def test_a_name_that_nobody_has_is_refused(self, store: AgentStore, name: str) -> None:
        await store.create_agent(self.owner, "reviewer", spec())
        for kind in ShareKind:
            await refused(InvalidInput, store.share_agent(self.owner, "reviewer", kind, name, USE))
        await refused(InvalidInput, store.share_agent(self.owner, "reviewer", PERSON, self.owner, USE))
        assert (await store.list_shares(self.owner, "reviewer")).items == []

    async def test_what_is_not_there_is_not_shared(self, store: AgentStore) -> None:
        await store.create_agent(self.owner, "deleted", spec())
        await store.delete_agent(self.owner, "deleted", revision=1)
        for agent_id in ("deleted", "missing", "", "a/b", "\0", ".."):
            await refused(
                NotFound,
                store.share_agent(self.owner, agent_id, PERSON, self.other, USE),
                store.unshare_agent(self.owner, agent_id, PERSON, self.other),
                store.list_shares(self.owner, agent_id),
                store.get_shared_agent(self.other, self.groups, self.owner, agent_id),
            )
        assert await self._seen(store, self.other) == []

    async def test_an_agent_is_shared_with_so_many_and_no_more(self, store: AgentStore) -> None:
        await store.create_agent(self.owner, "reviewer", spec())
        for number in range(MAX_SHARES):
            await store.share_agent(self.owner, "reviewer", PERSON, f"person-{number:03}", USE)
        await refused(InvalidInput, store.share_agent(self.owner, "reviewer", PERSON, self.other, USE))
        await store.share_agent(self.owner, "reviewer", PERSON, "person-000", COPY)
        listed = await all_pages(partial(store.list_shares, self.owner, "reviewer", limit=60), "after")
        assert [share.name for share in listed] == [f"person-{number:03}" for number in range(MAX_SHARES)]
        await store.unshare_agent(self.owner, "reviewer", PERSON, "person-000")
        await store.share_agent(self.owner, "reviewer", PERSON, self.other, USE)
        await store.delete_agent(self.owner, "reviewer", revision=1)
        assert await self._seen(store, self.other) == []

    # Withdrawing

    async def test_a_share_that_is_withdrawn_ends_at_once(self, store: AgentStore, reopen: Reopen) -> None:
        await store.create_agent(self.owner, "reviewer", spec())
        await store.share_agent(self.owner, "reviewer", PERSON, self.other, USE)
        await store.share_agent(self.owner, "reviewer", PERSON, self.third, USE)
        await store.unshare_agent(self.owner, "reviewer", PERSON, self.other)
        for each in (store, await reopen()):
            assert await self._seen(each, self.other) == []
            await refused(
                NotFound,
                each.get_shared_agent(self.other, self.groups, self.owner, "reviewer"),
                each.get_shared_agent(self.other, self.groups, self.owner, "reviewer", 1),
                each.unshare_agent(self.owner, "reviewer", PERSON, self.other),
            )
            assert await self._seen(each, self.third) == [f"{self.owner}/reviewer"]

    async def test_deleting_an_agent_ends_its_shares_for_good(self, store: AgentStore) -> None:
        await store.create_agent(self.owner, "reviewer", spec())
        await store.create_agent(self.owner, "writer", spec())
        for agent_id in ("reviewer", "writer"):
            await store.share_agent(self.owner, agent_id, PERSON, self.other, USE)
            await store.share_agent(self.owner, agent_id, GROUP, self.groups[0], USE)
        await store.delete_agent(self.owner, "reviewer", revision=1)
        await store.create_agent(self.owner, "reviewer", spec("Made again"))
        assert (await store.list_shares(self.owner, "reviewer")).items == []
        assert await self._seen(store, self.other) == [f"{self.owner}/writer"]
        await refused(
            NotFound,
            store.get_shared_agent(self.other, self.groups, self.owner, "reviewer"),
            store.get_shared_agent(self.other, self.groups, self.owner, "reviewer", 1),
        )

    async def test_of_a_share_and_a_deletion_at_once_no_share_is_left(self, store: AgentStore) -> None:
        for number in range(5):
            name = f"agent-{number}"
            await store.create_agent(self.owner, name, spec())
            _, failed = await outcomes(
                [
                    store.share_agent(self.owner, name, PERSON, self.other, USE),
                    store.delete_agent(self.owner, name, revision=1),
                ]
            )
            assert [type(error) for error in failed] in ([], [NotFound])
            await store.create_agent(self.owner, name, spec())
        assert await self._seen(store, self.other) == []

    # Revisions

    async def test_revisions_are_shown_from_the_share_on(self, store: AgentStore) -> None:
        await store.create_agent(self.owner, "reviewer", spec("Secret"))
        second = await store.update_agent(self.owner, "reviewer", spec("Second"), revision=1)
        await store.share_agent(self.owner, "reviewer", PERSON, self.other, USE)
        third = await store.update_agent(self.owner, "reviewer", spec("Third"), revision=2)
        get = partial(store.get_shared_agent, self.other, self.groups, self.owner, "reviewer")
        assert (await get()).agent == (await get(3)).agent == third
        assert (await get(2)).agent == second
        assert [each.agent for each in (await store.list_shared(self.other, self.groups)).items] == [third]
        await refused(NotFound, get(1), get(4), get(0), get(-1), get(10**30))

    # Listing

    async def test_what_is_shared_is_listed_by_owner_and_id_once_each_and_paged(self, store: AgentStore) -> None:
        expected = []
        for owner in (self.owner, self.third, "a.b@example.org"):
            for agent_id in ("a", "a-b", "a0", "z"):
                await store.create_agent(owner, agent_id, spec())
                await store.share_agent(owner, agent_id, PERSON, self.other, USE)
                if agent_id != "z":
                    for group in self.groups:
                        await store.share_agent(owner, agent_id, GROUP, group, USE)
                expected.append((owner, agent_id))
        for limit in (1, 2, 5, 12, 13):
            listed = await all_pages(partial(store.list_shared, self.other, self.groups, limit=limit), "after")
            assert [(each.agent.owner, each.agent.id) for each in listed] == sorted(expected)

    async def test_a_page_of_what_is_shared_goes_on_where_it_ended_whatever_changed(self, store: AgentStore) -> None:
        for name in ("c", "e", "g", "i"):
            await store.create_agent(self.owner, name, spec())
            await store.share_agent(self.owner, name, PERSON, self.other, USE)
        page = await store.list_shared(self.other, self.groups, limit=2)
        assert ids(each.agent for each in page.items) == ["c", "e"]
        await store.create_agent(self.owner, "f", spec())
        await store.share_agent(self.owner, "f", PERSON, self.other, USE)
        await store.delete_agent(self.owner, "e", revision=1)  # The one that the cursor names.
        more = await rest(partial(store.list_shared, self.other, self.groups, limit=2), "after", page.next)
        assert ids(each.agent for each in more) == ["f", "g", "i"]

    async def test_shares_of_an_agent_are_listed_by_kind_and_name_and_paged(self, store: AgentStore) -> None:
        await store.create_agent(self.owner, "reviewer", spec())
        names = ["Z", "a", "a/b", "b", "é"]
        for name in reversed(names):
            for kind in ShareKind:
                await store.share_agent(self.owner, "reviewer", kind, name, USE)
        expected = sorted((kind.value, name) for kind in ShareKind for name in names)
        for limit in (1, 3, 10, 11):
            listed = await all_pages(partial(store.list_shares, self.owner, "reviewer", limit=limit), "after")
            assert [(share.kind.value, share.name) for share in listed] == expected

    # Runs of others' agents

    async def test_runs_of_anothers_agent_are_told_from_those_of_ones_own(self, store: AgentStore) -> None:
        mine, theirs = make_run(self.owner, 1), make_run(self.owner, 2, agent_owner=self.other)
        for run in (mine, theirs):
            await store.create_run(run)
        assert await store.get_run(self.owner, theirs.id) == theirs
        assert (await store.list_runs(self.owner)).items == [theirs, mine]
        assert (await store.list_runs(self.owner, agent_id="reviewer")).items == [mine]
        listed = await store.list_runs(self.owner, agent_id="reviewer", agent_owner=self.owner)
        assert listed.items == [mine]
        for conversation in (None, theirs.conversation_id):
            listed = await store.list_runs(
                self.owner, agent_id="reviewer", agent_owner=self.other, conversation_id=conversation
            )
            assert listed.items == [theirs]
        listed = await store.list_runs(self.owner, agent_id="reviewer", agent_owner=self.third)
        assert listed.items == []
        assert (await store.list_runs(self.other, agent_id="reviewer")).items == []

    # Shares of another store

    async def test_an_imported_share_comes_back_equal_and_counts(self, store: AgentStore) -> None:
        await store.create_agent(self.owner, "reviewer", spec())
        second = await store.update_agent(self.owner, "reviewer", spec("Second"), revision=1)
        share = Share(
            owner=self.owner, agent_id="reviewer", kind=PERSON, name=self.other, access=COPY, revision=1, created_at=T0
        )
        for _ in range(2):
            await store.import_share(share)
        assert (await store.list_shares(self.owner, "reviewer")).items == [share]
        shared = await store.get_shared_agent(self.other, self.groups, self.owner, "reviewer")
        assert shared == SharedAgent(agent=second, access=COPY)
        assert (await store.get_shared_agent(self.other, self.groups, self.owner, "reviewer", 1)).agent.revision == 1
        await refused(NotFound, store.import_share(share.model_copy(update={"agent_id": "missing"})))
