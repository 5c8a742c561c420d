"""What a failure of Firestore means: a clear error, nothing half-written, and work that goes on when it is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial

import pytest
from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError

from jupyterhub_agents.errors import InvalidInput, NotFound, StoreUnavailable
from jupyterhub_agents.models import AgentSpec, Run, RunChanges, RunStatus
from jupyterhub_agents.store.firestore import FirestoreStore
from jupyterhub_agents.store.firestore.failures import explain
from jupyterhub_agents.testing.store_contract.samples import (
    make_entries,
    make_events,
    make_run,
    refused,
    transcript_key,
)

from .firestore_emulator import Emulator, Relay

pytestmark = pytest.mark.anyio

OWNER = "ada"
TIMEOUT = 4.0
"""Seconds. Longer than a busy emulator takes for a call that gets through."""


@pytest.fixture
def relay(emulator: Emulator, project: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    with Relay(emulator.port) as relay:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", relay.address)
        yield relay


@pytest.fixture
async def store(relay: Relay, project: str) -> AsyncIterator[FirestoreStore]:
    async with FirestoreStore(project, timeout=TIMEOUT) as store:
        await _until_it_works(store)  # a busy emulator's first answer may take longer
        yield store


@pytest.fixture
async def patient_store(relay: Relay, project: str) -> AsyncIterator[FirestoreStore]:
    """One that outlasts what a test does, also on a busy machine."""
    async with FirestoreStore(project, timeout=30) as store:
        yield store


async def test_without_firestore_every_call_says_so_in_time_and_works_when_it_is_back(
    store: FirestoreStore, relay: Relay, project: str
) -> None:
    run = make_run(OWNER)
    await store.create_run(run)
    relay.cut()
    begin = time.monotonic()
    errors = await asyncio.gather(
        *(
            refused(StoreUnavailable, call)
            for call in (
                store.create_agent(OWNER, "reviewer", AgentSpec(name="R")),
                store.get_agent(OWNER, "reviewer"),
                store.list_agents(OWNER),
                store.create_run(make_run(OWNER)),
                store.get_run(OWNER, run.id),
                store.list_runs(OWNER),
                store.append_events(OWNER, run.id, make_events(run, 1, 2)),
                store.list_events(OWNER, run.id),
                store.append_transcript(OWNER, transcript_key(), make_entries(1, 1)),
                store.check(),
                store.owners(),
            )
        )
    )
    assert time.monotonic() - begin < 3 * TIMEOUT
    for (error,) in errors:
        assert project in error.message
        assert "does not answer" in error.message
    relay.mend()
    await _until_it_works(store)
    assert await store.get_run(OWNER, run.id) == run
    assert (await store.list_agents(OWNER)).items == []
    await store.append_events(OWNER, run.id, make_events(run, 1, 2))


async def _until_it_works(store: FirestoreStore) -> None:
    """Of itself, and soon."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return await store.check()
        except StoreUnavailable:
            assert time.monotonic() < deadline


async def test_a_short_outage_is_not_noticed(patient_store: FirestoreStore, relay: Relay) -> None:
    store = patient_store
    run = make_run(OWNER)
    await store.create_run(run)
    relay.cut()
    writing = asyncio.create_task(store.append_events(OWNER, run.id, make_events(run, 1, 2)))
    await asyncio.sleep(0.3)
    assert not writing.done()
    relay.mend()
    await writing
    assert await store.list_events(OWNER, run.id) == make_events(run, 1, 2)


async def test_three_runs_lose_nothing_when_firestore_is_away_in_their_middle(
    store: FirestoreStore, relay: Relay
) -> None:
    runs = [make_run(OWNER, number) for number in range(3)]
    failures = 0

    async def work(run: Run) -> None:
        """As the runs' Recorder does: again until it is stored."""
        nonlocal failures
        for seq in range(1, 201):
            status = RunStatus.SUCCEEDED if seq == 200 else RunStatus.RUNNING
            while True:
                try:
                    await store.append_events(OWNER, run.id, make_events(run, seq, seq), RunChanges(status=status))
                    break
                except StoreUnavailable:
                    failures += 1

    for run in runs:
        await store.create_run(run)
    async with asyncio.TaskGroup() as working:
        for run in runs:
            working.create_task(work(run))
        for away in (0.05, 2 * TIMEOUT, 0.5):
            await asyncio.sleep(0.2)
            relay.cut()
            await asyncio.sleep(away)
            relay.mend()
    assert failures
    for run in runs:
        assert await store.list_events(OWNER, run.id) == make_events(run, 1, 200)
        assert (await store.get_run(OWNER, run.id)).status is RunStatus.SUCCEEDED


async def test_a_call_whose_answer_is_lost_may_be_sent_again(store: FirestoreStore, relay: Relay) -> None:
    run = make_run(OWNER)
    await store.create_run(run)
    with relay.holding():
        begin = time.monotonic()
        await refused(StoreUnavailable, store.append_events(OWNER, run.id, make_events(run, 1, 2)))
        await refused(StoreUnavailable, store.list_events(OWNER, run.id))
        assert time.monotonic() - begin < 4 * TIMEOUT
    # Firestore now gets the requests that it was sent, and may carry them out or not.
    await store.append_events(OWNER, run.id, make_events(run, 1, 3))
    assert await store.list_events(OWNER, run.id) == make_events(run, 1, 3)


async def test_a_call_whose_answer_is_lost_is_known_to_be_carried_out(
    patient_store: FirestoreStore, relay: Relay, emulator: Emulator, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = patient_store
    await store.check()
    run = make_run(OWNER)
    events = make_events(run, 1, 3)
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", emulator.address)
    async with FirestoreStore(project) as direct:

        async def arrived(look: Callable[[], Awaitable[object]]) -> None:
            deadline = time.monotonic() + 60
            while isinstance(answer := (await asyncio.gather(look(), return_exceptions=True))[0], NotFound | list):
                if answer == events:
                    return
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)

        for call, look in (
            (store.create_agent(OWNER, "reviewer", AgentSpec(name="R")), partial(direct.get_agent, OWNER, "reviewer")),
            (store.create_run(run), partial(direct.get_run, OWNER, run.id)),
            (store.append_events(OWNER, run.id, events), partial(direct.list_events, OWNER, run.id)),
        ):
            with relay.losing_answers():
                calling = asyncio.create_task(call)
                await arrived(look)
                assert not calling.done()
            await calling


async def test_a_call_during_which_connections_break_is_carried_out_once(
    patient_store: FirestoreStore, relay: Relay
) -> None:
    """Connections break at any moment of the calls: what was written before is found, not written again."""
    store = patient_store
    runs = [make_run(OWNER, number) for number in range(40)]
    # The first takes several commits.
    events = {
        run.id: make_events(run, 1, 1, text="x" * (1 if number else 9_000_000)) for number, run in enumerate(runs)
    }

    async def make(run: Run) -> None:
        await store.create_run(run)
        await store.append_events(OWNER, run.id, events[run.id])

    making = asyncio.gather(*map(make, runs))
    for _ in range(5):
        await asyncio.sleep(0.02)
        relay.cut()
        relay.mend()
    await making
    for run in runs:
        assert await store.list_events(OWNER, run.id) == events[run.id]
    assert len((await store.list_runs(OWNER)).items) == 40


async def test_a_store_that_is_not_open_says_so(project: str) -> None:
    store = FirestoreStore(project)
    (error,) = await refused(StoreUnavailable, store.list_agents(OWNER))
    assert "not open" in error.message


async def test_closing_ends_though_firestore_is_away(project: str, relay: Relay) -> None:
    store = FirestoreStore(project, timeout=TIMEOUT)
    await store.open()
    await _until_it_works(store)
    run = make_run(OWNER)
    await store.create_run(run)
    relay.cut()
    writing = asyncio.create_task(store.append_events(OWNER, run.id, make_events(run, 1, 1)))
    await asyncio.sleep(0)
    async with asyncio.timeout(3 * TIMEOUT):
        await store.close()
    await refused(StoreUnavailable, writing)


async def test_a_person_with_a_broken_name_is_refused(store: FirestoreStore) -> None:
    await refused(InvalidInput, store.create_agent("\ud83e", "reviewer", AgentSpec(name="R")))


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (exceptions.ServiceUnavailable("gone"), "does not answer"),
        (exceptions.DeadlineExceeded("late"), "does not answer"),
        (exceptions.ResourceExhausted("much"), "quota"),
        (exceptions.PermissionDenied("no"), "roles/datastore.user"),
        (exceptions.Unauthenticated("who"), "gcloud auth application-default login"),
        (DefaultCredentialsError("none"), "gcloud auth application-default login"),
        (exceptions.NotFound("where"), "gcloud firestore databases create"),
        (exceptions.FailedPrecondition("index"), "firestore.indexes.json"),
    ],
)
async def test_an_error_says_which_database_and_what_to_do(error: Exception, advice: str) -> None:
    explained = explain("The Firestore database (default) of project p", error)
    assert isinstance(explained, StoreUnavailable)
    assert explained.message.startswith("The Firestore database (default) of project p ")
    assert advice in explained.message
