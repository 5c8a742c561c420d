"""Replicas in processes of their own, on one ledger: what they overspend together, and what a killed one loses."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from jupyterhub_agents.ids import utcnow
from jupyterhub_agents.service.budgets.ledger import HUB, Ask, CallFilter, Kind
from jupyterhub_agents.service.budgets.money import nanos

from .conftest import account
from .ledger_contract import becomes
from .spender import LIMIT_USD, SPENT_TOKENS, ledger_at

pytestmark = pytest.mark.anyio

COST = SPENT_TOKENS * 5_000


@pytest.fixture(params=["sqlite", "firestore"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "state" / "service.db")
    return f"firestore:{request.getfixturevalue('project')}:{tmp_path}"


@contextmanager
def spender(place: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.service.budgets.spender", place, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_two_replicas_together_do_not_overspend_a_nearly_spent_budget(place: str) -> None:
    with spender(place, 100, 100) as one, spender(place, 100, 100) as other:
        ended = [asyncio.to_thread(replica.communicate, timeout=60) for replica in (one, other)]
        outputs = [out.splitlines() for out, _ in await asyncio.gather(*ended)]
    settled = [line for lines in outputs for line in lines if not line.startswith("refused")]
    refused = sum(int(line.split()[1]) for lines in outputs for line in lines if line.startswith("refused"))
    assert len(settled) + refused == 200
    async with ledger_at(place) as ledger:
        rows = await ledger.usage(["name"], "2000-01-01", "2100-01-01", Kind.PERSON)
    assert rows[0].calls == len(settled) == len(set(settled))
    assert rows[0].cost == len(settled) * COST
    # 20 of the dearest calls fit. Leases that lie idle in one replica are missing in the other: so a few fewer may.
    assert len(settled) >= 10
    assert rows[0].cost <= nanos(LIMIT_USD)


async def test_a_killed_replica_loses_no_settled_call(place: str) -> None:
    chance = random.Random(7)  # noqa: S311 - moments, not secrets
    acknowledged: set[str] = set()
    for _ in range(3):
        with spender(place, 40, 20, "forever") as process:
            assert process.stdout is not None
            lines = [await asyncio.to_thread(process.stdout.readline) for _ in range(chance.randint(5, 100))]
            process.kill()
            rest, _ = await asyncio.to_thread(process.communicate, timeout=60)
        acknowledged |= {line.strip() for line in (*lines, *rest.splitlines())}
    async with ledger_at(place) as ledger:
        stored = [call async for page in ledger.export(CallFilter()) for call in page]
        assert acknowledged
        assert acknowledged <= {call.id for call in stored}
        # No call is half there: the sums of each kind are those of the calls.
        (hub,) = await ledger.usage(["name"], "2000-01-01", "2100-01-01", Kind.HUB, HUB)
        assert (hub.calls, hub.cost) == (len(stored), len(stored) * COST)
        today = account()._replace(key=stored[0].day)
        spent = sum(call.cost for call in stored if call.day == stored[0].day)
        assert await ledger.spent([today]) == {today: spent}
    # Nor is any forgotten when it comes to what may still be spent, once the dead are known to be dead.
    async with ledger_at(place, lambda: utcnow() + timedelta(minutes=5)) as ledger:

        async def left() -> int:
            now = utcnow() + timedelta(minutes=5)
            ask = Ask(today, least=1 << 50, want=1 << 50, default=nanos(1_000))
            grant = (await ledger.lease("later", [ask], now, now + timedelta(seconds=30))).grants[0]
            return (grant.limit or 0) - grant.spent - grant.held

        await becomes(left, nanos(1_000) - spent)
