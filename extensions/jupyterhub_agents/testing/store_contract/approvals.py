"""The clauses on approvals."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest

from ...errors import AlreadyExists, Conflict, InvalidInput, NotFound
from ...ids import new_id
from ...models import Approval, Decision, Run
from ...store import AgentStore
from .clauses import Clauses
from .samples import ODD_TEXT, T0, Reopen, all_pages, ids, make_approval, make_run, outcomes, refused, rest


class ApprovalClauses(Clauses):
    async def _run(self, store: AgentStore, **fields: Any) -> Run:
        run = make_run(self.owner, **fields)
        await store.create_run(run)
        return run

    # Making and reading

    async def test_an_approval_comes_back_equal(self, store: AgentStore) -> None:
        run = await self._run(store)
        plain = make_approval(run, tool_use_id=None)
        full = make_approval(
            run, tool="mcp__docs__search", tool_use_id="toolu_1", reason=ODD_TEXT, decision=Decision.DENY,
            message=ODD_TEXT, decided_at=T0 + timedelta(microseconds=1), decided_by="über@example.org",
        )  # fmt: skip
        closed = make_approval(run, closed=True)
        for approval in (plain, full, closed):
            await store.create_approval(approval)
            assert await store.get_approval(self.owner, approval.id) == approval

    async def test_an_approvals_input_comes_back_as_the_same_json(self, store: AgentStore) -> None:
        run = await self._run(store)
        given: dict[str, Any] = {
            "z": 1, "a": [True, 1, 1.0, 0.1, None, [[]], {}, ""], "large": 2**53 + 1, "larger": 2**70,
            "": {"": ""}, "key with . $ / [0] and `": 1, "__x__": 2, ODD_TEXT: ODD_TEXT,
        }  # fmt: skip
        approval = make_approval(run, input=given)
        await store.create_approval(approval)
        await store.decide_approval(self.owner, approval.id, Decision.ONCE, by=self.owner)
        stored = await store.get_approval(self.owner, approval.id)
        assert json.dumps(stored.input) == json.dumps(given)

    async def test_an_approval_with_a_large_input_is_stored(self, store: AgentStore) -> None:
        run = await self._run(store)
        approval = make_approval(run, input={"content": "0123456789abcde\n" * (self.large_payload // 16)})
        await store.create_approval(approval)
        await store.decide_approval(self.owner, approval.id, Decision.ONCE, by=self.owner)
        assert (await store.get_approval(self.owner, approval.id)).input == approval.input

    async def test_an_approvals_times_keep_their_microseconds_and_come_back_in_utc(self, store: AgentStore) -> None:
        elsewhere = datetime(2026, 10, 25, 2, 30, 0, 123_457, tzinfo=timezone(timedelta(hours=5, minutes=45)))
        run = await self._run(store)
        approval = make_approval(run, created_at=elsewhere, decision=Decision.ONCE, decided_at=elsewhere)
        await store.create_approval(approval)
        stored = await store.get_approval(self.owner, approval.id)
        for time in (stored.created_at, stored.decided_at):
            assert time == elsewhere
            assert time is not None
            assert time.utcoffset() == timedelta(0)

    async def test_an_approval_id_in_use_is_refused_and_nothing_changes(self, store: AgentStore) -> None:
        run = await self._run(store)
        approval = make_approval(run)
        await store.create_approval(approval)
        await refused(AlreadyExists, store.create_approval(approval.model_copy(update={"tool": "Write"})))
        assert await store.get_approval(self.owner, approval.id) == approval

    async def test_an_approval_of_an_unknown_run_is_refused(self, store: AgentStore) -> None:
        await refused(NotFound, store.create_approval(make_approval(make_run(self.owner))))
        assert (await store.list_approvals(self.owner)).items == []

    async def test_half_of_a_surrogate_pair_in_an_approval_is_refused_and_nothing_is_stored(
        self, store: AgentStore
    ) -> None:
        run = await self._run(store)
        await refused(InvalidInput, store.create_approval(make_approval(run, input={"command": "\ud83e"})))
        assert (await store.list_approvals(self.owner)).items == []
        approval = make_approval(run)
        await store.create_approval(approval)
        await refused(
            InvalidInput,
            store.decide_approval(self.owner, approval.id, Decision.DENY, message="\ud83e", by=self.owner),
        )
        assert await store.get_approval(self.owner, approval.id) == approval

    @pytest.mark.parametrize("approval_id", ["01900000-0000-7000-8000-000000000000", "", "\0", "a/b", "..", "é"])
    async def test_an_approval_that_never_was_is_not_found(self, store: AgentStore, approval_id: str) -> None:
        await refused(
            NotFound,
            store.get_approval(self.owner, approval_id),
            store.decide_approval(self.owner, approval_id, Decision.ONCE, by=self.owner),
            store.deliver_approval(self.owner, approval_id),
        )

    # Listing

    async def test_approvals_are_listed_newest_first_and_paged(self, store: AgentStore) -> None:
        run = await self._run(store)
        approvals = [make_approval(run, number) for number in range(7)]
        for approval in (*approvals[3:], *approvals[:3]):
            await store.create_approval(approval)
        for limit in (1, 2, 7, 8):
            listed = await all_pages(partial(store.list_approvals, self.owner, limit=limit), "before")
            assert listed == list(reversed(approvals))

    async def test_approvals_of_the_same_moment_are_listed_once_each(self, store: AgentStore) -> None:
        run = await self._run(store)
        approvals = [make_approval(run) for _ in range(7)]
        await asyncio.gather(*map(store.create_approval, approvals))
        listed = await all_pages(partial(store.list_approvals, self.owner, limit=2), "before")
        assert ids(listed) == sorted(ids(approvals), reverse=True)

    async def test_a_page_of_waiting_approvals_goes_on_where_it_ended_whatever_was_decided(
        self, store: AgentStore
    ) -> None:
        run = await self._run(store)
        approvals = [make_approval(run, number) for number in range(6)]
        await asyncio.gather(*map(store.create_approval, approvals))
        page = await store.list_approvals(self.owner, waiting=True, limit=2)
        assert ids(page.items) == ids([approvals[5], approvals[4]])
        for decided in (approvals[4], approvals[2]):  # The first is the one that the cursor names.
            await store.decide_approval(self.owner, decided.id, Decision.ONCE, by=self.owner)
        await store.create_approval(make_approval(run, 9))
        more = await rest(partial(store.list_approvals, self.owner, waiting=True, limit=2), "before", page.next)
        assert ids(more) == ids([approvals[3], approvals[1], approvals[0]])

    async def test_filters_of_approvals_combine(self, store: AgentStore) -> None:
        runs = [await self._run(store), await self._run(store)]
        approvals = [make_approval(runs[number % 2], number) for number in range(8)]
        await asyncio.gather(*map(store.create_approval, approvals))
        for number in (0, 1):
            approvals[number] = await store.decide_approval(
                self.owner, approvals[number].id, Decision.DENY, by=self.owner
            )
        closed = make_approval(runs[0], 8, closed=True)
        await store.create_approval(closed)
        approvals.append(closed)
        for run_id in (None, runs[0].id, new_id()):
            for waiting in (None, True, False):
                expected = [
                    approval.id
                    for approval in reversed(approvals)
                    if run_id in (None, approval.run_id) and waiting in (None, _waits(approval))
                ]
                listed = await all_pages(
                    partial(store.list_approvals, self.owner, run_id=run_id, waiting=waiting, limit=3), "before"
                )
                assert ids(listed) == expected

    # Deciding

    @pytest.mark.parametrize("decision", list(Decision))
    async def test_a_decision_is_stored_with_who_and_when_and_what_they_said(
        self, store: AgentStore, decision: Decision
    ) -> None:
        run = await self._run(store)
        approval = make_approval(run)
        await store.create_approval(approval)
        decided = await store.decide_approval(self.owner, approval.id, decision, message=ODD_TEXT, by="grace")
        assert decided.decided_at is not None
        assert decided.decided_at.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - decided.decided_at) < timedelta(minutes=5)
        said = {"decision": decision, "message": ODD_TEXT, "decided_by": "grace", "decided_at": decided.decided_at}
        assert decided == approval.model_copy(update=said)
        assert await store.get_approval(self.owner, approval.id) == decided

    async def test_a_decision_may_come_without_a_message(self, store: AgentStore) -> None:
        run = await self._run(store)
        approval = make_approval(run)
        await store.create_approval(approval)
        assert (await store.decide_approval(self.owner, approval.id, Decision.ONCE, by="grace")).message is None

    async def test_of_twenty_who_decide_at_once_exactly_one_wins_and_the_others_learn_who_and_what(
        self, store: AgentStore, reopen: Reopen
    ) -> None:
        second = await reopen()
        run = await self._run(store)
        for _ in range(3):
            approval = make_approval(run)
            await store.create_approval(approval)
            made, failed = await outcomes(
                each.decide_approval(self.owner, approval.id, list(Decision)[number % 4], by=f"person-{number}.")
                for number in range(20)
                for each in [(store, second)[number % 2]]
            )
            assert len(made) == 1
            assert [type(error) for error in failed] == [Conflict] * 19
            (winner,) = made
            for error in failed:
                assert winner.decided_by in str(error)
                assert winner.decision.value in str(error)
            assert await store.get_approval(self.owner, approval.id) == winner

    async def test_a_decision_that_comes_later_is_refused_and_nothing_changes(self, store: AgentStore) -> None:
        run = await self._run(store)
        approval = make_approval(run)
        await store.create_approval(approval)
        decided = await store.decide_approval(self.owner, approval.id, Decision.DENY, message="No", by="grace")
        errors = await refused(
            Conflict,
            store.decide_approval(self.owner, approval.id, Decision.DENY, message="No", by="grace"),
            store.decide_approval(self.owner, approval.id, Decision.ONCE, by="linus"),
        )
        assert all("grace" in error.message and "deny" in error.message for error in errors)
        assert await store.get_approval(self.owner, approval.id) == decided

    async def test_a_message_that_no_approval_can_have_is_refused_and_nothing_changes(self, store: AgentStore) -> None:
        run = await self._run(store)
        approval = make_approval(run)
        await store.create_approval(approval)
        call = store.decide_approval(self.owner, approval.id, Decision.DENY, message="x" * 10_001, by="grace")
        await refused(InvalidInput, call)
        assert await store.get_approval(self.owner, approval.id) == approval

    # Delivering

    async def test_a_decision_is_delivered_once_with_the_time(self, store: AgentStore) -> None:
        run = await self._run(store)
        approval = make_approval(run, rules=["Bash(git push:*)"])
        await store.create_approval(approval)
        decided = await store.decide_approval(self.owner, approval.id, Decision.RUN, by="grace")
        delivered = await store.deliver_approval(self.owner, approval.id)
        assert delivered.delivered_at is not None
        assert abs(datetime.now(UTC) - delivered.delivered_at) < timedelta(minutes=5)
        assert delivered == decided.model_copy(update={"delivered_at": delivered.delivered_at})
        assert await store.get_approval(self.owner, approval.id) == delivered
        await refused(Conflict, store.deliver_approval(self.owner, approval.id))
        assert await store.get_approval(self.owner, approval.id) == delivered

    async def test_of_twenty_who_deliver_a_decision_exactly_one_succeeds(
        self, store: AgentStore, reopen: Reopen
    ) -> None:
        second = await reopen()
        run = await self._run(store)
        approval = make_approval(run)
        await store.create_approval(approval)
        await store.decide_approval(self.owner, approval.id, Decision.ONCE, by="grace")
        stores = (store, second)
        made, failed = await outcomes(stores[n % 2].deliver_approval(self.owner, approval.id) for n in range(20))
        assert len(made) == 1
        assert [type(error) for error in failed] == [Conflict] * 19
        await refused(Conflict, store.deliver_approval(self.owner, approval.id))

    async def test_what_is_not_decided_is_not_delivered(self, store: AgentStore) -> None:
        run = await self._run(store)
        waiting, closed = make_approval(run), make_approval(run, closed=True)
        for approval in (waiting, closed):
            await store.create_approval(approval)
            await refused(Conflict, store.deliver_approval(self.owner, approval.id))
            assert await store.get_approval(self.owner, approval.id) == approval

    # Closing

    async def test_one_approval_is_closed_and_the_others_go_on_waiting(self, store: AgentStore) -> None:
        run = await self._run(store)
        approvals = [make_approval(run, number) for number in range(3)]
        await asyncio.gather(*map(store.create_approval, approvals))
        assert await store.close_approvals(self.owner, run.id, approvals[1].id) == 1
        assert await store.close_approvals(self.owner, run.id, approvals[1].id) == 0
        assert await store.close_approvals(self.owner, run.id, new_id()) == 0
        waiting = (await store.list_approvals(self.owner, waiting=True)).items
        assert waiting == [approvals[2], approvals[0]]

    async def test_closing_a_runs_approvals_closes_those_that_wait_and_counts_them(self, store: AgentStore) -> None:
        run, another = await self._run(store), await self._run(store)
        approvals = [make_approval(run, number) for number in range(4)]
        others = make_approval(another)
        await asyncio.gather(*map(store.create_approval, (*approvals, others)))
        decided = await store.decide_approval(self.owner, approvals[0].id, Decision.ONCE, by=self.owner)
        assert await store.close_approvals(self.owner, run.id) == 3
        assert await store.close_approvals(self.owner, run.id) == 0
        assert await store.get_approval(self.owner, decided.id) == decided
        for approval in approvals[1:]:
            closed = approval.model_copy(update={"closed": True})
            assert await store.get_approval(self.owner, approval.id) == closed
        assert (await store.list_approvals(self.owner, waiting=True)).items == [others]
        assert len((await store.list_approvals(self.owner, run_id=run.id, waiting=False)).items) == 4

    async def test_an_unknown_run_has_no_approvals_to_close(self, store: AgentStore) -> None:
        assert await store.close_approvals(self.owner, new_id()) == 0

    async def test_a_closed_approval_cannot_be_decided(self, store: AgentStore) -> None:
        run = await self._run(store)
        approval = make_approval(run)
        await store.create_approval(approval)
        await store.close_approvals(self.owner, run.id)
        await refused(Conflict, store.decide_approval(self.owner, approval.id, Decision.ONCE, by=self.owner))
        assert await store.get_approval(self.owner, approval.id) == approval.model_copy(update={"closed": True})

    async def test_decided_and_closed_at_once_an_approval_is_one_of_them(self, store: AgentStore) -> None:
        run = await self._run(store)
        approvals = [make_approval(run, number) for number in range(10)]
        await asyncio.gather(*map(store.create_approval, approvals))
        calls = [store.decide_approval(self.owner, approval.id, Decision.ONCE, by="grace") for approval in approvals]
        made, failed = await outcomes([*calls[:5], store.close_approvals(self.owner, run.id), *calls[5:]])
        assert {type(error) for error in failed} <= {Conflict}
        (closed,) = [answer for answer in made if isinstance(answer, int)]
        decided = {answer.id for answer in made if isinstance(answer, Approval)}
        assert len(decided) + closed == 10
        for approval in (await store.list_approvals(self.owner)).items:
            assert (approval.decision is not None) == (approval.id in decided)
            assert approval.closed == (approval.id not in decided)

    # Approvals of another store

    async def test_an_imported_approval_goes_through_its_states_and_never_back(self, store: AgentStore) -> None:
        run = await self._run(store)
        waiting = make_approval(run, input={"command": ODD_TEXT})
        decided = waiting.model_copy(
            update={"decision": Decision.DENY, "message": "No", "decided_by": "grace", "decided_at": T0}
        )
        delivered = decided.model_copy(update={"delivered_at": T0 + timedelta(seconds=1)})
        seen = []
        for state in (waiting, waiting, decided, delivered, decided, waiting, delivered):
            await store.import_approval(state)
            seen.append(await store.get_approval(self.owner, waiting.id))
        assert seen == [waiting, waiting, decided, delivered, delivered, delivered, delivered]
        assert (await store.list_approvals(self.owner, waiting=True)).items == []
        assert (await store.list_approvals(self.owner, waiting=False)).items == [delivered]

    async def test_an_approval_may_be_imported_in_any_state(self, store: AgentStore) -> None:
        run = await self._run(store)
        waiting = make_approval(run)
        for state in (
            waiting,
            make_approval(run, closed=True),
            make_approval(run, decision=Decision.ONCE, decided_by="grace", decided_at=T0, delivered_at=T0),
        ):
            await store.import_approval(state)
            assert await store.get_approval(self.owner, state.id) == state
        closed = waiting.model_copy(update={"closed": True})
        await store.import_approval(closed)
        assert await store.get_approval(self.owner, waiting.id) == closed

    async def test_an_imported_approval_that_went_another_way_is_refused_and_nothing_changes(
        self, store: AgentStore
    ) -> None:
        run = await self._run(store)
        waiting = make_approval(run)
        await store.create_approval(waiting)
        decided = await store.decide_approval(self.owner, waiting.id, Decision.ONCE, by="grace")
        await refused(
            Conflict,
            store.import_approval(decided.model_copy(update={"decision": Decision.DENY})),
            store.import_approval(waiting.model_copy(update={"closed": True})),
            store.import_approval(waiting.model_copy(update={"tool": "Write"})),
        )
        assert await store.get_approval(self.owner, waiting.id) == decided
        await refused(NotFound, store.import_approval(make_approval(make_run(self.owner))))

    # Owners

    async def test_anothers_approvals_do_not_exist(self, store: AgentStore) -> None:
        run = await self._run(store)
        approval = make_approval(run)
        await store.create_approval(approval)
        await refused(
            NotFound,
            store.get_approval(self.other, approval.id),
            store.decide_approval(self.other, approval.id, Decision.ONCE, by=self.other),
            store.deliver_approval(self.other, approval.id),
            store.create_approval(make_approval(run, owner=self.other)),
        )
        assert (await store.list_approvals(self.other)).items == []
        assert (await store.list_approvals(self.other, run_id=run.id)).items == []
        assert (await store.list_approvals(self.other, waiting=True)).items == []
        assert await store.close_approvals(self.other, run.id) == 0
        assert await store.get_approval(self.owner, approval.id) == approval

    async def test_two_people_may_have_approvals_of_the_same_id(self, store: AgentStore) -> None:
        run = await self._run(store)
        await store.create_run(run.model_copy(update={"owner": self.other}))
        approval = make_approval(run)
        twin = approval.model_copy(update={"owner": self.other, "tool": "Write"})
        await store.create_approval(approval)
        await store.create_approval(twin)
        await store.decide_approval(self.other, approval.id, Decision.ONCE, by=self.other)
        await store.close_approvals(self.other, run.id)
        assert await store.get_approval(self.owner, approval.id) == approval
        assert (await store.list_approvals(self.owner)).items == [approval]


def _waits(approval: Approval) -> bool:
    return approval.decision is None and not approval.closed
