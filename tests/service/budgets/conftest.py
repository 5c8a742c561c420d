"""For the tests of budgets: a ledger in a file, a clock that the test moves, calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from jupyterhub_agents.service.budgets.ledger import Account, CallRecord, Kind
from jupyterhub_agents.service.budgets.meter import Budgets
from jupyterhub_agents.service.budgets.periods import PeriodKind
from jupyterhub_agents.service.budgets.sqlite import SQLiteLedger
from jupyterhub_agents.service.gateway.meter import Call
from jupyterhub_agents.service.identity import Person

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MODEL = "claude-haiku-4-5"  # $1 and $5 per million tokens


def make_person(
    name: str,
    *,
    groups: tuple[str, ...] = (),
    admin: bool = False,
    kind: Literal["user", "server", "run"] = "user",
    run_id: str | None = None,
    agent_id: str | None = None,
) -> Person:
    return Person(name, admin, groups, kind, run_id, agent_id)


ADA = make_person("ada", groups=("ml",))

MakeBudgets = Callable[..., Awaitable[Budgets]]


@dataclass
class MovedClock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    with blockbuster_ctx("jupyterhub_agents") as watch:
        yield watch


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "service.db"


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[SQLiteLedger]:
    async with SQLiteLedger(path) as ledger:
        yield ledger


@pytest.fixture
def make_budgets(path: Path, clock: MovedClock) -> MakeBudgets:
    async def make(**traits: Any) -> Budgets:
        traits.setdefault("lease_usd", 0.0)
        # It reads files.
        return await asyncio.to_thread(Budgets, SQLiteLedger(path), clock=clock, **traits)

    return make


def call(person: Person = ADA, model: str = MODEL, max_tokens: int | None = 1000, chars: int = 0) -> Call:
    """With the defaults it may cost half a cent."""
    return Call(person, model, max_tokens, chars, stream=True, started_at=NOON)


def record(id: str = "1", cost: int = 7, person: str = "ada", **changes: Any) -> CallRecord:
    values: dict[str, Any] = {
        "id": id, "started_at": NOON, "day": "2026-11-21", "person": person, "via": "user", "run_id": None,
        "agent_id": None, "groups": (), "model": MODEL, "input_tokens": 10, "output_tokens": 20,
        "cache_write_5m_tokens": 0, "cache_write_1h_tokens": 0, "cache_read_tokens": 0, "server_tool_requests": 0,
        "cost": cost, "status": 200, "duration_us": 1_500_000, "stream": True, "complete": True, "estimated": False,
    }  # fmt: skip
    return CallRecord(**values | changes)


def account(name: str = "ada", kind: Kind = Kind.PERSON, period: PeriodKind = PeriodKind.DAY) -> Account:
    return Account(kind, name, period, "2026-11-21" if period is PeriodKind.DAY else "2026-11")
