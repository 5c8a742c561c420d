"""Functions of a program as tools for its run, through a real server and the real CLI."""

from __future__ import annotations

import asyncio
import enum
import functools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from jupyterhub_agents.client import AgentClient, AsyncAgentClient, RunHandle, protocol, rule_of, tool
from jupyterhub_agents.client.functions import failure, function_of, said
from jupyterhub_agents.errors import Conflict, InvalidInput, NotAllowed, NotFound
from jupyterhub_agents.models import FunctionAnswer, FunctionsOffer, RunStatus
from jupyterhub_agents.testing.scripted_model import ScriptedModel, say, use

from .conftest import Server, until

SCRIPT: dict[str, Any] = {
    "add them": [use("mcp__notebook__add", {"a": 2, "b": "40"}), say("They are 42.")],
    "fail at it": [use("mcp__notebook__broken", {"why": "no luck"}), say("It did not work.")],
    "add wrongly": [use("mcp__notebook__add", {"a": 2, "b": "many"}), say("That was no number.")],
    "take long": [use("mcp__notebook__slow", {}), say("It took long.")],
    "both": [
        use("mcp__notebook__meet", {"who": "a"}) + use("mcp__notebook__meet", {"who": "b"}),
        say("They met."),
    ],
    "decided meanwhile": [use("mcp__notebook__add", {"a": 1, "b": 1}), say("Two.")],
    "then ask": [use("Bash", {"command": "git init asked"}), use("mcp__notebook__add", {"a": 1, "b": 1}), say("Two.")],
}
AWAY_S = 10.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ScriptedModel(SCRIPT) as model:
        server = Server(tmp_path_factory.mktemp("functions"), model)
        server.arguments = [f"--RunManager.functions_away_s={AWAY_S}"]
        server.start()
        yield server
        server.stop()


@pytest.fixture
def client(server: Server) -> Iterator[AgentClient]:
    with server.client() as client:
        yield client
    assert not [thread for thread in threading.enumerate() if thread.name == "agents client"]


@pytest.fixture
def agent(client: AgentClient) -> str:
    """An agent that may call the functions of these tests without asking."""
    names = ("add", "broken", "slow", "meet")
    client.save_agent("caller", name="Caller", allowed_tools=[rule_of(name) for name in names])
    return "caller"


def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The first one.
        b: The second one.
    """
    return a + b


def results(run: RunHandle) -> list[tuple[str, bool]]:
    """What the run's tool calls came back with, and whether as an error."""
    found = []
    for event in run.history():
        message = event.payload.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else []:
            if isinstance(block, dict) and block.get("type") == "tool_result":
                text = block["content"]
                text = text if isinstance(text, str) else "".join(part["text"] for part in text)
                found.append((text, bool(block.get("is_error"))))
    return found


def test_an_agent_calls_a_function_of_this_program(client: AgentClient, agent: str) -> None:
    """In the thread that waits: what belongs to one thread can be used, such as a database connection."""
    database = sqlite3.connect(":memory:")
    seen: list[Any] = []

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        seen.append((a, b, threading.current_thread() is threading.main_thread()))
        return int(database.execute("select ? + ?", (a, b)).fetchone()[0])

    run = client.run(agent, "add them", tools=[add])
    assert run.result() == "They are 42."
    assert seen == [(2, 40, True)]
    assert results(run) == [("42", False)]
    [begun] = [event for event in run.history() if event.payload.get("subtype") == "init"]
    assert "mcp__notebook__add" in begun.payload["tools"]  # type: ignore[operator]  # JSON
    database.close()


def test_a_call_needs_consent_as_any_tools(client: AgentClient) -> None:
    client.save_agent("asker", name="Asker", allowed_tools=[])
    calls: list[tuple[int, int]] = []

    def add(a: int, b: int) -> int:
        calls.append((a, b))
        return a + b

    run = client.run("asker", "add them", tools=[add])
    [approval] = until(lambda: run.approvals())
    assert (approval.tool, approval.input) == ("mcp__notebook__add", {"a": 2, "b": 40})
    assert calls == []
    approval.deny("not now")
    assert run.result() == "They are 42."
    assert calls == []
    again = client.run("asker", "add them", tools=[add])
    [approval] = until(lambda: again.approvals())
    assert approval.rules == ["mcp__notebook__add"]
    approval.allow("agent")
    again.result()
    assert calls == [(2, 40)]
    assert client.agent("asker").record.allowed_tools == ["mcp__notebook__add"]


def test_while_nobody_waits_it_is_called_beside(client: AgentClient, agent: str) -> None:
    thread: list[threading.Thread] = []

    def add(a: int, b: int) -> int:
        thread.append(threading.current_thread())
        return a + b

    run = client.run(agent, "add them", tools=[add])
    until(lambda: run.refresh().status.is_final)
    assert run.record.result == "They are 42."
    assert thread[0] is not threading.main_thread()


def test_an_exception_is_told_to_claude_with_its_message(client: AgentClient, agent: str) -> None:
    def broken(why: str) -> None:
        raise RuntimeError(f"there was {why}")

    run = client.run(agent, "fail at it", tools=[broken])
    assert run.result() == "It did not work."
    assert results(run) == [("RuntimeError: there was no luck", True)]


def test_arguments_of_another_type_do_not_reach_the_function(client: AgentClient, agent: str) -> None:
    run = client.run(agent, "add wrongly", tools=[add])
    run.result()
    [(text, is_error)] = results(run)
    assert is_error
    assert "b: Input should be a valid integer" in text


def test_an_async_function_is_called_too(client: AgentClient, agent: str) -> None:
    async def add(a: int, b: int) -> dict[str, int]:
        await asyncio.sleep(0)
        return {"sum": a + b}

    run = client.run(agent, "add them", tools=[add])
    run.result()
    assert json.loads(results(run)[0][0]) == {"sum": 42}


def test_a_cancelled_run_lets_its_function_be(client: AgentClient, agent: str) -> None:
    began, ended = threading.Event(), threading.Event()

    async def slow() -> None:
        began.set()
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    run = client.run(agent, "take long", tools=[slow])
    assert began.wait(30)
    run.cancel()
    assert ended.wait(30)
    assert run.refresh().status is RunStatus.CANCELLED


def test_an_interrupt_ends_a_long_call_and_is_told(client: AgentClient, agent: str) -> None:
    """The main thread is in the function: the interrupt that a notebook sends ends even a sleep."""

    def slow() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(600)

    run = client.run(agent, "take long", tools=[slow])
    with pytest.raises(KeyboardInterrupt):
        run.result()
    assert run.result() == "It took long."
    [(text, is_error)] = results(run)
    assert (text, is_error) == ("Interrupted: the person interrupted this call", True)


def test_a_program_that_is_gone_ends_its_calls_with_an_error(server: Server, client: AgentClient, agent: str) -> None:
    program = (
        "import sys, time\n"
        "from jupyterhub_agents.client import AgentClient\n"
        "def slow():\n    print('called', flush=True); time.sleep(600)\n"
        f"client = AgentClient(workspace_url={server.url!r})\n"
        f"print(client.run({agent!r}, 'take long', tools=[slow]).id, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = server.env | {"JUPYTERHUB_API_TOKEN": server.token}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    ) as kernel:
        assert kernel.stdout is not None
        run = client.get_run(kernel.stdout.readline().strip())
        assert kernel.stdout.readline() == "called\n"
        kernel.kill()
    assert run.result(timeout_s=60) == "It took long."
    [(text, is_error)] = results(run)
    assert is_error
    assert "kernel was stopped or restarted" in text


def test_another_program_cannot_answer(server: Server, client: AgentClient, agent: str) -> None:
    began, go = threading.Event(), threading.Event()

    def slow() -> str:
        began.set()
        go.wait(60)
        return "mine"

    run = client.run(agent, "take long", tools=[slow])
    assert began.wait(30)
    with server.client() as other:
        with pytest.raises(Conflict, match="Another program"):
            other._send(protocol.function_calls(run.id, FunctionsOffer(holder="o" * 16)))
        with pytest.raises(Conflict):
            other._send(protocol.answer_function(run.id, FunctionAnswer(holder="o" * 16, call="x", text="theirs")))
    go.set()
    run.result()
    assert results(run) == [("mine", False)]
    with pytest.raises(NotFound):
        client._send(protocol.answer_function(run.id, FunctionAnswer(holder="o" * 16, call="x", text="late")))
    assert client._send(protocol.function_calls(run.id, FunctionsOffer(holder="o" * 16))).ended


def test_by_the_socket_there_are_no_functions(server: Server) -> None:
    with AgentClient(socket=str(server.home / ".local/share/jupyterhub-agents/door")) as agents_own:
        with pytest.raises(NotAllowed, match="token"):
            agents_own.run("caller", "add them", tools=[add])
        offer = FunctionsOffer(holder="o" * 16)
        with pytest.raises(NotAllowed, match="for the person"):
            agents_own._send(protocol.function_calls("0" * 8, offer))


def test_functions_are_there_again_after_a_restart_of_the_server(server: Server, client: AgentClient) -> None:
    client.save_agent("patient", name="Patient", allowed_tools=[rule_of("add")])
    run = client.run("patient", "then ask", tools=[add])
    [approval] = until(lambda: run.approvals())
    server.stop(kill=True)
    server.start()
    until(lambda: client.health().status == "ok", 40)
    until(lambda: _decided(client, approval.id))
    assert run.result(60) == "Two."
    assert ("2", False) in results(run)


def _decided(client: AgentClient, approval_id: str) -> bool:
    client.approval(approval_id).allow()
    return True


@pytest.mark.anyio
async def test_the_async_client_answers_calls_at_once(server: Server, agent: str) -> None:
    met: list[str] = []
    both = asyncio.Event()

    async def meet(who: str) -> str:
        """Wait for the other one."""
        met.append(who)
        if len(met) == 2:
            both.set()
        return who

    async with AsyncAgentClient(workspace_url=server.url, token=server.token) as client:
        run = await client.run(agent, "both", tools=[meet])
        assert await run.result() == "They met."
        assert sorted(met) == ["a", "b"]
        assert both.is_set()


# What Claude is told of a function


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: float
    y: float = 0.0


class Order(BaseModel):
    customer: str
    lines: list[str] = []


def documented(
    place: Point,
    colour: Colour,
    order: Order,
    how: Literal["fast", "slow"] = "fast",
    *,
    limit: Annotated[int, Field(ge=1, description="At most so many.")] = 10,
) -> str:
    """Draw it.

    On the sheet that is open.

    Parameters
    ----------
    place : Point
        Where to draw.
    limit : int
        What the annotation says better.

    Returns
    -------
    str
        The name of the drawing.
    """
    assert isinstance(place, Point)
    assert isinstance(order, Order)
    return f"{colour.name} {how} {limit} {order.customer}"


def test_a_schema_has_types_defaults_limits_and_descriptions() -> None:
    function = function_of(documented)
    schema: Any = function.definition.input_schema
    assert (
        function.definition.description == "Draw it.\n\nOn the sheet that is open.\n\nGives: The name of the drawing."
    )
    assert schema["required"] == ["place", "colour", "order"]
    assert schema["properties"]["place"]["description"] == "Where to draw."
    assert schema["properties"]["how"] == {"default": "fast", "enum": ["fast", "slow"], "type": "string"}
    assert schema["properties"]["limit"]["description"] == "At most so many."
    assert schema["properties"]["limit"]["minimum"] == 1
    assert "title" not in json.dumps(schema)
    given = {"place": {"x": 1}, "colour": "red", "order": {"customer": "ana"}}
    assert function.call(given) == "RED fast 10 ana"
    with pytest.raises(ValueError, match="limit"):
        function.call(given | {"limit": 0})


def test_methods_partials_and_named_functions_are_tools() -> None:
    class Shop:
        def price(self, item: str) -> float:
            """What it costs."""
            return 2.5 if item == "tea" else 0

    @tool(name="cheap", description="Anything cheap.")
    def _hidden(title: str, properties: int = 0) -> str:
        return title

    assert function_of(Shop().price).call({"item": "tea"}) == 2.5
    assert function_of(functools.partial(add, b=2)).call({"a": 1}) == 3
    assert function_of(_hidden).definition.description == "Anything cheap."
    schema: Any = function_of(_hidden).definition.input_schema
    assert set(schema["properties"]) == {"title", "properties"}
    assert rule_of(_hidden) == "mcp__notebook__cheap"


def test_what_cannot_be_a_tool_is_refused_with_the_reason(client: AgentClient) -> None:
    def many(*numbers: int) -> int:
        return sum(numbers)

    def foreign(table: threading.Thread) -> None: ...

    for tools, words in (
        ([lambda x: x], "@tool"),
        ([many], "named parameters"),
        ([foreign], "JSON"),
        ([add, add], "two functions"),
        ([3], "no function"),
        (add, "give a list"),
    ):
        with pytest.raises(InvalidInput, match=words):
            client.run("caller", "x", tools=tools)  # type: ignore[arg-type]  # what a person may try


def test_results_are_text_or_json() -> None:
    assert said("as it is") == "as it is"
    assert json.loads(said({"a": Point(1), "b": [Colour.RED, Path("x")]})) == {"a": {"x": 1, "y": 0}, "b": ["red", "x"]}
    assert said(None) == "null"
    assert said(object()).startswith('"<object')
    long = said("x" * 2_000_000)
    assert len(long) == 1_000_000
    assert long.endswith("are passed on.")
    assert failure(KeyError("x")) == "KeyError: 'x'"


def test_an_agent_with_a_server_of_that_name_is_refused_functions(client: AgentClient) -> None:
    client.save_agent("own", name="Own", mcp_servers={"notebook": {"type": "stdio", "command": "true"}})
    with pytest.raises(InvalidInput, match="notebook"):
        client.run("own", "add them", tools=[add])
