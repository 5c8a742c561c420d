"""`LedgerContract`: the promises of `Ledger`, each a test that every backend runs.

A backend's test class supplies two fixtures: `ledger`, open and empty, and `another`, which opens one more on the same
data, as another replica would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from jupyterhub_agents.errors import InvalidInput
from jupyterhub_agents.service.budgets.ledger import (
    HUB,
    Account,
    Ask,
    Budget,
    CallFilter,
    CallRecord,
    Grant,
    Kind,
    Leased,
    Ledger,
)
from jupyterhub_agents.service.budgets.periods import PeriodKind

from .conftest import NOON, account, record

ADA, ML, ALL = account(), account("ml", Kind.GROUP, PeriodKind.MONTH), account(HUB, Kind.HUB)
UNTIL = NOON + timedelta(seconds=30)
OVER = NOON + timedelta(seconds=46)
"""When leases until UNTIL have returned on every backend."""

Another = Callable[[], Awaitable[Ledger]]


async def lease(
    ledger: Ledger, replica: str, want: int, *, of: Account = ADA, least: int = 1, limit: int | None = 100,
    late: bool = False,
) -> Grant:  # fmt: skip
    return (await leased(ledger, replica, want, of=of, least=least, limit=limit, late=late)).grants[0]


async def leased(
    ledger: Ledger, replica: str, want: int, *, of: Account = ADA, least: int = 1, limit: int | None = 100,
    late: bool = False,
) -> Leased:  # fmt: skip
    now = OVER if late else NOON
    return await ledger.lease(replica, [Ask(of, least, want, limit)], now, now + (UNTIL - NOON))


async def on_record(ledger: Ledger, which: CallFilter = CallFilter()) -> list[CallRecord]:  # noqa: B008 - frozen
    return [call async for page in ledger.export(which) for call in page]


async def becomes(ask: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Another replica's calls are seen a moment later."""
    deadline = asyncio.get_running_loop().time() + 30
    while (found := await ask()) != wanted:
        assert asyncio.get_running_loop().time() < deadline, found
        await asyncio.sleep(0.1)


class LedgerContract:
    pytestmark = pytest.mark.anyio

    # Calls

    async def test_a_settled_call_is_on_record_as_it_was(self, ledger: Ledger) -> None:
        plain = record("1", groups=("ml", "a/b"), run_id="run", agent_id="helper", via="run")
        odd = record(
            "2", person="안녕", model='"x"\n', status=0, stream=False, complete=False, estimated=True, cost=1 << 60,
            started_at=NOON + timedelta(microseconds=1), server_tool_requests=3, cache_write_1h_tokens=4,
        )  # fmt: skip
        for call in (plain, odd):
            await ledger.settle("a", call, [ADA])
        assert await on_record(ledger) == [odd, plain]

    async def test_a_settled_call_counts_for_its_person_groups_model_and_day(self, ledger: Ledger) -> None:
        await ledger.settle("a", record("1", 5, groups=("ml",)), [ADA, ML, ALL])
        await ledger.settle("a", record("2", 7, status=500, model="other"), [ADA, ALL])
        assert await ledger.spent([ADA, ML, ALL, account("grace")]) == {ADA: 12, ML: 5, ALL: 12, account("grace"): 0}
        assert await ledger.names(Kind.PERSON, ["2026-11-21"]) == {"ada": {"2026-11-21": 12}}
        (ada,) = await ledger.usage(["day"], "2026-11-21", "2026-11-21", Kind.PERSON, "ada")
        assert (ada.by, ada.calls, ada.failed, ada.input_tokens, ada.cost) == (("2026-11-21",), 2, 1, 20, 12)
        models = await ledger.usage(["model"], "2026-11-01", "2026-11-30")
        assert {row.by[0]: row.cost for row in models} == {record().model: 5, "other": 7}
        (day,) = await ledger.activity("2026-11-21", "2026-11-21", PeriodKind.DAY)
        assert (day.people, day.calls, day.cost) == (1, 2, 12)

    async def test_a_call_that_is_settled_twice_counts_once(self, ledger: Ledger) -> None:
        same = [ledger.settle("a", record("1", 5), [ADA]) for _ in range(5)]
        assert sorted(map(str, await asyncio.gather(*same))) == ["None"] * 4 + ["[0]"]
        assert await ledger.settle("a", record("1", 5), [ADA]) is None
        assert await ledger.spent([ADA]) == {ADA: 5}
        assert len(await on_record(ledger)) == 1

    async def test_two_hundred_calls_at_once_are_each_counted_once(self, ledger: Ledger) -> None:
        calls = [record(str(number), number) for number in range(200)]
        await asyncio.gather(*(ledger.settle("a", call, [ADA]) for call in calls))
        assert await ledger.spent([ADA]) == {ADA: 199 * 100}
        assert {call.id for call in await on_record(ledger)} == {call.id for call in calls}

    async def test_a_settled_call_outlasts_the_process(self, ledger: Ledger, another: Another) -> None:
        await ledger.settle("a", record("1", 5), [ADA])
        # The first is still open: nothing was closed in order.
        other = await another()
        assert await on_record(other) == [record("1", 5)]
        assert await other.spent([ADA]) == {ADA: 5}

    async def test_what_one_replica_settles_the_other_reports(self, ledger: Ledger, another: Another) -> None:
        other = await another()
        assert await other.spent([ADA]) == {ADA: 0}
        await ledger.settle("a", record("1", 5), [ADA])
        await other.settle("b", record("2", 6), [ADA])
        for one in (ledger, other):
            await becomes(lambda one=one: one.spent([ADA]), {ADA: 11})

    async def test_calls_come_newest_first_in_pages_and_by_filters(self, ledger: Ledger) -> None:
        made = [
            record(
                str(n), person=("ada", "grace")[n % 2], run_id=f"run-{n % 3}", started_at=NOON + timedelta(seconds=n)
            )
            for n in range(7)
        ]
        await asyncio.gather(*(ledger.settle("a", call, [ADA]) for call in made))
        first = await ledger.calls(CallFilter(), 4)
        second = await ledger.calls(CallFilter(), 4, first.next)
        assert [*first.calls, *second.calls] == made[::-1]
        assert second.next is None
        assert [call.id for call in await on_record(ledger, CallFilter(person="ada", run_id="run-0"))] == ["6", "0"]
        until = NOON + timedelta(seconds=3)
        assert [call.id for call in await on_record(ledger, CallFilter(since=NOON, until=until))] == ["2", "1", "0"]
        with pytest.raises(InvalidInput):
            await ledger.calls(CallFilter(), 4, "no cursor")

    async def test_old_calls_go_and_their_sums_stay(self, ledger: Ledger, another: Another) -> None:
        old = [record(f"old-{n}", 5, day="2026-11-01", run_id=f"run-{n}", groups=("ml",)) for n in range(3)]
        days = [account()._replace(key="2026-11-01"), account(period=PeriodKind.MONTH)]
        for call in old:
            await ledger.settle("a", call, days)
        # Settled together with an old one, and newer.
        await asyncio.gather(
            ledger.settle("a", record("old-3", 5, day="2026-11-01", run_id="run-3"), days),
            ledger.settle("a", record("new", 7, run_id="run-9"), [ADA, days[1]]),
        )

        async def sums(one: Ledger) -> object:
            return (
                await one.usage(["day", "model"], "2026-10-01", "2026-11-30", Kind.PERSON),
                await one.activity("2026-10-01", "2026-11-30", PeriodKind.DAY),
                await one.names(Kind.PERSON, ["2026-11-01", "2026-11"]),
                await one.spent(days),
            )

        before = await sums(ledger)
        assert await ledger.prune("2026-11-02") == 4
        assert await ledger.prune("2026-11-02") == 0
        for one in (ledger, await another()):
            assert [call.id for call in await on_record(one)] == ["new"]
            assert await sums(one) == before

    # Leases

    async def test_what_is_leased_to_one_replica_no_other_gets(self, ledger: Ledger, another: Another) -> None:
        other = await another()
        assert await lease(ledger, "a", 60) == Grant(60, 100, 0, 60)
        assert await lease(other, "b", 60) == Grant(40, 100, 0, 100)
        assert await lease(ledger, "a", 1) == Grant(0, 100, 0, 100)
        assert await lease(other, "b", 1) == Grant(0, 100, 0, 100)

    async def test_less_than_the_least_is_not_granted(self, ledger: Ledger) -> None:
        assert (await lease(ledger, "a", 90)).granted == 90
        assert (await lease(ledger, "a", 20, least=11)).granted == 0
        assert (await lease(ledger, "a", 20, least=10)).granted == 10

    async def test_several_accounts_are_leased_at_once_each_by_its_own_limit(self, ledger: Ledger) -> None:
        asks = [Ask(ADA, 1, 60, 50), Ask(ML, 1, 60, None), Ask(ALL, 1, 60, 100)]
        grants = (await ledger.lease("a", asks, NOON, UNTIL)).grants
        assert [(grant.granted, grant.limit) for grant in grants] == [(50, 50), (0, None), (60, 100)]

    async def test_replicas_that_ask_at_the_same_time_share_a_budget_without_overspending(
        self, ledger: Ledger, another: Another
    ) -> None:
        ledgers = [ledger, await another(), await another()]
        grants = await asyncio.gather(*(lease(one, str(n), 40) for n, one in enumerate(ledgers)))
        assert sorted(grant.granted for grant in grants) == [20, 40, 40]

    async def test_a_settled_call_is_drawn_from_what_its_replica_holds(self, ledger: Ledger) -> None:
        await lease(ledger, "a", 60)
        assert await ledger.settle("a", record("1", 25), [ADA]) == [25]
        assert await ledger.settle("a", record("2", 40), [ADA]) == [35]
        assert await lease(ledger, "a", 100) == Grant(35, 100, 65, 35)
        assert await ledger.settle("b", record("3", 5), [ADA]) == [0]
        assert await ledger.spent([ADA]) == {ADA: 70}

    async def test_what_was_spent_can_be_leased_by_nobody(self, ledger: Ledger, another: Another) -> None:
        other = await another()
        await lease(ledger, "a", 60)
        await ledger.settle("a", record("1", 60), [ADA])
        assert (await lease(other, "b", 100)).granted == 40
        await ledger.give_back("a")
        assert (await lease(other, "b", 100)).granted == 0

    async def test_what_is_given_back_others_get(self, ledger: Ledger, another: Another) -> None:
        other = await another()
        await lease(ledger, "a", 100)
        await ledger.settle("a", record("1", 10), [ADA])
        await ledger.give_back("a", {ADA: 30})
        assert await lease(other, "b", 100) == Grant(30, 100, 10, 90)
        await ledger.give_back("a", {ADA: None})
        assert await lease(other, "b", 100) == Grant(60, 100, 10, 90)
        await other.give_back("b")
        assert (await leased(ledger, "a", 100)).lapsed is False
        assert await lease(other, "c", 100) == Grant(0, 100, 10, 90)

    async def test_leases_of_a_dead_replica_return_when_their_time_is_over(
        self, ledger: Ledger, another: Another
    ) -> None:
        other = await another()
        await lease(ledger, "a", 100)
        await ledger.settle("a", record("1", 10), [ADA])
        assert (await lease(other, "b", 100)).granted == 0
        # What it spent stays spent; what it held returns.
        assert await lease(other, "b", 100, late=True) == Grant(90, 100, 10, 90)

    async def test_what_a_dead_replica_spent_without_a_lease_counts_too(self, ledger: Ledger, another: Another) -> None:
        other = await another()
        await lease(ledger, "a", 10, of=ML)
        await lease(ledger, "a", 10)
        await ledger.settle("a", record("1", 30), [ADA, ML, ALL])
        assert await lease(other, "b", 100, late=True) == Grant(70, 100, 30, 70)
        assert await lease(other, "b", 100, of=ML, late=True) == Grant(70, 100, 30, 70)
        assert await lease(other, "b", 100, of=ALL, late=True) == Grant(70, 100, 30, 70)

    async def test_what_a_dead_replica_spent_counts_once_however_often_it_had_leased(
        self, ledger: Ledger, another: Another
    ) -> None:
        other = await another()
        for number in range(3):
            await lease(ledger, "a", 10)
            await ledger.settle("a", record(str(number), 8), [ADA])
        await ledger.give_back("a", {ADA: 3})
        await ledger.settle("a", record("last", 1), [ADA])
        assert await lease(other, "b", 100, late=True) == Grant(75, 100, 25, 75)

    async def test_a_replica_holds_on_as_long_as_it_renews(self, ledger: Ledger, another: Another) -> None:
        other = await another()
        assert (await leased(ledger, "a", 100)).lapsed is True
        assert await ledger.renew("a", NOON + timedelta(seconds=20), OVER + timedelta(seconds=1))
        assert (await lease(other, "b", 1, late=True)).granted == 0
        assert (await leased(ledger, "a", 1, late=True)).lapsed is False

    async def test_a_replica_that_renews_too_late_holds_nothing_and_begins_anew(
        self, ledger: Ledger, another: Another
    ) -> None:
        other = await another()
        await lease(ledger, "a", 100)
        await ledger.settle("a", record("1", 10), [ADA])
        assert (await lease(other, "b", 50, late=True)).granted == 50
        assert await ledger.renew("a", OVER, OVER + timedelta(seconds=30)) is False
        # Calls that were under way are on record all the same, and drawn from nothing.
        assert await ledger.settle("a", record("2", 5), [ADA]) == [0]
        again = await leased(ledger, "a", 100, late=True)
        assert again.lapsed is True
        assert again.grants[0] == Grant(35, 100, 15, 85)
        assert (await ledger.spent([ADA]))[ADA] == 15

    async def test_spent_and_leased_stay_within_the_budget_whatever_two_replicas_do(
        self, ledger: Ledger, another: Another
    ) -> None:
        other = await another()
        holds = {"a": 0, "b": 0}
        spent = 0

        async def play(name: str, one: Ledger, odd: int) -> None:
            nonlocal spent
            for number in range(12):
                grant = await lease(one, name, 7 + odd)
                holds[name] += grant.granted
                assert spent + sum(holds.values()) <= 100
                cost = min(holds[name], number % 5)
                drawn = await one.settle(name, record(f"{name}{number}", cost), [ADA])
                assert drawn == [cost]
                holds[name] -= cost
                spent += cost
                if number % 4 == 3:
                    back = holds[name] // 2
                    holds[name] -= back
                    await one.give_back(name, {ADA: back})

        await asyncio.gather(play("a", ledger, 0), play("b", other, 3))
        await ledger.give_back("a")
        await other.give_back("b")
        assert await lease(ledger, "c", 1_000) == Grant(100 - spent, 100, spent, 100 - spent)
        await becomes(lambda: ledger.spent([ADA]), {ADA: spent})

    # Budgets

    async def test_a_budget_that_is_set_holds_instead_of_the_default_at_once(
        self, ledger: Ledger, another: Another
    ) -> None:
        other = await another()
        await ledger.set_budget(Kind.PERSON, "ada", Budget(day=50), "root", NOON)
        assert (await lease(other, "b", 100)).limit == 50
        await other.set_budget(Kind.PERSON, "ada", Budget(), "root", NOON)
        assert await lease(ledger, "a", 100) == Grant(0, None, 0, 50)
        await ledger.set_budget(Kind.PERSON, "ada", None, "root", NOON)
        assert (await lease(ledger, "a", 100)).limit == 100

    async def test_budgets_are_told_when_they_changed(self, ledger: Ledger, another: Another) -> None:
        other = await another()
        empty = await other.budgets()
        assert empty is not None
        assert empty.budgets == {}
        assert await other.budgets(empty.version) is None
        await ledger.set_budget(Kind.GROUP, "a:b/c", Budget(1, 1 << 60), "root", NOON)
        changed = await other.budgets(empty.version)
        assert changed is not None
        assert changed.budgets == {(Kind.GROUP, "a:b/c"): Budget(1, 1 << 60)}
        assert await other.budgets(changed.version) is None

    async def test_who_changed_which_budget_is_written_down(self, ledger: Ledger) -> None:
        later = NOON + timedelta(microseconds=1)
        await ledger.set_budget(Kind.PERSON, "ada", Budget(5), "root", NOON)
        await ledger.set_budget(Kind.PERSON, "ada", None, "boss", later)
        (newest,), cursor = await ledger.changes(1)
        (oldest,), end = await ledger.changes(1, cursor)
        assert (newest.at, newest.by, newest.before, newest.after) == (later, "boss", Budget(5), None)
        assert (oldest.at, oldest.by, oldest.before, oldest.after) == (NOON, "root", None, Budget(5))
        assert end is None
        with pytest.raises(InvalidInput):
            await ledger.changes(1, "no cursor")

    async def test_a_ledger_that_works_says_so(self, ledger: Ledger) -> None:
        await ledger.check()
