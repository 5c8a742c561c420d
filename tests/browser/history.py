"""A ledger with a past: what a team has used in the last weeks, the same each time."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jupyterhub_agents.models import AgentSpec, RunChanges, RunStatus
from jupyterhub_agents.service.budgets.ledger import HUB, Account, Budget, CallRecord, Kind
from jupyterhub_agents.service.budgets.periods import PeriodKind
from jupyterhub_agents.service.budgets.prices import Prices
from jupyterhub_agents.service.budgets.sqlite import SQLiteLedger
from jupyterhub_agents.service.gateway.meter import Usage
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.testing.store_contract.samples import make_run

TEAM = {"ada": ("research",), "grace": ("research", "teaching"), "linus": ("teaching",), "mina": ("research",)}
MODELS = ("claude-opus-5-5", "claude-sonnet-5", "claude-haiku-4-5")
AGENTS = ("paper-reader", "test-writer", "plot-maker")


async def write(path: Path, days: int = 40, seed: int = 7) -> None:
    """Put `days` days of calls on record, until a minute ago."""
    choose = random.Random(seed)  # noqa: S311 - not for secrets
    prices = Prices.load({}, {})
    now = datetime.now(UTC) - timedelta(minutes=1)
    async with SQLiteLedger(path) as ledger:
        await ledger.set_budget(Kind.GROUP, "research", Budget(None, 400_000_000_000), "admin", now)
        await ledger.set_budget(Kind.PERSON, "ada", Budget(5_000_000_000, 60_000_000_000), "admin", now)
        for back in range(days, -1, -1):
            weekend = (now - timedelta(days=back)).weekday() >= 5
            for name, groups in TEAM.items():
                for number in range(choose.randrange(0, 2 if weekend else 5)):
                    # Today's are recent, so that none is yet to come.
                    before, pace = (choose.randrange(40_000), 20.0) if back else (choose.randrange(20, 600), 1.0)
                    began = now - timedelta(days=back, seconds=before)
                    model, agent = choose.choices(MODELS, (1, 3, 2))[0], choose.choice(AGENTS)
                    run = f"{back}-{name}-{number}"
                    for step in range(choose.randrange(2, 9)):
                        at = began + timedelta(seconds=step * pace)
                        await _call(ledger, prices, choose, run, step, at, name, groups, model, agent)


async def write_runs(path: Path, days: int = 30, seed: int = 7) -> None:
    """Put the same people's agents, and how their runs ended, into the service's store."""
    choose = random.Random(seed)  # noqa: S311 - not for secrets
    now = datetime.now(UTC) - timedelta(minutes=1)
    made = now

    def clock() -> datetime:
        return made

    async with SQLiteStore(path, clock) as store:
        for name in TEAM:
            for agent_id in AGENTS:
                made = now - timedelta(days=choose.randrange(days))
                await store.create_agent(name, agent_id, AgentSpec(name=agent_id))
            for back in range(days):
                run = make_run(name, created_at=now - timedelta(days=back, minutes=5), agent_id=choose.choice(AGENTS))
                await store.create_run(run)
                ended = choose.choices((RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED), (20, 1, 2))[0]
                await store.append_events(name, run.id, [], RunChanges(status=ended))


async def _call(
    ledger: SQLiteLedger, prices: Prices, choose: random.Random, run: str, step: int, at: datetime, name: str,
    groups: tuple[str, ...], model: str, agent: str,
) -> None:  # fmt: skip
    status = 529 if choose.random() < 0.02 else 200
    usage = Usage() if status != 200 else Usage(
        input_tokens=choose.randrange(200, 4_000), output_tokens=choose.randrange(100, 3_000),
        cache_creation_input_tokens=choose.randrange(0, 8_000), cache_read_input_tokens=choose.randrange(5_000, 60_000),
    )  # fmt: skip
    day = at.date().isoformat()
    record = CallRecord(
        id=f"{run}-{step}", started_at=at, day=day, person=name, via="run", run_id=run, agent_id=agent, groups=groups,
        model=model, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens,
        cache_write_5m_tokens=usage.cache_creation_input_tokens, cache_write_1h_tokens=0,
        cache_read_tokens=usage.cache_read_input_tokens, server_tool_requests=0, cost=prices.cost(model, usage),
        status=status, duration_us=choose.randrange(700_000, 25_000_000), stream=True, complete=True, estimated=False,
    )  # fmt: skip
    whose = [(Kind.PERSON, name), *((Kind.GROUP, group) for group in groups), (Kind.HUB, HUB)]
    accounts = [
        Account(kind, one, period, day if period is PeriodKind.DAY else day[:7])
        for kind, one in whose
        for period in PeriodKind
    ]
    await ledger.settle("history", record, accounts)
