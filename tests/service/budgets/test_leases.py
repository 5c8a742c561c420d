"""Whatever happens in whatever order, leases are never below zero, and spent and leased never exceed a budget."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyterhub_agents.service.budgets.leases import Leases
from jupyterhub_agents.service.budgets.ledger import Account, Ask, Budget, Kind
from jupyterhub_agents.service.budgets.periods import PeriodKind
from jupyterhub_agents.service.budgets.sqlite import SQLiteLedger

from .conftest import MovedClock, account, record

PERSON, GROUP = account(), account("ml", Kind.GROUP, PeriodKind.MONTH)
LIMITS = {PERSON: 100, GROUP: 150}
STEP = st.one_of(
    st.tuples(st.just("take"), st.integers(0, 1), st.integers(1, 60)),
    st.tuples(st.just("settle"), st.integers(0, 1), st.integers(0, 100)),
    st.tuples(st.just("wait"), st.just(0), st.integers(1, 60)),
    st.tuples(st.just("renew"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("return"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("change"), st.just(0), st.integers(0, 200)),
)


async def play(path: Path, steps: list[tuple[str, int, int]]) -> None:
    clock = MovedClock()
    limits = dict(LIMITS)
    async with SQLiteLedger(path) as ledger:

        def replica(name: str) -> Leases:
            return Leases(
                ledger, name, clock, limit_of=limits.get, default_of=limits.get, slice_=20, lease_s=30, idle_s=10,
                wait_s=10,
            )  # fmt: skip

        replicas = [replica("a"), replica("b")]
        under_way: list[list[int]] = [[], []]
        spent, number, over = 0, 0, 0
        for what, which, amount in steps:
            leases = replicas[which]
            if what == "take":
                if await leases.take([PERSON, GROUP], amount) is None:
                    under_way[which].append(amount)
            elif what == "settle" and under_way[which]:
                need = under_way[which].pop(0)
                # More than was reserved, sometimes: a wrong guess.
                cost = amount if amount % 7 == 0 else min(amount, need)
                number += 1
                await leases.settle([PERSON, GROUP], need, record(str(number), cost))
                spent += cost
                over += max(0, cost - need)
            elif what == "wait":
                clock.pass_(seconds=amount)
                # What a replica had reserved when its leases ran out is spent all the same.
                over += sum(map(sum, under_way))
            elif what == "renew":
                await leases.renew()
            elif what == "return":
                await leases.give_back()
            elif what == "change":
                over += max(0, limits[PERSON] - amount)
                limits[PERSON] = amount
                await ledger.set_budget(PERSON.kind, PERSON.name, Budget(day=amount), "root", clock())
            for one in replicas:
                assert min(one.held().values(), default=0) >= 0
            stored = await ledger.spent([PERSON, GROUP])
            assert stored == {PERSON: spent, GROUP: spent}
            assert spent <= max(LIMITS[PERSON], *limits.values()) + over
        for one in replicas:
            await one.close()
        clock.pass_(minutes=5)
        await nothing_is_held(ledger, clock, PERSON)


async def nothing_is_held(ledger: SQLiteLedger, clock: MovedClock, account: Account) -> None:
    ask = Ask(account, least=1 << 50, want=1 << 50, default=0)
    answer = await ledger.lease("last", [ask], clock(), clock() + timedelta(seconds=1))
    assert answer.grants[0].held == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, max_size=25))
def test_spent_and_leased_together_stay_within_the_budget(steps: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder) / "service.db", steps))
