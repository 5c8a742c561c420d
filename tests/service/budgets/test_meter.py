"""What the gateway gets to hear: reservations, bills, refusals."""

from __future__ import annotations

import asyncio
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from traitlets import TraitError

from jupyterhub_agents.errors import StoreUnavailable
from jupyterhub_agents.service.budgets.booking import Booking
from jupyterhub_agents.service.budgets.ledger import Budget, CallFilter, CallRecord, Kind
from jupyterhub_agents.service.budgets.meter import Budgets
from jupyterhub_agents.service.budgets.money import NANOS, nanos
from jupyterhub_agents.service.budgets.sqlite import SQLiteLedger
from jupyterhub_agents.service.gateway.meter import Refused, Reservation, Usage

from .conftest import ADA, MODEL, MakeBudgets, MovedClock, account, call, make_person, record

pytestmark = pytest.mark.anyio

ALL = Usage(output_tokens=1000)
DAY = {"person": {"day": 0.02}}


async def done(booking: Reservation, usage: Usage = ALL, status: int = 200, complete: bool = True) -> None:
    await booking.settle(usage, status=status, duration_s=1.5, complete=complete)


async def refusal(budgets: Budgets, **changes: object) -> Refused:
    with pytest.raises(Refused) as refused:
        await budgets.reserve(call(**changes))  # type: ignore[arg-type]  # What a test names.
    return refused.value


async def on_record(budgets: Budgets) -> list[CallRecord]:
    return [*(await budgets.ledger.calls(CallFilter(), 100)).calls]


async def spent(budgets: Budgets) -> int:
    return sum((await budgets.ledger.spent([account()])).values())


async def test_a_call_is_on_record_with_who_and_what_and_without_its_content(make_budgets: MakeBudgets) -> None:
    person = make_person("ada", groups=("ml",), kind="run", run_id="run-1", agent_id="helper")
    async with await make_budgets() as budgets:
        await done(await budgets.reserve(call(person)), Usage(10, 20, 30, 12, 40, 1))
        (kept,) = await on_record(budgets)
    assert (kept.person, kept.via, kept.run_id, kept.agent_id, kept.groups) == (
        "ada",
        "run",
        "run-1",
        "helper",
        ("ml",),
    )
    assert (kept.cache_write_5m_tokens, kept.cache_write_1h_tokens, kept.cache_read_tokens) == (18, 12, 40)
    # 10 at 1, 20 at 5, 18 at 1.25, 12 at 2, 40 at 0.10, each per million tokens, and a cent for the search
    assert kept.cost == 10_000 + 100_000 + 22_500 + 24_000 + 4_000 + 10_000_000
    assert (kept.status, kept.duration_us, kept.complete, kept.estimated) == (200, 1_500_000, True, False)


async def test_the_file_is_its_owners_alone(make_budgets: MakeBudgets, path: Path) -> None:
    async with await make_budgets() as budgets:
        await done(await budgets.reserve(call()))
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


async def test_over_budget_is_refused_with_what_happened_until_when_and_whom_to_ask(make_budgets: MakeBudgets) -> None:
    async with await make_budgets(default_budgets=DAY, contact="the data team") as budgets:
        for _ in range(4):
            await done(await budgets.reserve(call()))
        refused = await refusal(budgets)
    assert (refused.status, refused.error_type) == (429, "billing_error")
    assert refused.headers == {"x-should-retry": "false", "retry-after": str(12 * 3600)}
    assert refused.message == (
        "The budget of ada for today is used up: $0.02 of $0.02 is spent. It starts anew in 12 hours "
        "(at 2026-11-22 00:00 UTC). Ask the data team."
    )


async def test_a_new_day_has_a_new_budget_and_the_month_goes_on(make_budgets: MakeBudgets, clock: MovedClock) -> None:
    limits = {"person": {"day": 0.005, "month": 0.01}}
    async with await make_budgets(default_budgets=limits) as budgets:
        await done(await budgets.reserve(call()))
        assert "for today" in (await refusal(budgets)).message
        clock.pass_(days=1)
        await done(await budgets.reserve(call()))
        clock.pass_(days=1)
        refused = await refusal(budgets)
        assert "for 2026-11 (this month)" in refused.message
        assert refused.headers["retry-after"] == str(int(timedelta(days=7, hours=12).total_seconds()))
        clock.pass_(days=8)
        await done(await budgets.reserve(call()))


async def test_days_begin_at_midnight_of_the_sites_time_zone(make_budgets: MakeBudgets, clock: MovedClock) -> None:
    async with await make_budgets(default_budgets=DAY, time_zone="Asia/Seoul") as budgets:
        clock.pass_(hours=3, minutes=-1)
        for _ in range(4):
            await done(await budgets.reserve(call()))
        refused = await refusal(budgets)
        assert refused.headers["retry-after"] == "60"
        assert "in 1 minute (at midnight, Asia/Seoul)" in refused.message
        clock.pass_(minutes=1)
        await done(await budgets.reserve(call()))
        assert {one.day for one in await on_record(budgets)} == {"2026-11-21", "2026-11-22"}


@pytest.mark.parametrize(
    ("limits", "whose"),
    [
        ({"person": {"month": 0.001}}, "ada"),
        ({"group": {"day": 0.001}}, "the group ml"),
        ({"hub": {"month": 0.001}, "person": {"day": 100}}, "the whole hub"),
    ],
)
async def test_each_of_several_budgets_must_have_room(
    limits: dict[str, object], whose: str, make_budgets: MakeBudgets
) -> None:
    async with await make_budgets(default_budgets=limits) as budgets:
        refused = await refusal(budgets)
        assert f"more than the whole budget of {whose}" in refused.message
        assert refused.error_type == "billing_error"
        assert await spent(budgets) == 0


@pytest.mark.parametrize("tight", ["person", "group", "hub"])
async def test_a_lease_of_one_budget_is_no_way_around_another(tight: str, make_budgets: MakeBudgets) -> None:
    limits = {kind: {"day": 0.01 if kind == tight else 100} for kind in ("person", "group", "hub")}
    async with await make_budgets(default_budgets=limits, lease_usd=1.0) as budgets:
        for _ in range(2):
            await done(await budgets.reserve(call()))
        assert (await refusal(budgets)).error_type == "billing_error"
        assert await spent(budgets) == nanos(0.01)


async def test_two_hundred_calls_at_once_do_not_overspend_what_is_left(make_budgets: MakeBudgets) -> None:
    async with await make_budgets(default_budgets=DAY) as budgets:
        refused: list[str] = []

        async def one() -> None:
            try:
                booking = await budgets.reserve(call())
            except Refused as refusal:
                refused.append(refusal.error_type)
                assert refusal.headers["x-should-retry"] == "true"
                assert refusal.headers["retry-after"]
                return
            await asyncio.sleep(0.02)
            await done(booking)

        await asyncio.gather(*(one() for _ in range(200)))
        assert refused == ["rate_limit_error"] * 196, (
            "there was room but for the calls under way: trying again is right"
        )
        assert await spent(budgets) == nanos(0.02)
        assert (await refusal(budgets)).error_type == "billing_error"


async def test_what_a_call_did_not_use_is_there_for_the_next(make_budgets: MakeBudgets) -> None:
    async with await make_budgets(default_budgets=DAY) as budgets:
        for _ in range(20):
            await done(await budgets.reserve(call()), Usage(output_tokens=100))
        assert await spent(budgets) == nanos(0.01)


async def test_a_call_is_billed_once_however_often_it_is_settled(make_budgets: MakeBudgets) -> None:
    async with await make_budgets() as budgets:
        booking = await budgets.reserve(call())
        await asyncio.gather(*(done(booking) for _ in range(5)))
        assert await budgets.ledger.settle("other", booking.record(ALL, 200, 1, True), booking.accounts) is None
        assert await spent(budgets) == 5_000_000


async def test_a_caller_that_goes_away_does_not_take_the_bill_along(make_budgets: MakeBudgets) -> None:
    async with await make_budgets(default_budgets=DAY) as budgets:
        settling = asyncio.create_task(done(await budgets.reserve(call())))
        await asyncio.sleep(0)
        settling.cancel()
        await asyncio.gather(settling, return_exceptions=True)
    async with await make_budgets(default_budgets=DAY) as budgets:
        assert await spent(budgets) == 5_000_000


@pytest.mark.parametrize(
    ("seen", "billed", "estimated"),
    [
        # Cut before the first event: a quarter of the characters, and a hundred tokens a second.
        (Usage(), (1000, 150), True),
        # Cut after the first event: the input is known, the output is not.
        (Usage(input_tokens=7, output_tokens=2), (7, 150), True),
        # Cut near the end, by a gateway that counted along.
        (Usage(input_tokens=7, output_tokens=900), (7, 900), True),
    ],
)
async def test_a_stream_that_was_cut_off_is_billed(
    seen: Usage, billed: tuple[int, int], estimated: bool, make_budgets: MakeBudgets
) -> None:
    async with await make_budgets() as budgets:
        await done(await budgets.reserve(call(chars=4000)), seen, complete=False)
        (kept,) = await on_record(budgets)
    assert (kept.input_tokens, kept.output_tokens, kept.estimated) == (*billed, estimated)
    assert not kept.complete
    assert kept.cost == billed[0] * 1_000 + billed[1] * 5_000


async def test_what_the_upstream_refused_costs_nothing_and_is_on_record(make_budgets: MakeBudgets) -> None:
    async with await make_budgets(default_budgets=DAY) as budgets:
        for status in (0, 400, 529) * 10:
            await done(await budgets.reserve(call(chars=1000)), Usage(), status=status)
        assert await spent(budgets) == 0
        assert {one.status for one in await on_record(budgets)} == {0, 400, 529}


async def test_a_call_that_was_never_settled_is_billed_in_the_end(make_budgets: MakeBudgets, clock: MovedClock) -> None:
    async with await make_budgets(default_budgets=DAY, call_limit_s=60) as budgets:
        await budgets.reserve(call())
        clock.pass_(seconds=61)
        deadline = asyncio.get_running_loop().time() + 10
        while not (kept := await on_record(budgets)):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.05)
        assert (kept[0].output_tokens, kept[0].estimated) == (1000, True)


async def test_old_calls_are_dropped_and_what_they_cost_stays(make_budgets: MakeBudgets, clock: MovedClock) -> None:
    async with await make_budgets(keep_calls_days=0) as budgets:
        await done(await budgets.reserve(call()))
        clock.pass_(days=11)
        await done(await budgets.reserve(call()))
    async with await make_budgets(keep_calls_days=0) as budgets:
        assert len(await on_record(budgets)) == 2, "0 keeps them"
    async with await make_budgets(keep_calls_days=10) as budgets:
        deadline = asyncio.get_running_loop().time() + 10
        while len(kept := await on_record(budgets)) > 1:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.05)
        assert [one.day for one in kept] == ["2026-12-02"]
        assert await spent(budgets) == 5_000_000


async def test_a_bill_that_could_not_be_written_is_written_later(
    make_budgets: MakeBudgets, path: Path, tmp_path: Path
) -> None:
    async with await make_budgets(default_budgets=DAY) as budgets:
        booking = await budgets.reserve(call())
        away = path.parent.rename(tmp_path / "away")
        with pytest.raises(StoreUnavailable):
            await done(booking)
        away.rename(path.parent)
        deadline = asyncio.get_running_loop().time() + 10
        while not await on_record(budgets):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.05)
        assert await spent(budgets) == 5_000_000


async def test_a_ledger_that_is_away_is_a_refusal_that_may_be_tried_again(
    make_budgets: MakeBudgets, path: Path, tmp_path: Path
) -> None:
    async with await make_budgets(default_budgets=DAY) as budgets:
        away = path.parent.rename(tmp_path / "away")
        refused = await refusal(budgets)
        assert "service.db" in await budgets.trouble()
        away.rename(path.parent)
        assert await budgets.trouble() == ""
        assert (refused.status, refused.error_type) == (503, "api_error")
        assert refused.headers["x-should-retry"] == "true"
        await done(await budgets.reserve(call()))


async def test_a_budget_that_is_lowered_bites_at_once_also_in_the_other_replica(
    make_budgets: MakeBudgets, clock: MovedClock
) -> None:
    traits = {"default_budgets": {"person": {"day": 10}}, "lease_usd": 1.0}
    async with await make_budgets(**traits) as here, await make_budgets(**traits) as there:
        for budgets in (here, there):
            await done(await budgets.reserve(call()))
            assert sum(budgets.leases.held().values()) > 0
        await here.set_budget(Kind.PERSON, "ada", Budget(day=NANOS // 100), "root")
        assert (await refusal(here, max_tokens=1001)).error_type == "billing_error"
        deadline = asyncio.get_running_loop().time() + 10
        while any(there.leases.held().values()):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.05)
        assert (await refusal(there, max_tokens=1001)).error_type == "billing_error"


async def test_leases_that_lie_idle_return_for_others_to_use(make_budgets: MakeBudgets, clock: MovedClock) -> None:
    traits = {"default_budgets": DAY, "lease_usd": 1.0}
    async with await make_budgets(**traits) as here, await make_budgets(**traits) as there:
        await done(await here.reserve(call()))
        assert (await refusal(there)).error_type == "rate_limit_error", "the rest is leased by the first"
        clock.pass_(seconds=11)
        await here.leases.renew()
        await done(await there.reserve(call()))


async def test_a_replica_that_was_stopped_for_long_does_not_use_leases_that_returned(
    make_budgets: MakeBudgets, clock: MovedClock
) -> None:
    traits = {"default_budgets": DAY, "lease_usd": 1.0}
    async with await make_budgets(**traits) as here, await make_budgets(**traits) as there:
        await done(await here.reserve(call()))
        assert sum(here.leases.held().values()) == nanos(0.015)
        clock.pass_(seconds=40)
        others = [await there.reserve(call()) for _ in range(3)]
        assert (await refusal(here)).error_type == "rate_limit_error"
        for other in others:
            await done(other)
        assert (await refusal(here)).error_type == "billing_error"
        assert await spent(here) == nanos(0.02)


async def test_metrics_say_what_was_spent_by_how_many_and_what_was_refused(make_budgets: MakeBudgets) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    refusals = "agents_budgets_refusals_total"
    before = value("agents_spent_dollars_total", family=MODEL), value(refusals, type="billing_error")
    async with await make_budgets(default_budgets={"person": {"day": 0.005}}) as budgets:
        await done(await budgets.reserve(call()))
        await refusal(budgets)
    async with await make_budgets() as budgets:
        deadline = asyncio.get_running_loop().time() + 10
        while (value("agents_active_people", period="month"), value("agents_period_spent_dollars", period="day")) != (
            1,
            0.005,
        ):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.05)
    assert value("agents_spent_dollars_total", family=MODEL) - before[0] == pytest.approx(0.005)
    assert value(refusals, type="billing_error") - before[1] == 1


async def test_warming_leases_before_the_first_call(make_budgets: MakeBudgets) -> None:
    async with await make_budgets(default_budgets=DAY, lease_usd=0.01) as budgets:
        budgets.warm(ADA)
        deadline = asyncio.get_running_loop().time() + 10
        while not any(budgets.leases.held().values()):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.01)


async def test_a_smaller_reservation_lets_a_small_budget_be_used_to_its_end(make_budgets: MakeBudgets) -> None:
    async with await make_budgets(default_budgets=DAY, reserved_output_tokens=100) as budgets:
        await done(await budgets.reserve(call(max_tokens=64_000)))


async def test_only_the_allowed_models_of_ones_groups_are_open(make_budgets: MakeBudgets) -> None:
    allowed = {"students": ["claude-haiku-*"], "staff": ["claude-sonnet-*", "claude-haiku-*"], "*": []}
    async with await make_budgets(allowed_models=allowed, contact="the data team") as budgets:
        student, both, guest = (
            make_person("ada", groups=groups) for groups in (("students",), ("students", "staff"), ())
        )
        await budgets.reserve(call(student, "claude-haiku-4-5"))
        await budgets.reserve(call(both, "claude-sonnet-5-5"))
        refused = await refusal(budgets, person=student, model="claude-opus-5-5")
        assert (refused.status, refused.error_type) == (403, "permission_error")
        assert refused.headers["x-should-retry"] == "false"
        assert refused.message == (
            "The model claude-opus-5-5 is not open to ada here. Open are: claude-haiku-*. Ask the data team."
        )
        assert "no model at all" in (await refusal(budgets, person=guest)).message


async def test_requests_a_minute_are_limited_as_the_api_does_it(make_budgets: MakeBudgets, clock: MovedClock) -> None:
    async with await make_budgets(requests_per_minute=3, tokens_per_minute=1000) as budgets:
        for _ in range(3):
            await budgets.reserve(call())
        refused = await refusal(budgets)
        assert (refused.status, refused.error_type) == (429, "rate_limit_error")
        assert refused.headers == {
            "x-should-retry": "true",
            "retry-after": "20",
            "anthropic-ratelimit-requests-limit": "3",
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-requests-reset": "2026-11-21T12:01:00Z",
            "anthropic-ratelimit-tokens-limit": "1000",
            "anthropic-ratelimit-tokens-remaining": "1000",
            "anthropic-ratelimit-tokens-reset": "2026-11-21T12:00:00Z",
        }
        await budgets.reserve(call(make_person("grace")))
        clock.pass_(seconds=20)
        await budgets.reserve(call())


async def test_tokens_a_minute_count_what_was_used_and_not_what_came_from_the_cache(
    make_budgets: MakeBudgets, clock: MovedClock
) -> None:
    async with await make_budgets(tokens_per_minute=600) as budgets:
        await done(await budgets.reserve(call(chars=4000)), Usage(10, 90, cache_read_input_tokens=10_000))
        await done(await budgets.reserve(call()), Usage(500, 599))
        refused = await refusal(budgets)
        # 599 below what a minute gives: at ten a second
        assert (refused.error_type, refused.headers["retry-after"]) == ("rate_limit_error", "60")
        assert "600 tokens a minute" in refused.message
        clock.pass_(seconds=60)
        await budgets.reserve(call())


async def test_a_refused_call_uses_up_no_tokens_of_the_minute(make_budgets: MakeBudgets) -> None:
    async with await make_budgets(tokens_per_minute=600, default_budgets={"person": {"day": 0}}) as budgets:
        for _ in range(3):
            assert (await refusal(budgets, chars=40_000)).error_type == "billing_error"


@pytest.mark.parametrize(
    "traits",
    [
        {"time_zone": "Mars/Olympus"}, {"default_budgets": {"persons": {"day": 1}}},
        {"default_budgets": {"person": {"week": 1}}}, {"default_budgets": {"person": {"day": -1}}},
        {"default_budgets": {"person": 5}}, {"prices": {"ours": {"input": 1}}}, {"unknown_price": {"input": 1}},
        {"allowed_models": {"students": "claude-haiku-*"}},
    ],
)  # fmt: skip
async def test_a_wrong_choice_is_refused_when_it_is_made(traits: dict[str, object], make_budgets: MakeBudgets) -> None:
    with pytest.raises(TraitError):
        await make_budgets(**traits)


async def test_a_reservation_takes_no_turn_of_the_loop_when_a_lease_is_held(make_budgets: MakeBudgets) -> None:
    limits = {"person": {"day": 10, "month": 10}, "group": {"day": 10}, "hub": {"month": 10}}
    async with await make_budgets(default_budgets=limits, lease_usd=1.0) as budgets:
        await done(await budgets.reserve(call()))
        reserving = budgets.reserve(call())
        with pytest.raises(StopIteration) as stopped:
            reserving.send(None)
        assert isinstance(stopped.value.value, Booking)
        await done(stopped.value.value)


async def test_a_settled_call_of_another_model_counts_in_the_same_budget(path: Path) -> None:
    async with SQLiteLedger(path) as ledger:
        await ledger.settle("a", record("1", 3, model=MODEL), [account()])
        await ledger.settle("a", record("2", 4, model="other"), [account()])
        assert await ledger.spent([account()]) == {account(): 7}
