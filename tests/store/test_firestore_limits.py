"""FirestoreStore stays within Firestore's limits, whatever is stored; what that costs is counted and documented."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jupyterhub_agents.models import (
    AgentSpec,
    Decision,
    RunChanges,
    RunStatus,
    RunUsage,
    ShareAccess,
    ShareKind,
    TranscriptKey,
)
from jupyterhub_agents.store import MAX_PAGE
from jupyterhub_agents.store.firestore import FirestoreStore, connect
from jupyterhub_agents.store.firestore.connection import disconnect
from jupyterhub_agents.testing.store_contract.samples import make_approval, make_entries, make_events, make_run

from .firestore_traffic import Traffic

pytestmark = pytest.mark.anyio

OWNER = "ada"
MAX_DOCUMENT = 900_000
DATA_MODEL = Path(__file__).parents[2] / "docs" / "data-model.md"


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


@pytest.fixture
async def store(project: str, traffic: Traffic) -> AsyncIterator[FirestoreStore]:
    client = await connect(project, interceptors=traffic.interceptors)
    async with FirestoreStore(project, client=client) as store:
        yield store
    await disconnect(client)


@pytest.fixture(autouse=True)
def limits(traffic: Traffic) -> AsyncIterator[None]:
    """Whatever a test of this module does, Firestore's limits hold."""
    yield
    assert traffic.commits
    assert max(write.size for write in traffic.sent) <= MAX_DOCUMENT
    assert max(map(len, traffic.commits)) <= 400
    # The emulator takes 4 MiB, Firestore itself 10.
    assert max(traffic.commit_sizes) <= 4 << 20


async def test_a_tool_result_of_5_mb_is_read_back_whole(store: FirestoreStore) -> None:
    run = make_run(OWNER)
    await store.create_run(run)
    # Three bytes a character, so that parts end within characters unless care is taken.
    result = "a" + "€" * 1_700_000
    events = [*make_events(run, 1, 2), *make_events(run, 3, 3, content=result), *make_events(run, 4, 5)]
    await store.append_events(OWNER, run.id, events)
    assert await store.list_events(OWNER, run.id) == events
    assert await store.list_events(OWNER, run.id, after=2, limit=1) == events[2:3]


async def test_a_call_of_30_mb_is_shown_whole_or_not_at_all(store: FirestoreStore, traffic: Traffic) -> None:
    run = make_run(OWNER)
    await store.create_run(run)
    events = make_events(run, 1, 300, content="x" * 100_000)
    writing = asyncio.create_task(store.append_events(OWNER, run.id, events))
    while not writing.done():
        assert len(await store.list_events(OWNER, run.id)) in (0, 300)
        await asyncio.sleep(0.1)
    await writing
    assert len(traffic.commits) > 5
    assert await store.list_events(OWNER, run.id) == events


async def test_a_run_of_50000_events_is_read_back_whole_and_in_order(store: FirestoreStore) -> None:
    run = make_run(OWNER)
    await store.create_run(run)
    for first in range(1, 50_001, 250):
        await store.append_events(OWNER, run.id, make_events(run, first, first + 249))
    seen = 0
    while page := await store.list_events(OWNER, run.id, after=seen, limit=MAX_PAGE):
        assert page == make_events(run, seen + 1, seen + len(page))
        seen += len(page)
    assert seen == 50_000
    assert (await store.get_run(OWNER, run.id)).last_seq == 50_000


async def test_large_prompts_results_agents_inputs_and_transcripts_come_back_whole(store: FirestoreStore) -> None:
    text = "€" * 1_000_000
    agent = await store.create_agent(OWNER, "reviewer", AgentSpec(name="R", front_matter={"text": text}))
    assert await store.get_agent(OWNER, "reviewer") == agent
    assert (await store.list_agents(OWNER)).items == [agent]
    run = make_run(OWNER, prompt=text)
    await store.create_run(run)
    await store.append_events(OWNER, run.id, [], RunChanges(status=RunStatus.SUCCEEDED, result=text))
    expected = run.model_copy(update={"status": RunStatus.SUCCEEDED, "result": text})
    assert await store.get_run(OWNER, run.id) == expected
    assert (await store.list_runs(OWNER)).items == [expected]
    approval = make_approval(run, input={"content": text})
    await store.create_approval(approval)
    assert await store.get_approval(OWNER, approval.id) == approval
    key, entries = TranscriptKey(project_key="p", session_id="s"), make_entries(1, 3, text=text)
    await store.append_transcript(OWNER, key, entries)
    assert await store.load_transcript(OWNER, key) == entries


async def test_over_a_long_run_no_document_is_written_twice(store: FirestoreStore, traffic: Traffic) -> None:
    """As fast as the emulator goes: many times faster than once a second for one document."""
    run = make_run(OWNER)
    await store.create_run(run)
    for seq in range(1, 301):
        changes = None
        if seq == 1:
            changes = RunChanges(status=RunStatus.RUNNING)
        elif seq % 5 == 0:
            changes = RunChanges(turns=seq, usage=RunUsage(cost_usd=seq / 100))
        await store.append_events(OWNER, run.id, make_events(run, seq, seq), changes)
    await store.append_events(OWNER, run.id, [], RunChanges(status=RunStatus.SUCCEEDED))
    begin, end = traffic.sent[0].at, traffic.sent[-1].at
    assert end - begin < 100, "too slow to say anything"
    written = Counter(write.document for write in traffic.sent if write.kind != "delete")
    deleted = Counter(write.document for write in traffic.sent if write.kind == "delete")
    assert len(written) > 300
    assert set(written.values()) == {1}
    assert set(deleted.values()) == {1}
    assert {write.kind for write in traffic.sent} == {"create", "delete"}


async def test_names_of_documents_written_one_after_the_other_do_not_stand_side_by_side(
    store: FirestoreStore, traffic: Traffic
) -> None:
    run = make_run(OWNER)
    await store.create_run(run)
    for seq in range(1, 41):
        await store.append_events(OWNER, run.id, make_events(run, seq, seq))
    names = [write.document.rpartition("/")[2] for write in traffic.sent if "/chunks/" in write.document]
    assert len(names) == 41
    follow = sum(sorted(names).index(one) + 1 == sorted(names).index(two) for one, two in itertools.pairwise(names))
    assert follow < 10


async def test_a_writer_reads_nothing_on_its_way(store: FirestoreStore, traffic: Traffic) -> None:
    run = make_run(OWNER)
    await store.create_run(run)
    for seq in range(1, 11):
        await store.append_events(OWNER, run.id, make_events(run, seq, seq), RunChanges(turns=seq))
    assert traffic.reads == 0


async def test_calls_for_one_run_that_wait_at_once_share_a_commit(store: FirestoreStore, traffic: Traffic) -> None:
    run = make_run(OWNER)
    await store.create_run(run)
    before = len(traffic.commits)
    await asyncio.gather(*(store.append_events(OWNER, run.id, make_events(run, seq, seq)) for seq in range(1, 101)))
    assert len(traffic.commits) - before <= 2
    assert await store.list_events(OWNER, run.id) == make_events(run, 1, 100)


async def test_of_two_writers_of_one_run_at_once_each_number_is_stored_once(
    store: FirestoreStore, project: str
) -> None:
    run = make_run(OWNER)
    await store.create_run(run)
    async with FirestoreStore(project) as second:

        async def write(store: FirestoreStore, name: str) -> None:
            for seq in range(1, 31):
                await store.append_events(OWNER, run.id, make_events(run, seq, seq, by=name))

        await asyncio.gather(write(store, "one"), write(second, "two"))
    stored = await store.list_events(OWNER, run.id)
    assert [event.seq for event in stored] == list(range(1, 31))
    assert {event.payload["by"] for event in stored} <= {"one", "two"}


async def test_the_list_of_50_of_many_runs_reads_51_documents(store: FirestoreStore, traffic: Traffic) -> None:
    runs = [make_run(OWNER, number, status=RunStatus.SUCCEEDED) for number in range(300)]
    await asyncio.gather(*map(store.create_run, runs))
    for filters in ({}, {"agent_id": "reviewer"}, {"statuses": [RunStatus.SUCCEEDED, RunStatus.FAILED]}):
        before = traffic.reads
        page = await store.list_runs(OWNER, limit=50, **filters)
        assert [run.id for run in page.items] == [run.id for run in reversed(runs[-50:])]
        assert traffic.reads - before == 51


async def test_the_cost_of_a_typical_run_is_the_one_that_is_documented(store: FirestoreStore, traffic: Traffic) -> None:
    """A run with 25 events in 15 batches, ten additions to its transcript, and one approval. Who follows it in the
    workspace needs nothing of Firestore's; who opens it later reads all."""
    await store.create_agent(OWNER, "reviewer", AgentSpec(name="Reviewer"))
    start = traffic.count()
    run = make_run(OWNER)
    await store.create_run(run)
    await store.append_events(OWNER, run.id, make_events(run, 1, 1))
    await store.append_events(OWNER, run.id, make_events(run, 2, 2), RunChanges(status=RunStatus.RUNNING))
    for first in range(3, 23, 2):
        await store.append_events(OWNER, run.id, make_events(run, first, first + 1))
        key = TranscriptKey(project_key="p", session_id=run.session_id)
        await store.append_transcript(OWNER, key, make_entries(first, first + 1))
    approval = make_approval(run)
    await store.create_approval(approval)
    await store.append_events(OWNER, run.id, make_events(run, 23, 23), RunChanges(status=RunStatus.WAITING))
    await store.decide_approval(OWNER, approval.id, Decision.ONCE, by=OWNER)
    await store.append_events(OWNER, run.id, make_events(run, 24, 24), RunChanges(status=RunStatus.RUNNING))
    await store.append_events(OWNER, run.id, make_events(run, 25, 25), RunChanges(status=RunStatus.SUCCEEDED))
    run_cost = traffic.count()
    run_cost.subtract(start)
    before = traffic.count()
    await store.get_run(OWNER, run.id)
    assert len(await store.list_events(OWNER, run.id)) == 25
    replay_cost = traffic.count()
    replay_cost.subtract(before)

    assert documented("A typical run") == run_cost
    assert documented("Its replay") == replay_cost


async def test_what_sharing_costs_is_documented(store: FirestoreStore, traffic: Traffic) -> None:
    await store.create_agent(OWNER, "reviewer", AgentSpec(name="Reviewer"))
    await store.share_agent(OWNER, "reviewer", ShareKind.GROUP, "readers", ShareAccess.USE)
    costs = []
    for call in (
        lambda: store.share_agent(OWNER, "reviewer", ShareKind.PERSON, "grace", ShareAccess.USE),
        lambda: store.get_shared_agent("grace", ["readers", "team"], OWNER, "reviewer"),
        lambda: store.list_shared("grace", ["readers", "team"]),
    ):
        before = traffic.count()
        await call()
        costs.append(traffic.count())
        costs[-1].subtract(before)
    assert costs[0] == documented("Sharing with one more")
    assert costs[1] == costs[2] == documented("Reading what is shared")


def documented(name: str) -> Counter[str]:
    """What docs/data-model.md says that something costs."""
    (line,) = re.findall(rf"^\| {name} \|(.*)\|$", DATA_MODEL.read_text(), re.MULTILINE)
    return Counter({kind: int(number) for number, kind in re.findall(r"(\d+) (reads|writes|deletes)", line)})
