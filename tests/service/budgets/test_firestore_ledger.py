"""FirestoreLedger keeps the promises of Ledger on Google's emulator, within Firestore's limits."""

from __future__ import annotations

import asyncio
import itertools
import json
import stat
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from google.cloud.firestore_v1 import AsyncClient
from google.cloud.firestore_v1.types import CommitRequest

from jupyterhub_agents.errors import StoreUnavailable
from jupyterhub_agents.service.budgets.firestore import FirestoreLedger
from jupyterhub_agents.service.budgets.ledger import Ask, Budget, CallFilter, Kind
from jupyterhub_agents.service.budgets.meter import Budgets
from jupyterhub_agents.service.gateway.meter import Refused, Usage
from jupyterhub_agents.store.firestore.connection import connect, disconnect
from tests.store.firestore_emulator import RULES, Emulator, Relay
from tests.store.firestore_traffic import Traffic

from .conftest import NOON, MovedClock, account, call, record
from .ledger_contract import LedgerContract, becomes

T = TypeVar("T")

LIMITED = {"person": {"day": 1, "month": 1}, "hub": {"day": 1}}


class TestFirestoreLedger(LedgerContract):
    @pytest.fixture
    async def ledger(self, project: str, tmp_path: Path, clock: MovedClock) -> AsyncIterator[FirestoreLedger]:
        async with FirestoreLedger(project, tmp_path, clock=clock, quiet_s=0.0) as ledger:
            yield ledger

    @pytest.fixture
    async def another(
        self, project: str, tmp_path: Path, clock: MovedClock
    ) -> AsyncIterator[Callable[[], Awaitable[FirestoreLedger]]]:
        async with AsyncExitStack() as stack:

            async def another() -> FirestoreLedger:
                made = FirestoreLedger(project, tmp_path, clock=clock, quiet_s=0.0)
                return await stack.enter_async_context(made)

            yield another


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


@pytest.fixture
async def watched(project: str, traffic: Traffic) -> AsyncIterator[AsyncClient]:
    client = await connect(project, interceptors=traffic.interceptors)
    yield client
    await disconnect(client)


def within_limits(traffic: Traffic) -> None:
    """Firestore's own, as the data model has them."""
    assert max(write.size for write in traffic.sent) <= 900_000
    assert max(map(len, traffic.commits)) <= 400
    assert max(traffic.commit_sizes) <= 4 << 20


class CommitTimes(grpc.aio.UnaryUnaryClientInterceptor):
    """When each document was written, by Firestore's own clock."""

    def __init__(self) -> None:
        self.of: dict[str, list[datetime]] = {}

    async def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        answer = await continuation(details, request)
        if isinstance(request, CommitRequest) and await answer.code() == grpc.StatusCode.OK:
            at = (await answer).commit_time
            for write in request.writes:
                if write.update.name:
                    self.of.setdefault(write.update.name, []).append(at)
        return answer


@pytest.mark.anyio
async def test_no_document_is_written_more_than_once_a_second(project: str, traffic: Traffic, tmp_path: Path) -> None:
    """Two replicas make calls as fast as they can, all of one person's, in small leases."""
    times = CommitTimes()
    client = await connect(project, interceptors=[*traffic.interceptors, times])
    deadline = asyncio.get_running_loop().time() + 60

    async def replica() -> None:
        ledger = FirestoreLedger(project, tmp_path, client=client)
        made = await asyncio.to_thread(Budgets, ledger, default_budgets=LIMITED, lease_usd=0.001)
        async with made as budgets:
            while max(map(len, times.of.values()), default=0) < 4:
                assert asyncio.get_running_loop().time() < deadline
                try:
                    booking = await budgets.reserve(call())
                except Refused:
                    await asyncio.sleep(0.01)
                    continue
                await booking.settle(Usage(output_tokens=1), status=200, duration_s=0.1, complete=True)

    await asyncio.gather(replica(), replica())
    await disconnect(client)
    within_limits(traffic)
    for document, written in times.of.items():
        for one, other in itertools.pairwise(sorted(written)):
            assert other - one >= timedelta(seconds=1), document


@pytest.mark.anyio
async def test_replicas_that_start_at_once_in_one_folder_keep_each_its_own(project: str, tmp_path: Path) -> None:
    ledgers = [FirestoreLedger(project, tmp_path) for _ in range(16)]
    await asyncio.gather(*(ledger.open() for ledger in ledgers))
    assert len([*tmp_path.glob("ledger-copy-*")]) == len(ledgers)
    await asyncio.gather(*(ledger.close() for ledger in ledgers))
    assert not [*tmp_path.glob("ledger-copy-*")]


@pytest.mark.anyio
async def test_hundreds_of_people_and_calls_at_once_stay_within_the_limits_of_a_commit(
    project: str, watched: AsyncClient, traffic: Traffic, tmp_path: Path, clock: MovedClock
) -> None:
    people = [account(f"person-{number}") for number in range(700)]
    asks = [Ask(one, 1, 100, 100) for one in people]
    long = "m" * 200
    ledger = FirestoreLedger(project, tmp_path, client=watched, clock=clock, quiet_s=0.0)
    await ledger.open()
    async with FirestoreLedger(project, tmp_path, client=watched, clock=clock, quiet_s=0.0) as other:
        grants = (await ledger.lease("a", asks, NOON, NOON + timedelta(seconds=30))).grants
        assert {grant.granted for grant in grants} == {100}
        calls = [record(str(n), 10, model=long, groups=("g" * 200,) * 5) for n in range(1_000)]
        await asyncio.gather(*(ledger.settle("a", one, [people[n % 700]]) for n, one in enumerate(calls)))
        assert sum((await ledger.spent(people)).values()) == 10_000
        # As when it had been killed: another one counts all, and takes what was left.
        later = NOON + timedelta(seconds=46)
        grants = (await other.lease("b", asks, later, later + timedelta(seconds=30))).grants
        assert sum(grant.granted for grant in grants) == 700 * 100 - 10_000
        assert sum(grant.spent for grant in grants) == 10_000
    await ledger.close()
    within_limits(traffic)


@pytest.mark.anyio
async def test_a_settled_call_is_one_write_and_no_read_and_those_at_once_share_it(
    project: str,
    watched: AsyncClient,
    traffic: Traffic,
    tmp_path: Path,
    clock: MovedClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "jupyterhub_agents.service.budgets.firestore.ledger._TICK_S", 600
    )  # its own looks are not counted
    async with FirestoreLedger(project, tmp_path, client=watched, clock=clock) as ledger:
        await ledger.lease("a", [Ask(account(), 1, 1_000, 10_000)], NOON, NOON + timedelta(seconds=30))
        await ledger.spent([account()])
        before = traffic.count()
        await ledger.settle("a", record("1"), [account()])
        assert traffic.count() - before == Counter(writes=1)
        await asyncio.gather(*(ledger.settle("a", record(f"{n}-at-once"), [account()]) for n in range(100)))
        assert traffic.count() - before == Counter(writes=2)


@pytest.mark.anyio
async def test_a_settlement_whose_answer_was_lost_counts_once(
    emulator: Emulator, project: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: MovedClock
) -> None:
    with Relay(emulator.port) as relay:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", relay.address)
        async with FirestoreLedger(project, tmp_path, clock=clock, timeout=4, quiet_s=0.0) as ledger:
            until = NOON + timedelta(seconds=30)
            await _when_back(ledger.check)  # A busy emulator's first answer may take longer.
            await ledger.lease("a", [Ask(account(), 1, 50, 50)], NOON, until)
            with relay.losing_answers():
                lost = await asyncio.gather(
                    *(ledger.settle("a", record(str(n), 10), [account()]) for n in range(3)), return_exceptions=True
                )
            assert [type(one) for one in lost] == [StoreUnavailable] * 3
            # One is tried again at once, as the service does, one after another call has come, and one never.
            assert await _when_back(lambda: ledger.settle("a", record("0", 10), [account()])) == [10]
            assert await ledger.settle("a", record("3", 5), [account()]) == [5]
            assert await ledger.settle("a", record("1", 10), [account()]) == [10]
            assert await ledger.settle("a", record("1", 10), [account()]) is None
            assert await ledger.spent([account()]) == {account(): 35}
            # That one too is counted in what may still be leased.
            (grant,) = (await ledger.lease("a", [Ask(account(), 1, 50, 50)], NOON, until)).grants
            assert (grant.spent, grant.held) == (35, 15)


@pytest.mark.anyio
async def test_while_firestore_is_away_everything_says_so_and_goes_on_when_it_is_back(
    emulator: Emulator, project: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: MovedClock
) -> None:
    until = NOON + timedelta(seconds=30)
    ask = [Ask(account(), 1, 50, 50)]
    with Relay(emulator.port) as relay:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", relay.address)
        async with FirestoreLedger(project, tmp_path, clock=clock, timeout=4, quiet_s=0.0) as ledger:
            await _when_back(ledger.check)  # A busy emulator's first answer may take longer.
            await ledger.lease("a", ask, NOON, until)
            await ledger.settle("a", record("1", 10), [account()])
            assert await ledger.spent([account()]) == {account(): 10}
            relay.cut()
            answers = await asyncio.gather(
                ledger.settle("a", record("2", 10), [account()]), ledger.lease("a", ask, NOON, until),
                ledger.renew("a", NOON, until + timedelta(minutes=1)), ledger.give_back("a", {account(): 1}),
                ledger.budgets(), ledger.changes(1), ledger.check(), return_exceptions=True,
            )  # fmt: skip
            assert [type(one) for one in answers] == [StoreUnavailable] * len(answers), answers
            # Reports may be a second old.
            await _fails(lambda: ledger.spent([account()]))
            await _fails(lambda: ledger.calls(CallFilter(), 1))
            relay.mend()
            assert await _when_back(lambda: ledger.settle("a", record("2", 10), [account()])) == [10]
            assert await ledger.spent([account()]) == {account(): 20}
            assert (await ledger.lease("a", ask, NOON, until)).lapsed is False


async def _fails(ask: Callable[[], Awaitable[object]]) -> None:
    deadline = asyncio.get_running_loop().time() + 30
    while True:
        try:
            await ask()
        except StoreUnavailable:
            return
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)


async def _when_back(ask: Callable[[], Awaitable[T]]) -> T:
    deadline = asyncio.get_running_loop().time() + 30
    while True:
        try:
            return await ask()
        except StoreUnavailable:
            assert asyncio.get_running_loop().time() < deadline


@pytest.mark.anyio
async def test_the_copies_of_processes_that_were_killed_are_removed_and_no_others(
    project: str, tmp_path: Path, clock: MovedClock
) -> None:
    dead = tmp_path / "ledger-copy-dead"
    dead.mkdir()
    (dead / "copy.db").touch()

    def there() -> list[Path]:
        return [*tmp_path.glob("ledger-copy-*")]

    async with FirestoreLedger(project, tmp_path, clock=clock):
        (living,) = there()
        assert living != dead
        async with FirestoreLedger(project, tmp_path, clock=clock):
            assert living in there()
            assert len(there()) == 2
        assert {stat.S_IMODE(file.stat().st_mode) for file in living.iterdir()} == {0o600}
    assert there() == []


@pytest.mark.anyio
async def test_every_field_that_is_asked_for_is_indexed_and_no_other(
    project: str, watched: AsyncClient, traffic: Traffic, tmp_path: Path, clock: MovedClock
) -> None:
    ledger = FirestoreLedger(project, tmp_path, client=watched, clock=clock, quiet_s=0.0)
    async with ledger, FirestoreLedger(project, tmp_path, client=watched, clock=clock, quiet_s=0.0) as other:
        await ledger.set_budget(Kind.PERSON, "ada", Budget(5), "root", NOON)
        await ledger.changes(1, (await ledger.changes(1))[1])
        await ledger.lease("a", [Ask(account(), 1, 50, 50)], NOON, NOON + timedelta(seconds=30))
        await ledger.settle("a", record("1", 3), [account()])
        await ledger.settle("a", record("2", 3, day="2026-10-01"), [account()])
        later = NOON + timedelta(seconds=46)
        await other.lease("b", [Ask(account(), 1, 50, 50)], later, later + timedelta(seconds=30))
        clock.pass_(minutes=5)
        await ledger.settle("a", record("3", 3), [account()])
        await other.prune("2026-11-01")
        # What it does every few seconds when it is left alone.
        await becomes(lambda: _asks_who_lives(traffic), True)
    asked, written = set(), set()
    for request in traffic.queries:
        query = request.structured_query
        fields = {item.field.field_path for item in query.order_by}
        fields |= {item.field_filter.field.field_path for item in [query.where, *query.where.composite_filter.filters]}
        fields -= {"", "__name__"}
        assert len(fields) <= 1, "two fields in one query need a composite index, which this test does not know"
        asked |= {(query.from_[0].collection_id, name) for name in fields}
    for write in traffic.sent:
        written |= {(write.document.split("/")[-2], name) for name in write.fields}
    indexes = json.loads(RULES.with_name("firestore.indexes.json").read_text())["fieldOverrides"]
    exempt = {(item["collectionGroup"], item["fieldPath"]) for item in indexes}
    assert written - asked == {one for one in exempt if one[0].startswith("ledger_")}


async def _asks_who_lives(traffic: Traffic) -> bool:
    return any(request.structured_query.where.field_filter.field.field_path == "open" for request in traffic.queries)
