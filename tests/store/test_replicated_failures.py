"""What a workspace wrote reaches the hub's service whole, whatever happens to the service, the network or itself."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from jupyterhub_agents.errors import Conflict, NotFound, StoreUnavailable
from jupyterhub_agents.ids import new_id
from jupyterhub_agents.models import Decision, Event, Run, RunChanges, RunStatus
from jupyterhub_agents.store import AgentStore, transfer
from jupyterhub_agents.store.remote import RemoteStore
from jupyterhub_agents.store.replicated import ReplicatedStore
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.testing.store_contract.person import fill
from jupyterhub_agents.testing.store_contract.samples import (
    ids,
    make_approval,
    make_entries,
    make_events,
    make_run,
    refused,
    seqs,
    spec,
    transcript_key,
)

from ..service.store_service import ROOT, Service, remote_store, running_service, token_of
from .firestore_emulator import Relay

pytestmark = pytest.mark.anyio

OWNER = "ada"
MARK = {"type": "mode"}


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
def own_service(mortal: Service) -> Service:
    """A service that the test may kill: where one before has, it is started again."""
    if not mortal.runs:
        mortal.start()
    return mortal


@pytest.fixture
def url(own_service: Service) -> str:
    """Where there is an empty store."""
    return own_service.url(new_id())


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that waits for the service, however busy the machine is: it does not fall back on what it has itself."""
    monkeypatch.setattr("jupyterhub_agents.store.replicated.store.ASK_S", 12.0)


@pytest.fixture
async def store(path: Path, url: str) -> AsyncIterator[ReplicatedStore]:
    async with ReplicatedStore(path, url, token_of) as store:
        yield store


@pytest.fixture
async def remote(url: str) -> AsyncIterator[RemoteStore]:
    async with remote_store(url) as remote:
        yield remote


async def until_sent(store: ReplicatedStore, within: float = 60) -> None:
    deadline = asyncio.get_running_loop().time() + within
    while (lag := await store.lag()).entries:
        assert asyncio.get_running_loop().time() < deadline, lag
        await asyncio.sleep(0.02)
    assert lag.bytes == 0
    assert lag.since is None


async def until_away(store: ReplicatedStore) -> None:
    deadline = asyncio.get_running_loop().time() + 60
    while not (await store.lag()).away:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)


async def all_events(store: AgentStore, run: Run) -> list[Event]:
    events: list[Event] = []
    while page := await store.list_events(OWNER, run.id, after=len(events), limit=1_000):
        events += page
    return events


async def test_the_service_gets_everything_as_it_is_here(
    store: ReplicatedStore, remote: RemoteStore, path: Path
) -> None:
    await fill(store, OWNER)
    await until_sent(store)
    here, there = await transfer.digest(store, OWNER), await transfer.digest(remote, OWNER)
    assert here == there
    assert there.counts.event > 450
    assert (await store.lag()).sentence == ""


async def test_a_service_killed_twice_in_the_middle_of_10000_events_gets_them_all(
    store: ReplicatedStore, remote: RemoteStore, own_service: Service
) -> None:
    run = make_run(OWNER)
    await store.create_run(run)
    for first in range(1, 10_001, 20):
        await store.append_events(
            OWNER, run.id, make_events(run, first, first + 19, text="x" * 300), RunChanges(turns=first)
        )
        if first in (2_001, 6_001):
            # It has some of them, and is killed while more are on their way.
            deadline = asyncio.get_running_loop().time() + 60
            arrived: list[Event] = []
            while not arrived:
                assert asyncio.get_running_loop().time() < deadline
                with contextlib.suppress(NotFound):  # of the run itself
                    arrived = await remote.list_events(OWNER, run.id, after=first - 2_000, limit=1)
            own_service.kill()
        elif first in (4_001, 8_001):
            assert (await store.get_run(OWNER, run.id)).last_seq == first + 19
            await asyncio.to_thread(own_service.start)
    await store.append_events(OWNER, run.id, [], RunChanges(status=RunStatus.SUCCEEDED))
    await until_sent(store)
    assert await all_events(remote, run) == make_events(run, 1, 10_000, text="x" * 300)
    assert await remote.get_run(OWNER, run.id) == await store.get_run(OWNER, run.id)


async def test_lost_answers_store_nothing_twice(
    path: Path, own_service: Service, remote: RemoteStore, url: str
) -> None:
    run, key = make_run(OWNER), transcript_key()
    with Relay(own_service.port) as relay:
        relayed = url.replace(f"127.0.0.1:{own_service.port}", relay.address)
        async with ReplicatedStore(path, relayed, token_of) as store:
            entries = [MARK, *make_entries(1, 3), MARK]
            with relay.losing_answers():
                await store.create_run(run)
                await store.append_events(OWNER, run.id, make_events(run, 1, 5), RunChanges(turns=1))
                await store.append_transcript(OWNER, key, entries)
                await store.create_approval(make_approval(run))
                # The service has the run and the answer is lost.
                deadline = asyncio.get_running_loop().time() + 60
                while not (await remote.list_runs(OWNER)).items:
                    assert asyncio.get_running_loop().time() < deadline
                    await asyncio.sleep(0.02)
            await until_sent(store)
            with relay.losing_answers():
                await store.append_transcript(OWNER, key, [MARK, MARK])
                deadline = asyncio.get_running_loop().time() + 60
                while len(await remote.load_transcript(OWNER, key) or ()) == len(entries):
                    assert asyncio.get_running_loop().time() < deadline
                    await asyncio.sleep(0.02)
            await until_sent(store)
            assert await remote.load_transcript(OWNER, key) == [*entries, MARK, MARK]
            assert await transfer.digest(store, OWNER) == await transfer.digest(remote, OWNER)


async def test_a_workspace_killed_while_the_service_is_away_loses_nothing_that_it_showed(
    path: Path, own_service: Service, remote: RemoteStore, url: str
) -> None:
    def written_before_kill(lines: int) -> dict[str, int]:
        command = [sys.executable, "-m", "tests.store.replicated_writer", str(path), url]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            shown = [process.stdout.readline() for _ in range(lines)]
        finally:
            process.kill()
            rest, _ = process.communicate(timeout=60)
        return {run: int(last) for run, last in (line.split() for line in (*shown, *rest.splitlines()))}

    shown = await asyncio.to_thread(written_before_kill, 60)
    own_service.kill()
    shown |= await asyncio.to_thread(written_before_kill, 60)
    await asyncio.to_thread(own_service.start)
    shown |= await asyncio.to_thread(written_before_kill, 30)
    async with ReplicatedStore(path, url, token_of) as store:
        await until_sent(store)
        assert await transfer.digest(store, OWNER) == await transfer.digest(remote, OWNER)
    assert len(shown) > 3
    for run_id, last in shown.items():
        run = await remote.get_run(OWNER, run_id)
        assert run.last_seq >= last
        assert run.last_seq == run.turns * 7
        assert len(await remote.load_transcript(OWNER, transcript_key(run_id)) or ()) >= run.turns * 2


async def test_an_outage_of_500_batches_delays_and_loses_nothing_and_the_person_goes_on(
    store: ReplicatedStore, remote: RemoteStore, own_service: Service
) -> None:
    agent = await store.create_agent(OWNER, "reviewer", spec())
    before = make_run(OWNER)
    await store.create_run(before)
    assert (await store.list_agents(OWNER)).items == [agent]
    await until_sent(store)
    own_service.kill()
    for number in range(1, 101):
        run = make_run(OWNER, number)
        await store.create_run(run)
        for first in range(1, 26, 5):
            await store.append_events(OWNER, run.id, make_events(run, first, first + 4), RunChanges(turns=first))
        await store.create_approval(make_approval(run, number))
    # Runs are started, listed and decided about as ever.
    assert await store.get_agent(OWNER, "reviewer") == agent
    assert (await store.list_agents(OWNER)).items == [agent]
    runs = (await store.list_runs(OWNER, limit=200)).items
    assert len(runs) == 101
    waiting = (await store.list_approvals(OWNER, waiting=True, limit=200)).items
    assert len(waiting) == 100
    decided = await store.decide_approval(OWNER, waiting[0].id, Decision.ONCE, by=OWNER)
    await store.deliver_approval(OWNER, decided.id)
    await store.check()
    # What cannot be done says why, and that the rest goes on.
    errors = await refused(
        StoreUnavailable,
        store.update_agent(OWNER, "reviewer", spec("Changed"), revision=1),
        store.create_agent(OWNER, "writer", spec()),
        store.delete_agent(OWNER, "reviewer", revision=1),
    )
    assert all("runs and conversations go on" in error.message for error in errors)
    await until_away(store)
    lag = await store.lag()
    assert lag.entries == 200
    assert lag.bytes > 10_000
    assert "200 changed" in lag.sentence
    assert "sent by itself" in lag.sentence
    await asyncio.to_thread(own_service.start)
    await until_sent(store)
    assert (await store.lag()).sentence == ""
    assert await transfer.digest(remote, OWNER) == await transfer.digest(store, OWNER)
    assert (await store.update_agent(OWNER, "reviewer", spec("Changed"), revision=1)).revision == 2


async def test_no_more_waits_for_the_service_than_may(path: Path, own_service: Service, url: str) -> None:
    own_service.kill()
    run = make_run(OWNER)
    async with ReplicatedStore(path, url, token_of, max_waiting_bytes=1 << 20) as store:
        await store.create_run(run)
        last = 0
        with pytest.raises(StoreUnavailable, match="wait for the hub's agents service"):
            while last < 1_000:
                await store.append_events(OWNER, run.id, make_events(run, last + 1, last + 1, text="x" * 50_000))
                last += 1
        assert 10 < last < 30
        # What is no more than a word is taken: a run can be cancelled, and a call decided.
        await store.append_events(OWNER, run.id, [], RunChanges(status=RunStatus.CANCELLED))
        await asyncio.to_thread(own_service.start)
        await until_sent(store)
        await store.append_events(OWNER, run.id, make_events(run, last + 1, last + 1))
        await until_sent(store)


async def test_a_full_disk_is_said_and_what_was_shown_arrives(path: Path, url: str) -> None:
    command = [sys.executable, "-m", "tests.store.replicated_disk", str(path), url]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


async def test_in_a_new_home_everything_is_there_and_goes_on(remote: RemoteStore, path: Path, url: str) -> None:
    async with ReplicatedStore(path, url, token_of, flush_s=60) as lost:
        await fill(lost, OWNER)
        before = await transfer.digest(lost, OWNER)
    async with ReplicatedStore(path.with_name("new.db"), url, token_of) as new:
        assert await transfer.digest(new, OWNER) == before
        runs = (await new.list_runs(OWNER)).items
        one = make_run(OWNER, 99)
        await new.create_run(one)
        assert ids((await new.list_runs(OWNER)).items) == [one.id, *ids(runs)]
        # A run of the lost home is taken up: its state, its events and what waits for a person come along.
        (waiting,) = (await new.list_approvals(OWNER, waiting=True)).items
        run = await new.get_run(OWNER, waiting.run_id)
        await new.append_events(OWNER, run.id, make_events(run, 1, 2), RunChanges(status=RunStatus.RUNNING))
        await new.decide_approval(OWNER, waiting.id, Decision.DENY, by=OWNER)
        await refused(Conflict, new.decide_approval(OWNER, waiting.id, Decision.ONCE, by=OWNER))
        long = next(run for run in runs if run.last_seq == 450)
        await new.append_events(OWNER, long.id, make_events(long, 451, 452))
        assert seqs(await new.list_events(OWNER, long.id, limit=1_000)) == list(range(1, 453))
        key = (await new.list_transcript_keys(OWNER))[0]
        entries = await new.load_transcript(OWNER, key)
        assert entries
        await new.append_transcript(OWNER, key, [MARK])
        await until_sent(new)
        assert await remote.load_transcript(OWNER, key) == [*entries, MARK]
        assert await transfer.digest(remote, OWNER) == await transfer.digest(new, OWNER)


async def test_what_is_not_here_cannot_be_had_while_the_service_is_away_and_that_is_said(
    store: ReplicatedStore, own_service: Service
) -> None:
    own_service.kill()
    run = make_run(OWNER)
    await refused(
        StoreUnavailable,
        store.get_run(OWNER, run.id),
        store.append_events(OWNER, run.id, make_events(run, 1, 1)),
        store.get_agent(OWNER, "reviewer"),
        store.list_agents(OWNER),
        store.load_transcript(OWNER, transcript_key()),
    )
    # A new session, though, is written down.
    await store.append_transcript(OWNER, transcript_key(), [MARK])
    assert await store.load_transcript(OWNER, transcript_key()) == [MARK]


async def test_a_home_that_was_used_alone_is_taken_to_the_service(path: Path, remote: RemoteStore, url: str) -> None:
    async with SQLiteStore(path) as alone:
        await fill(alone, OWNER)
        before = await transfer.digest(alone, OWNER)
    async with ReplicatedStore(path, url, token_of, owner=OWNER) as store:
        deadline = asyncio.get_running_loop().time() + 60
        while (await store.lag()).entries or not await remote.list_transcript_keys(OWNER):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.02)
        await until_sent(store)
        assert await transfer.digest(remote, OWNER) == await transfer.digest(store, OWNER) == before


async def test_what_the_service_refuses_does_not_hold_up_the_rest_and_is_said(
    store: ReplicatedStore, remote: RemoteStore
) -> None:
    run = make_run(OWNER)
    approval = make_approval(run)
    await store.create_run(run)
    await store.create_approval(approval)
    await until_sent(store)
    # Somebody writes to the service, past the workspace.
    await remote.decide_approval(OWNER, approval.id, Decision.DENY, by="grace")
    await store.decide_approval(OWNER, approval.id, Decision.ONCE, by=OWNER)
    await store.append_events(OWNER, run.id, make_events(run, 1, 3))
    deadline = asyncio.get_running_loop().time() + 60
    while not (lag := await store.lag()).refused or (await remote.get_run(OWNER, run.id)).last_seq < 3:
        assert asyncio.get_running_loop().time() < deadline, lag
        await asyncio.sleep(0.02)
    assert "grace" in lag.sentence
    assert (await store.get_approval(OWNER, approval.id)).decision is Decision.ONCE


async def test_agents_made_and_deleted_while_they_are_listed_are_known_when_the_service_goes_away(
    patient: None, store: ReplicatedStore, own_service: Service
) -> None:
    listing = [asyncio.create_task(store.list_agents(OWNER)) for _ in range(3)]
    for number in range(10):
        await store.create_agent(OWNER, f"agent-{number}", spec())
        listing.append(asyncio.create_task(store.list_agents(OWNER)))
        if number % 3 == 0:
            await store.delete_agent(OWNER, f"agent-{number}", revision=1)
    await asyncio.gather(*listing)
    agents = (await store.list_agents(OWNER)).items
    own_service.kill()
    assert (await store.list_agents(OWNER)).items == agents
    for agent in agents:
        assert await store.get_agent(OWNER, agent.id) == agent
    assert len(agents) == 6


async def test_listings_at_once_agree_on_what_was_deleted_elsewhere(
    patient: None, store: ReplicatedStore, remote: RemoteStore, own_service: Service
) -> None:
    for number in range(3):
        await store.create_agent(OWNER, f"agent-{number}", spec())
    assert len((await store.list_agents(OWNER)).items) == 3
    for number in range(2):
        await remote.delete_agent(OWNER, f"agent-{number}", revision=1)
    pages = await asyncio.gather(*(store.list_agents(OWNER) for _ in range(5)))
    assert all([agent.id for agent in page.items] == ["agent-2"] for page in pages)
    own_service.kill()
    assert [agent.id for agent in (await store.list_agents(OWNER)).items] == ["agent-2"]


async def test_another_server_at_the_address_is_no_answer(remote: RemoteStore, url: str) -> None:
    async with RemoteStore(f"{url}/elsewhere", token_of, timeout=1) as lost:
        errors = await refused(StoreUnavailable, lost.get_run(OWNER, make_run(OWNER).id), lost.check())
    assert all("answered 404" in error.message for error in errors)
    await refused(NotFound, remote.get_run(OWNER, make_run(OWNER).id))
