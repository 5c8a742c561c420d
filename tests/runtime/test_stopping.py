"""Stopping runs: by the person, by the clock, with the server. Nothing is left, and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psutil
import pytest

from jupyterhub_agents.errors import Conflict, NotFound, QueueFull
from jupyterhub_agents.models import RunStatus
from jupyterhub_agents.testing.replies import say, silent, use
from tests.processes import Family

pytestmark = pytest.mark.anyio

# The CLI refuses a plain `sleep` of that length.
LONG = {"command": "python3 -c 'import time; time.sleep(600)'"}
# A command that leaves a process of a session of its own, as a careless agent would.
STUBBORN = {"command": "setsid sh -c 'trap \"\" TERM HUP INT; sleep 601 & wait' >/dev/null 2>&1 & sleep 600"}


async def test_cancel_stops_the_cli_and_all_it_started_within_two_seconds(workshop: Any, below: Family) -> None:
    async with workshop({"work": [use("Bash", STUBBORN)]}) as bench:
        await bench.agent(tools=["Bash(*)"])

        async def sleeping() -> bool:
            return any(p.info["cmdline"] == ["sleep", "601"] for p in psutil.process_iter(["cmdline"]))

        took: list[float] = []
        while not took or (took[-1] >= 2 and len(took) < 3):  # a busy machine's moment is no fault
            run = await bench.start("work")
            await bench.until(sleeping)
            started = time.monotonic()
            answer = await bench.manager.cancel(run.id)
            took.append(time.monotonic() - started)
            assert answer.status is RunStatus.CANCELLED
            assert not below()
        assert min(took) < 2, took


async def test_cancel_works_while_the_model_says_nothing(workshop: Any, below: Family) -> None:
    async with workshop([silent(60)]) as bench:
        await bench.agent()
        run = await bench.start("work")
        await bench.seen(run, '"init"')
        assert (await bench.manager.cancel(run.id)).status is RunStatus.CANCELLED
        assert not below()


async def test_cancel_works_while_the_cli_is_starting(workshop: Any, below: Family) -> None:
    async with workshop([say("Hi.")]) as bench:
        await bench.agent()
        run = await bench.start("work")
        await bench.until(lambda: asyncio.sleep(0, bool(below())))
        assert (await bench.manager.cancel(run.id)).status is RunStatus.CANCELLED
        assert not below()


async def test_cancelling_what_has_ended_is_refused(workshop: Any) -> None:
    async with workshop([say("Hi.")]) as bench:
        await bench.agent()
        run = await bench.do("work")
        with pytest.raises(Conflict, match="ended already"):
            await bench.manager.cancel(run.id)
        with pytest.raises(NotFound):
            await bench.manager.cancel("01890000-0000-7000-8000-000000000000")


async def test_a_run_over_its_time_is_stopped_and_can_be_resumed(workshop: Any, below: Family) -> None:
    script = {"work": [use("Bash", LONG)], "Continue": [say("Done after all.")]}
    async with workshop(script) as bench:
        await bench.agent(tools=["Bash(*)"], timeout_s=15)
        run = await bench.do("work")
        assert run.error is not None, run
        assert run.error.code == "timeout"
        assert not below()
        await bench.manager.resume(run.id)
        assert (await bench.finish(run)).result == "Done after all."


async def test_runs_over_the_limit_wait_and_then_work(workshop: Any) -> None:
    async with workshop([say("one two three").paced(0.3)], max_running=1) as bench:
        await bench.agent()
        first, second, third = [await bench.start(f"run {n}") for n in range(3)]
        await bench.until(lambda: asyncio.sleep(0, bench.manager.working == 1))
        assert (await bench.manager.get(third.id)).status is RunStatus.QUEUED
        assert (await bench.manager.cancel(second.id)).status is RunStatus.CANCELLED
        assert (await bench.finish(first)).status is RunStatus.SUCCEEDED
        assert (await bench.finish(third)).status is RunStatus.SUCCEEDED
        assert [e.payload.get("status") for e in await bench.events(second)] == ["queued", "cancelled"]


async def test_a_full_queue_refuses_with_what_to_do(workshop: Any) -> None:
    async with workshop([silent(60)], max_running=1, max_queued=1) as bench:
        await bench.agent()
        runs = [await bench.start("a"), await bench.start("b")]
        with pytest.raises(QueueFull, match="cancel some"):
            await bench.start("c")
        assert len((await bench.store.list_runs("ana")).items) == 2
        for run in runs:
            await bench.manager.cancel(run.id)


async def test_two_cannot_work_in_one_session_at_once(workshop: Any) -> None:
    async with workshop({"first": [say("Hi.")], "next": [say("one two").paced(0.5)]}) as bench:
        await bench.agent()
        first = await bench.do("first")
        results = await asyncio.gather(
            *(bench.start("next", continues=first.id) for _ in range(3)), return_exceptions=True
        )
        assert sum(isinstance(result, Conflict) for result in results) == 2
        [second] = [result for result in results if not isinstance(result, Conflict)]
        assert (await bench.finish(second)).status is RunStatus.SUCCEEDED


async def test_a_stopped_server_leaves_runs_that_can_be_resumed(workshop: Any, below: Family) -> None:
    script = {"work": [use("Bash", LONG)], "Continue": [say("Back again.")]}
    async with workshop(script) as bench:
        await bench.agent(tools=["Bash(*)"])
        run = await bench.start("work")
        await bench.seen(run, "time.sleep")
        await bench.written(run, "time.sleep")
        await bench.manager.shut_down()
        assert not below()
        stopped = await bench.store.get_run("ana", run.id)
        assert stopped.status is RunStatus.INTERRUPTED
        with pytest.raises(Conflict, match="being stopped"):
            await bench.start("more")
    async with workshop(script) as bench:
        await bench.manager.resume(run.id)
        ended = await bench.finish(run)
        assert (ended.result, ended.session_id) == ("Back again.", run.session_id)
        assert [e.seq for e in await bench.events(run)] == list(range(1, ended.last_seq + 1))


async def test_a_run_that_was_stopped_before_its_first_words_begins_anew(workshop: Any, below: Family) -> None:
    async with workshop([say("Hello at last.")] * 4) as bench:
        await bench.agent()
        for moment in (0.0, 0.15, 0.3, 0.45):
            run = await bench.start("hello")
            await bench.until(lambda: asyncio.sleep(0, bool(below())))
            await asyncio.sleep(moment)
            try:
                await bench.manager.cancel(run.id)
            except Conflict:
                continue  # it was quicker
            if (await bench.manager.get(run.id)).status is RunStatus.SUCCEEDED:
                continue
            await bench.manager.resume(run.id)
            ended = await bench.finish(run)
            assert (ended.status, ended.error) == (RunStatus.SUCCEEDED, None), moment
            assert ended.result == "Hello at last."
