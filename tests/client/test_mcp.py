"""`jupyter agents mcp`, as an MCP client meets it: the official client, the real command, a real workspace."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp_types import CallToolResult, TextContent

from jupyterhub_agents.client import AgentClient

from .conftest import Server, until

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[CallToolResult]]


@asynccontextmanager
async def session_of(server: Server, *arguments: str, log: Path | None = None) -> AsyncIterator[ClientSession]:
    """A session with the command as Claude Code starts it: with the home, and no token."""
    env = {name: server.env[name] for name in ("HOME", "PATH")}
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "jupyterhub_agents.client", "mcp", *arguments], env=env
    )
    with (log or Path("/dev/null")).open("w") as errors:
        async with stdio_client(command, errlog=errors) as streams, ClientSession(*streams) as session:
            await session.initialize()
            yield session


@pytest.fixture(scope="module")
def door(server: Server) -> Path:
    pointer = server.home / ".local" / "share" / "jupyterhub-agents" / "door"
    until(pointer.exists)
    return pointer


@pytest.fixture(scope="module")
async def session(server: Server, door: Path) -> AsyncIterator[ClientSession]:
    """One for all tests that need no start of the command: what it does depends on nothing of before."""
    async with session_of(server) as session:
        yield session


def said(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def facts(result: CallToolResult) -> dict[str, Any]:
    """What a tool gave: the same as text and structured."""
    assert not result.is_error, said(result)
    assert json.loads(said(result)) == result.structured_content
    return dict(json.loads(said(result)))


def new_id(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(4)}"


async def test_it_offers_six_tools_each_with_a_schema_that_refuses_what_it_does_not_know(
    session: ClientSession,
) -> None:
    tools = {tool.name: tool for tool in (await session.list_tools()).tools}
    assert set(tools) == {"create_agent", "update_agent", "list_agents", "get_agent", "run_agent", "get_run"}
    for tool in tools.values():
        assert len(tool.description or "") > 40
        assert tool.input_schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False
        assert "default" not in json.dumps([list(field) for field in tool.input_schema["properties"].values()])
    assert set(tools["create_agent"].input_schema["required"]) == {"name", "instructions"}
    assert set(tools["update_agent"].input_schema["required"]) == {"id", "revision"}


async def test_an_agent_is_made_listed_read_changed_and_run(session: ClientSession, client: AgentClient) -> None:
    id = new_id("maker")
    made = await session.call_tool(
        "create_agent", {"id": id, "name": "Maker", "instructions": "Make things.", "tools": ["Read"], "model": None}
    )
    assert facts(made) == {"id": id, "name": "Maker", "revision": 1}
    assert (client.agent(id).instructions, client.agent(id).record.tools) == ("Make things.", ["Read"])
    listed = facts(await session.call_tool("list_agents", {}))
    assert {"id": id, "name": "Maker", "revision": 1} in listed["agents"]
    changed = await session.call_tool(
        "update_agent", {"id": id, "revision": 1, "instructions": "Greet.", "tools": None}
    )
    assert facts(changed)["revision"] == 2
    read = facts(await session.call_tool("get_agent", {"id": id}))
    assert read == {"id": id, "revision": 2, "name": "Maker", "instructions": "Greet."}
    ran = facts(await session.call_tool("run_agent", {"id": id, "prompt": "greet"}))
    assert (ran["status"], ran["result"]) == ("succeeded", "Hello from the script.")
    assert client.get_run(ran["run_id"]).record.trigger == "conversation"
    again = facts(await session.call_tool("get_run", {"run_id": ran["run_id"]}))
    assert again == ran | {"last_texts": ["Hello from the script."]}


async def test_a_stale_revision_is_told_with_the_current_one(session: ClientSession, client: AgentClient) -> None:
    id = new_id("stale")
    client.create_agent("Stale", id=id, instructions="Old.").update(instructions="New.")
    refused = await session.call_tool("update_agent", {"id": id, "revision": 1, "description": "x"})
    assert refused.is_error
    assert '"revision":2' in said(refused)
    assert refused.structured_content["error"]["code"] == "stale_revision"
    current = refused.structured_content["current"]
    assert (current["revision"], current["instructions"]) == (2, "New.")


@pytest.mark.parametrize(
    ("tool", "given", "hint"),
    [
        ("create_agent", {"name": "X", "instructions": "x", "id": "My Agent"}, "such as 'my-agent'"),
        ("create_agent", {"name": "X"}, "instructions: it is missing"),
        ("create_agent", {"name": "X", "instructions": ""}, "instructions: "),
        ("create_agent", {"name": "X", "instructions": "x", "tools": "Read, Bash"}, '["Read", "Bash"]'),
        ("create_agent", {"name": "X", "instructions": "x", "prompt": "y"}, "prompt: there is no such field; it takes"),
        ("create_agent", {"name": "X", "instructions": "x", "directory": "/etc"}, "relative path"),
        ("create_agent", {"name": "X", "instructions": "x", "permission_mode": "yolo"}, "acceptEdits"),
        ("create_agent", {"name": "X", "instructions": "x", "permission_mode": "bypassPermissions"}, "acceptEdits"),
        ("update_agent", {"id": "x", "revision": 1, "permission_mode": "bypassPermissions"}, "acceptEdits"),
        ("update_agent", {"id": "x", "revision": 1}, "nothing to change"),
        ("update_agent", {"id": "nobody", "revision": 1, "name": "X"}, "nobody"),
        ("get_agent", {}, "id: it is missing"),
        ("get_agent", {"id": "nobody"}, "nobody"),
        ("run_agent", {"id": "nobody", "prompt": "x"}, "nobody"),
        ("run_agent", {"id": "x", "prompt": "x", "wait_s": 10_000}, "600"),
        ("get_run", {"run_id": "last"}, "last"),
        ("delete_agent", {"id": "x"}, "There is no tool 'delete_agent'"),
    ],
)  # fmt: skip
async def test_wrong_input_is_answered_with_what_to_do(
    session: ClientSession, tool: str, given: dict[str, Any], hint: str
) -> None:
    refused = await session.call_tool(tool, given)
    assert refused.is_error
    assert hint in said(refused)


async def test_a_run_that_takes_longer_than_the_wait_goes_on(session: ClientSession, client: AgentClient) -> None:
    id = new_id("slow")
    client.create_agent("Slow", id=id)
    told: list[str | None] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append(message)

    waited = facts(
        await session.call_tool("run_agent", {"id": id, "prompt": "slow", "wait_s": 0.2}, progress_callback=progress)
    )
    assert waited["status"] in ("queued", "running")
    assert "get_run" in waited["note"]
    run = client.get_run(waited["run_id"]).wait()
    assert run.status == "succeeded"
    assert told


async def test_a_wait_can_be_given_up_and_the_run_goes_on(session: ClientSession, client: AgentClient) -> None:
    id = new_id("patient")
    client.create_agent("Patient", id=id)
    with anyio.move_on_after(60) as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.call_tool, "run_agent", {"id": id, "prompt": "slow", "wait_s": 500})
            while not client.runs(id):
                await anyio.sleep(0.05)
            tasks.cancel_scope.cancel()
    assert not scope.cancelled_caught
    # The server is free for the next call at once.
    assert facts(await session.call_tool("list_agents", {}))["agents"]
    (run,) = client.runs(id)
    assert run.wait().status == "succeeded"


async def test_the_one_that_leads_conversations_is_neither_run_nor_changed(
    session: ClientSession, client: AgentClient
) -> None:
    id = new_id("leader")
    client.create_agent("Leader", id=id, front_matter={"jupyterhub-agents-conversation": True})
    for tool, given in (
        ("run_agent", {"id": id, "prompt": "greet"}),
        ("update_agent", {"id": id, "revision": 1, "tools": None}),
    ):
        refused = await session.call_tool(tool, given)
        assert refused.is_error
        assert "leads conversations" in said(refused)
    assert not client.runs(id)


async def test_where_there_is_no_workspace_the_tools_say_so(server: Server, tmp_path: Path) -> None:
    async with session_of(server, "--socket", str(tmp_path / "none")) as session:
        refused = await session.call_tool("list_agents", {})
        assert refused.is_error
        assert "Is the workspace running?" in said(refused)


async def test_standard_output_is_the_protocols_alone(server: Server, door: Path, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "jupyterhub_agents.client", "mcp",
        env={name: server.env[name] for name in ("HOME", "PATH")},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    begin = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}
    sent = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": begin},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "list_agents", "arguments": {}}},
    ]
    assert process.stdin and process.stdout
    process.stdin.write(b"this is no JSON\n" + b"".join(json.dumps(message).encode() + b"\n" for message in sent))
    answers = []
    async with asyncio.timeout(60):
        while not any(answer.get("id") == 2 for answer in answers):
            answers.append(json.loads(await process.stdout.readline()))
    process.stdin.close()
    async with asyncio.timeout(60):
        rest = await process.stdout.read()
        assert await process.wait() == 0
    assert not rest
    assert {"id": 1, "jsonrpc": "2.0"}.items() <= next(a for a in answers if a.get("id") == 1).items()
