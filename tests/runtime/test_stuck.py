"""A CLI that goes silent with nothing to wait for is found and ended; one that waits for something is left alone."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
import pytest

from jupyterhub_agents.models import Decision, Event, RunStatus
from jupyterhub_agents.testing.replies import fail, say, silent, use
from tests.processes import Family

pytestmark = pytest.mark.anyio

# On a busy machine the CLI takes seconds to start, in which it says nothing either.
STUCK_S = 8
LONGER_S = STUCK_S + 3
# The CLI refuses a plain `sleep` of that length.
SLOW = f"python3 -c 'import time; time.sleep({LONGER_S})'"


async def test_a_run_whose_api_says_nothing_is_ended_and_can_be_resumed(workshop: Any, below: Family) -> None:
    script = {"work": [silent(60)], "again": [say("Done after all.")]}
    async with workshop(script, stuck_after_s=STUCK_S) as bench:
        await bench.agent()
        run = await bench.do("work")
        assert run.status is RunStatus.FAILED
        assert run.error.code == "stuck"
        assert f"{STUCK_S} s" in run.error.message
        assert "Resume" in run.error.message
        assert not below()
        await bench.manager.resume(run.id, "again")
        ended = await bench.finish(run)
        assert (ended.status, ended.result, ended.error) == (RunStatus.SUCCEEDED, "Done after all.", None)


async def test_a_cli_that_does_not_work_any_more_is_ended_with_all_it_started(workshop: Any, below: Family) -> None:
    script = {"work": [say("one two three four five six").paced(2)], "Continue": [say("Done after all.")]}
    async with workshop(script, stuck_after_s=STUCK_S) as bench:
        await bench.agent()
        run = await bench.start("work")
        await bench.until(lambda: asyncio.sleep(0, len(bench.model.requests) > 0))
        await bench.written(run, '"type":"user"')
        [cli] = psutil.Process(bench.manager._live[run.id].execution.session.pid).children()
        cli.suspend()
        ended = await bench.finish(run)
        assert (ended.status, ended.error.code) == (RunStatus.FAILED, "stuck")
        assert not below()
        await bench.manager.resume(run.id)
        ended = await bench.finish(run)
        assert (ended.status, ended.error) == (RunStatus.SUCCEEDED, None)


async def test_a_tool_that_says_nothing_for_long_is_waited_for(workshop: Any) -> None:
    async with workshop([use("Bash", {"command": SLOW}), say("Done.")], stuck_after_s=STUCK_S) as bench:
        await bench.agent(tools=["Bash(*)"])
        assert (await bench.do("work")).result == "Done."


async def test_a_person_who_takes_their_time_is_waited_for(workshop: Any) -> None:
    async with workshop([use("Bash", {"command": "echo made > a"}), say("Done.")], stuck_after_s=STUCK_S) as bench:
        await bench.agent()
        run = await bench.start("work")
        await bench.seen(run, '"waiting"')
        await asyncio.sleep(LONGER_S)
        [approval] = (await bench.store.list_approvals("ana", waiting=True)).items
        await bench.manager.decide(approval.id, Decision.ONCE, message=None, by="ana")
        assert (await bench.finish(run)).result == "Done."


async def test_a_subagent_and_its_tools_are_waited_for(workshop: Any) -> None:
    task = {"description": "d", "prompt": "look there", "subagent_type": "general-purpose", "run_in_background": False}
    script = {
        "work": [use("Agent", task), say("Done.")],
        "look there": [use("Bash", {"command": SLOW}), say("sub done").delayed(LONGER_S)],
    }
    async with workshop(script, stuck_after_s=STUCK_S) as bench:
        await bench.agent(tools=["Agent", "Bash(*)"])
        assert (await bench.do("work")).result == "Done."


async def test_a_subagent_in_the_background_is_waited_for(workshop: Any) -> None:
    task = {"description": "d", "prompt": "look there", "subagent_type": "general-purpose", "run_in_background": True}
    script = {
        "work": [use("Agent", task), say("It is under way."), say("All done.")],
        "look there": [say("sub done").delayed(LONGER_S)],
    }
    async with workshop(script, stuck_after_s=STUCK_S) as bench:
        await bench.agent(tools=["Agent"])
        run = await bench.do("work")
        assert (run.status, run.result) == (RunStatus.SUCCEEDED, "All done.")


async def test_the_wait_before_another_attempt_does_not_count(workshop: Any) -> None:
    async with workshop([fail(429, retry_after=LONGER_S), say("Done.")], stuck_after_s=STUCK_S) as bench:
        await bench.agent()
        run = await bench.do("work")
        assert (run.status, run.result) == (RunStatus.SUCCEEDED, "Done.")
        retries = [event for event in await bench.events(run) if is_retry(event)]
        assert float(retries[0].payload["retry_delay_ms"]) > STUCK_S * 1000


def is_retry(event: Event) -> bool:
    return event.payload.get("subtype") == "api_retry"


async def test_a_limit_of_zero_is_none(workshop: Any) -> None:
    async with workshop([say("Done.").delayed(3)], stuck_after_s=0) as bench:
        await bench.agent()
        assert (await bench.do("work")).result == "Done."
