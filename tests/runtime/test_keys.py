"""Keys of runs: what becomes of a run when there is none to be had."""

from __future__ import annotations

import time
from typing import Any

import pytest

from hub_config.ports import free_ports
from jupyterhub_agents.testing.replies import say

pytestmark = pytest.mark.anyio


def nobody() -> str:
    (port,) = free_ports(1)
    return f"http://127.0.0.1:{port}/services/agents/"


async def test_a_run_without_the_service_fails_with_what_to_do_and_leaves_no_file(workshop: Any) -> None:
    keys = {"service_url": nobody(), "token": "of-the-server", "patience_s": 0.5}
    async with workshop([say("Never said.")], keys=keys) as bench:
        await bench.agent()
        run = await bench.do("work")
        assert run.status == "failed" and run.error.code == "runtime_unavailable"
        assert "service" in run.error.message and "Try again in a moment" in run.error.message
        assert "of-the-server" not in run.error.message
        assert bench.model.messages == []
        assert not list((bench.manager.state / "runs").glob("*"))


async def test_a_workspace_that_stops_waits_for_no_key(workshop: Any) -> None:
    keys = {"service_url": nobody(), "token": "of-the-server", "patience_s": 600}
    async with workshop([say("Never said.")], keys=keys) as bench:
        await bench.agent()
        run = await bench.start("work")
        await bench.seen(run, '"running"')
        before = time.monotonic()
        await bench.manager.shut_down()
        assert time.monotonic() - before < 60
        assert (await bench.store.get_run("ana", run.id)).status == "interrupted"


async def test_without_a_service_claude_code_finds_its_own_way(workshop: Any) -> None:
    async with workshop([say("Said.")], keys={"service_url": ""}) as bench:
        await bench.agent()
        assert (await bench.do("work")).result == "Said."
        assert bench.model.messages[0].headers.get("x-api-key") == "scripted-model"
