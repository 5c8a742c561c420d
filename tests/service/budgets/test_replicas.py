"""Replicas in processes of their own, on one file: what they overspend together, and what a killed one loses."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from jupyterhub_agents.ids import utcnow
from jupyterhub_agents.service.budgets.ledger import HUB, Ask, CallFilter, Kind
from jupyterhub_agents.service.budgets.money import nanos
from jupyterhub_agents.service.budgets.sqlite import SQLiteLedger

from .conftest import account
from .spender import LIMIT_USD, SPENT_TOKENS

pytestmark = pytest.mark.anyio

SPENDER = Path(__file__).with_name("spender.py")
COST = SPENT_TOKENS * 5_000


def spender(path: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.service.budgets.spender", str(path), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])


async def test_two_replicas_together_do_not_overspend_a_nearly_spent_budget(path: Path) -> None:
    replicas = [spender(path, 100, 100) for _ in range(2)]
    outputs = [(await asyncio.to_thread(replica.communicate, timeout=60))[0].splitlines() for replica in replicas]
    settled = [line for lines in outputs for line in lines if not line.startswith("refused")]
    refused = sum(int(line.split()[1]) for lines in outputs for line in lines if line.startswith("refused"))
    assert len(settled) + refused == 200
    async with SQLiteLedger(path) as ledger:
        rows = await ledger.usage(["name"], "2000-01-01", "2100-01-01", Kind.PERSON)
    assert rows[0].calls == len(settled) == len(set(settled))
    assert rows[0].cost == len(settled) * COST
    # 20 of the dearest calls fit. Leases that lie idle in one replica are missing in the other: so a few fewer may.
    assert len(settled) >= 10
    assert rows[0].cost <= nanos(LIMIT_USD)


async def test_a_killed_replica_loses_no_settled_call_and_its_leases_return(path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - moments, not secrets
    acknowledged: set[str] = set()
    for _ in range(4):
        process = spender(path, 40, 20, "forever")
        try:
            assert process.stdout is not None
            lines = [await asyncio.to_thread(process.stdout.readline) for _ in range(chance.randint(5, 150))]
        finally:
            process.kill()
            rest, _ = await asyncio.to_thread(process.communicate, timeout=60)
        acknowledged |= {line.strip() for line in (*lines, *rest.splitlines())}
    async with SQLiteLedger(path) as ledger:
        stored = [call async for page in ledger.export(CallFilter()) for call in page]
        assert acknowledged <= {call.id for call in stored}
        # No call is half there: the sums of each kind are those of the calls.
        (hub,) = await ledger.usage(["name"], "2000-01-01", "2100-01-01", Kind.HUB, HUB)
        assert (hub.calls, hub.cost) == (len(stored), len(stored) * COST)
        spent = await ledger.spent({account()._replace(key=stored[0].day)})
        assert sum(spent.values()) == sum(call.cost for call in stored if call.day == stored[0].day)


async def test_leases_of_a_dead_replica_return_when_their_time_is_over(path: Path) -> None:
    async with SQLiteLedger(path) as ledger:
        now = utcnow()
        ask = Ask(account(), least=10, want=10, default=10)
        first = await ledger.lease("dead", [ask], now, now.replace(microsecond=0))
        assert first.grants[0].granted == 10
        second = await ledger.lease("alive", [ask], now.replace(year=now.year - 1), now)
        assert second.grants[0].granted == 0
        third = await ledger.lease("alive", [ask], now, now)
        assert third.grants[0].granted == 10
