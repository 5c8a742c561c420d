"""A run that is told as ended: nothing changes its end any more, and its session is free for what comes next."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyterhub_agents.errors import Conflict, StoreUnavailable
from jupyterhub_agents.models import Decision, Event, EventType, Run, RunChanges, RunStatus
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.testing.replies import fail, say, silent, use

from .conftest import OWNER, Bench

pytestmark = pytest.mark.anyio

MOST_THREADS = 32
"""Of asyncio's own executor (concurrent.futures' documentation, ThreadPoolExecutor)."""


class SlowToPutAway(SQLiteStore):
    """Once a run's end is stored, file work waits until `go_on` is set: what the run had cannot be put away."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.go_on = threading.Event()
        self.asked = asyncio.Event()
        """Set by each look at a run's record."""

    async def append_events(
        self, owner: str, run_id: str, events: Sequence[Event], changes: RunChanges | None = None
    ) -> None:
        await super().append_events(owner, run_id, events, changes)
        if changes is not None and changes.status is not None and changes.status.is_final:
            for _ in range(0 if self.go_on.is_set() else MOST_THREADS):
                asyncio.get_running_loop().run_in_executor(None, self.go_on.wait, 60)

    async def get_run(self, owner: str, run_id: str) -> Run:
        run = await super().get_run(owner, run_id)
        self.asked.set()
        return run


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SlowToPutAway]:
    slow = SlowToPutAway(tmp_path / "agents.db")
    yield slow
    slow.go_on.set()


@asynccontextmanager
async def told_as_ended(bench: Bench, store: SlowToPutAway, **fields: Any) -> AsyncIterator[Run]:
    """A run that everybody sees as ended, while its server still holds what it had."""
    await bench.agent()
    run = await bench.start("work", **fields)

    async def told() -> bool:
        return (await bench.manager.get(run.id)).status.is_final and bench.manager.working == 0

    await bench.until(told)
    assert bench.manager.unfinished == 1
    store.asked.clear()
    try:
        yield await bench.manager.get(run.id)
    finally:
        store.go_on.set()


async def statuses(bench: Bench, run: Run) -> list[str]:
    return [event.payload["status"] for event in await bench.events(run) if event.type is EventType.STATUS]


async def test_cancelling_a_run_that_is_told_as_ended_is_refused_and_its_end_stays(
    workshop: Any, store: SlowToPutAway
) -> None:
    async with workshop([say("Hi.")], store=store) as bench:
        async with told_as_ended(bench, store) as run:
            with pytest.raises(Conflict, match="ended already: it is succeeded"):
                await bench.manager.cancel(run.id)
        await bench.until(lambda: asyncio.sleep(0, bench.manager.unfinished == 0))
        assert await bench.store.get_run(OWNER, run.id) == run
        assert await statuses(bench, run) == ["queued", "running", "succeeded"]


async def test_a_server_that_stops_leaves_the_end_that_was_told_and_begins_nothing_after_it(
    workshop: Any, store: SlowToPutAway
) -> None:
    async with workshop([say("Hi.")], store=store) as bench:
        async with told_as_ended(bench, store) as run:
            going_on = asyncio.create_task(bench.start("next", continues=run.id))
            await store.asked.wait()
            # It waits as long as it may, and then lets go.
            await bench.manager.shut_down()
            with pytest.raises(Conflict, match="being stopped"):
                await going_on
        assert bench.manager.unfinished == 0
        assert await bench.store.get_run(OWNER, run.id) == run
        assert await statuses(bench, run) == ["queued", "running", "succeeded"]


async def goes_on(bench: Bench, run: Run) -> None:
    after = await bench.finish(await bench.start("next", continues=run.id))
    assert (after.status, after.result, after.session_id) == (RunStatus.SUCCEEDED, "Hi.", run.session_id)


async def is_resumed(bench: Bench, run: Run) -> None:
    ended = await bench.finish(await bench.manager.resume(run.id, "next"))
    assert (ended.status, ended.result) == (RunStatus.SUCCEEDED, "Hi.")
    assert await statuses(bench, run) == ["queued", "running", "failed", "queued", "running", "succeeded"]
    assert [event.seq for event in await bench.events(run)] == list(range(1, ended.last_seq + 1))


async def is_opened(bench: Bench, run: Run) -> None:
    assert (await bench.manager.session_of(run.id))[0] == run.session_id


@pytest.mark.parametrize("next_step", [goes_on, is_resumed, is_opened])
async def test_the_session_of_a_run_that_is_told_as_ended_is_free(
    workshop: Any, store: SlowToPutAway, next_step: Callable[[Bench, Run], Awaitable[None]]
) -> None:
    script = {"work": [fail(400, message="Not today.").always()], "next": [say("Hi.")]}
    async with workshop(script, store=store) as bench, told_as_ended(bench, store) as run:
        assert run.status is RunStatus.FAILED
        stepping = asyncio.create_task(next_step(bench, run))
        await store.asked.wait()
        store.go_on.set()
        await stepping


async def test_a_run_that_is_told_as_ended_takes_no_place_in_the_queue(workshop: Any, store: SlowToPutAway) -> None:
    async with workshop([say("Hi."), say("Hi.")], store=store, max_running=1, max_queued=0) as bench:
        async with told_as_ended(bench, store):
            another = await bench.start("more")
        assert (await bench.finish(another)).status is RunStatus.SUCCEEDED


class SlowToClose(SQLiteStore):
    """Closes approvals when `go_on` is set."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def close_approvals(self, owner: str, run_id: str, approval_id: str | None = None) -> int:
        self.asked.set()
        await self.go_on.wait()
        return await super().close_approvals(owner, run_id, approval_id)


async def test_a_run_that_is_cancelled_twice_ends_once(workshop: Any, tmp_path: Path) -> None:
    store = SlowToClose(tmp_path / "agents.db")
    script = [use("Bash", {"command": "echo made > a"}), say("Done.")]
    async with workshop(script, store=store, rest_after_s=0.3) as bench:
        await bench.agent()
        run = await bench.start("work")
        await bench.until(lambda: asyncio.sleep(0, bench.manager.busy == 0))
        first = asyncio.create_task(bench.manager.cancel(run.id))
        await store.asked.wait()
        second = asyncio.create_task(bench.manager.cancel(run.id))
        await asyncio.sleep(0)  # it has asked for the stop
        store.go_on.set()
        assert [answer.status for answer in await asyncio.gather(first, second)] == [RunStatus.CANCELLED] * 2
        assert (await bench.store.get_run(OWNER, run.id)).status is RunStatus.CANCELLED
        assert (await statuses(bench, run)).count("cancelled") == 1


class Away(SQLiteStore):
    """Takes nothing of runs while it is away."""

    is_away = False

    async def append_events(
        self, owner: str, run_id: str, events: Sequence[Event], changes: RunChanges | None = None
    ) -> None:
        self._check()
        await super().append_events(owner, run_id, events, changes)

    async def close_approvals(self, owner: str, run_id: str, approval_id: str | None = None) -> int:
        self._check()
        return await super().close_approvals(owner, run_id, approval_id)

    def _check(self) -> None:
        if self.is_away:
            raise StoreUnavailable("It is away.")


async def test_a_server_stops_also_while_the_store_is_away_and_the_next_one_records_the_end(
    workshop: Any, tmp_path: Path
) -> None:
    store = Away(tmp_path / "agents.db")
    asked = [use("Bash", {"command": "echo made > a"}), silent(60)]
    async with workshop({"asked": asked, "plain": [silent(60)]}, store=store) as bench:
        await bench.agent()
        runs = [await bench.start("asked"), await bench.start("plain")]
        await bench.until(lambda: waits(bench))
        [approval] = (await bench.store.list_approvals(OWNER)).items
        await bench.manager.decide(approval.id, Decision.ONCE, message=None, by="ana")
        await bench.seen(runs[0], '"tool_result"')
        await bench.seen(runs[1], '"init"')
        store.is_away = True
        async with asyncio.timeout(30):
            await bench.manager.shut_down()
    async with workshop(store=Away(tmp_path / "agents.db")) as bench:
        assert sorted(await bench.manager.start_up()) == [run.id for run in runs]
        assert [(await bench.manager.get(run.id)).status for run in runs] == [RunStatus.INTERRUPTED] * 2


async def waits(bench: Bench) -> bool:
    return bool((await bench.store.list_approvals(OWNER, waiting=True)).items)
