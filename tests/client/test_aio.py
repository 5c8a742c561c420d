"""`AsyncAgentClient` against a real server: what differs from `AgentClient` is the I/O, so that is what is tried."""

from __future__ import annotations

import asyncio
import inspect
import io

import pytest

from jupyterhub_agents.client import (
    AgentClient,
    AgentHandle,
    AsyncAgentClient,
    AsyncAgentHandle,
    AsyncRunHandle,
    RunFailed,
    RunHandle,
    Unreachable,
)
from jupyterhub_agents.errors import Conflict, NotFound, StaleRevision
from jupyterhub_agents.models import Delta, Event, RunStatus

from .conftest import Network, Server

pytestmark = pytest.mark.anyio


def client_of(server: Server, port: int | None = None, patience_s: float = 120) -> AsyncAgentClient:
    url = f"http://127.0.0.1:{port or server.port}/user/ana/"
    return AsyncAgentClient(workspace_url=url, token=server.token, patience_s=patience_s)


async def test_agents_are_made_changed_and_deleted(server: Server, agent_id: str) -> None:
    async with client_of(server) as client:
        agent = await client.agent(agent_id)
        other = await client.agent(agent_id)
        await agent.update(instructions="Be brief.")
        with pytest.raises(StaleRevision):
            await other.update(instructions="Be long.")
        await other.refresh()
        await other.restore(1)
        assert [revision.revision for revision in await agent.revisions()] == [3, 2, 1]
        assert agent_id in [found.id for found in await client.agents()]
        await other.delete()
        with pytest.raises(NotFound):
            await client.agent(agent_id)
        saved = await client.save_agent(agent_id, instructions="Anew.")
        assert (await client.save_agent(agent_id, instructions="Anew.")).revision == saved.revision
        assert (await client.health()).status == "ok"


async def test_a_run_is_followed_to_its_end(server: Server, agent_id: str) -> None:
    async with client_of(server) as client:
        run = await (await client.agent(agent_id)).run("write hello")
        live = [event async for event in run]
        assert [event.seq for event in live] == list(range(1, len(live) + 1))
        assert await run.result(timeout_s=60) == "It prints hello."
        assert await run.history() == live
        kinds = {type(item) async for item in run.stream()}
        assert Event in kinds
        assert Delta not in kinds
        assert "".join([text async for text in run.text_stream()]) == "I write it first.\n\nIt prints hello."
        out = io.StringIO()
        await run.watch(out)
        assert "● Write hello.py\n" in out.getvalue()
        reply = await run.reply("again")
        assert await reply.result(timeout_s=60) == "Once more, then."
        assert [found.id for found in await client.runs(agent_id)] == [reply.id, run.id]


async def test_a_call_that_waits_is_allowed(server: Server, agent_id: str) -> None:
    async with client_of(server) as client:
        run = await client.run(agent_id, "ask first")
        async for event in run:
            if event.type == "approval" and "tool" in event.payload:
                approval = await client.approval(event.payload["id"])
                assert [each.id for each in await run.approvals()] == [approval.id]
                await approval.allow("run")
                with pytest.raises(Conflict):
                    await approval.deny()
        assert await run.result(timeout_s=60) == "After that."


async def test_many_runs_are_followed_at_once(server: Server, agent_id: str) -> None:
    async with client_of(server) as client:
        runs = await asyncio.gather(*(client.run(agent_id, "greet me") for _ in range(4)))
        words = await asyncio.gather(*(run.result(timeout_s=90) for run in runs))
        assert words == ["Hello from the script."] * 4


async def test_waiting_has_a_limit_and_a_cancelled_run_says_so(server: Server, agent_id: str) -> None:
    async with client_of(server) as client:
        run = await client.run(agent_id, "endless")
        with pytest.raises(TimeoutError):
            await run.wait(timeout_s=1)
        await run.cancel()
        with pytest.raises(RunFailed):
            await run.result(timeout_s=30)
        assert run.status is RunStatus.CANCELLED
        await run.resume("greet me")
        assert await run.result(timeout_s=60) == "Hello from the script."


async def test_a_live_reader_survives_lost_connections(server: Server, network: Network, agent_id: str) -> None:
    async def cut() -> None:
        while True:
            await asyncio.sleep(0.3)
            network.cut()

    async with client_of(server, network.port) as client:
        run = await client.run(agent_id, "slow")
        cutting = asyncio.create_task(cut())
        try:
            seen = [event async for event in run]
        finally:
            cutting.cancel()
            await asyncio.gather(cutting, return_exceptions=True)
        assert network.connections > 5
        assert seen == await run.history()


async def test_a_lost_server_is_given_up_after_a_while(server: Server, network: Network, agent_id: str) -> None:
    async with client_of(server, network.port, patience_s=1) as client:
        run = await client.run(agent_id, "slow")
        events = aiter(run)
        await anext(events)
        network.up = False
        network.cut()
        with pytest.raises(Unreachable, match="go on later after event"):
            async for _ in events:
                pass


@pytest.mark.parametrize(
    ("sync", "asynchronous"),
    [(AgentClient, AsyncAgentClient), (AgentHandle, AsyncAgentHandle), (RunHandle, AsyncRunHandle)],
)
def test_both_clients_offer_the_same(sync: type, asynchronous: type) -> None:
    renamed = {"__enter__": "__aenter__", "__exit__": "__aexit__", "__iter__": "__aiter__"}
    for name, member in vars(sync).items():
        if not callable(member) or (name.startswith("_") and name not in renamed):
            continue
        twin = getattr(asynchronous, renamed.get(name, name))
        if name in ("follow", "stream"):
            continue  # a deadline is asyncio.timeout there
        assert list(inspect.signature(member).parameters) == list(inspect.signature(twin).parameters), name
