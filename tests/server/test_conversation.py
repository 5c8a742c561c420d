"""A person says what agent they want: the real CLI, the real MCP server, a scripted model behind both."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from jupyterhub_agents.server.assistant import TOOLS
from jupyterhub_agents.testing import ScriptedModel
from jupyterhub_agents.testing.replies import Reply, say, use
from tests.workspace import Place, Server, StartServer

POET = {"id": "poet", "name": "Poet", "instructions": "Write short poems.", "tools": []}
SECRETS = {"JUPYTERHUB_API_TOKEN": "secret-of-the-hub", "JPY_API_TOKEN": "another-secret"}


def tool(tool_name: str, /, **given: Any) -> Reply:
    return use(f"mcp__agents__{tool_name}", given)


SCRIPT = {
    "make me a poet": [say("I make it.") + tool("create_agent", **POET), say("Your poet is ready.")],
    "shorter poems": [
        tool("get_agent", id="poet"),
        tool("update_agent", id="poet", revision=1, instructions="Haiku only."),
        say("From now on haiku."),
    ],
    "which agents": [tool("list_agents"), say("There they are.")],
    "have the poet": [tool("run_agent", id="poet", prompt="a verse on rain", wait_s=60), say("It wrote a verse.")],
    "a verse on rain": [say("Rain falls. The end.")],
    "ask the guard": [tool("run_agent", id="guard", prompt="touch a file", wait_s=60), say("It waits for you.")],
    "touch a file": [use("Bash", {"command": "touch made-here"}), say("Touched.")],
    "make it twice": [
        tool("create_agent", id="Not An Id", name="X", instructions="x"),
        tool("create_agent", name="Twin", instructions="x"),
        say("Done at the second try."),
    ],
    "only pretend": [say('I made the agent "ghost" for you. {"id": "ghost", "name": "Ghost", "revision": 1}')],
    "try to use files": [use("Bash", {"command": "echo was-run"}), use("Read", {"file_path": "/etc/hostname"}),
                         say("I cannot.")],
    "speak slowly": [say(" ".join(f"word{n}" for n in range(60))).paced(0.05)],
    "stay": [say(" ".join(f"word{n}" for n in range(60))).paced(1)],
    "hello": [say("Hello, what agent do you need?")],
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = Place(tmp_path_factory.mktemp("conversation"))
    with place.start(SCRIPT, env=SECRETS) as running:
        yield running
    place.close()


def converse(server: Server, message: str, conversation: str | None = None, **more: Any) -> dict[str, Any]:
    body = {"message": message, **({"conversationId": conversation} if conversation else {}), **more}
    answer = server.post("api/conversation", body, timeout=90)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def socket(server: Server) -> ClientConnection:
    url = server.url.replace("http", "ws", 1) + "api/conversation"
    return connect(
        url, additional_headers={"Authorization": f"token {server.token}"}, proxy=None, max_size=None, open_timeout=60
    )


def items(ws: ClientConnection) -> Iterator[dict[str, Any]]:
    """What comes over a WebSocket, to the answer of a turn or an error."""
    while True:
        item = json.loads(ws.recv(timeout=60))
        yield item
        if item["type"] in ("answer", "error"):
            return


def test_an_agent_is_made_changed_listed_and_run_as_a_person_says_it(server: Server) -> None:
    made = converse(server, "Please make me a poet.")
    assert (made["status"], made["text"]) == ("succeeded", "Your poet is ready."), made
    assert made["agentCreated"] == {"id": "poet", "name": "Poet", "revision": 1}
    assert made["component"] == {"type": "agent", "agentId": "poet", "runId": None}
    assert server.get("api/agents/poet").json()["instructions"] == "Write short poems."
    conversation = made["conversationId"]

    changed = converse(server, "I want shorter poems.", conversation)
    assert changed["agentCreated"] is None
    assert changed["component"]["type"] == "agent"
    assert server.get("api/agents/poet").json()["revision"] == 2
    assert server.get("api/agents/poet").json()["instructions"] == "Haiku only."

    listed = converse(server, "And which agents are there?", conversation)
    assert (listed["component"]["type"], listed["agentCreated"]) == ("agents", None)

    ran = converse(server, "Now have the poet write.", conversation)
    assert ran["component"]["type"] == "run"
    inner = server.run(ran["component"]["runId"])
    assert (inner["agent_id"], inner["status"]) == ("poet", "succeeded")
    assert (inner["result"], inner["trigger"]) == ("Rain falls. The end.", "conversation")

    turns = server.get(f"api/runs?conversation={conversation}").json()["items"]
    assert len(turns) == 4
    assert {turn["session_id"] for turn in turns} == {server.run(made["runId"])["session_id"]}
    assert {turn["conversation_id"] for turn in turns} == {conversation} != {inner["conversation_id"]}
    assert [turn["continues"] for turn in turns][:-1] == [turn["id"] for turn in turns][1:]
    # The session is the same for Claude too: the last request held all that was said before.
    last = next(r for r in reversed(server.model.messages) if r.prompt == "Now have the poet write.")
    assert "Your poet is ready." in json.dumps(last.body["messages"])


def test_a_run_that_waits_for_a_person_is_told_at_once(server: Server) -> None:
    server.agent("guard")
    told = converse(server, "Please ask the guard.")
    assert (told["text"], told["component"]["type"]) == ("It waits for you.", "run")
    inner = told["component"]["runId"]
    assert server.run(inner)["status"] == "waiting"
    (asked,) = server.get(f"api/approvals?run={inner}&waiting=true").json()["items"]
    assert server.post(f"api/approvals/{asked['id']}/decide", {"decision": "once"}).status_code == 200
    assert server.finish(inner)["result"] == "Touched."


def test_what_was_made_is_read_from_what_the_tools_answered(server: Server) -> None:
    twice = converse(server, "Please make it twice.")
    assert twice["agentCreated"] == {"id": "twin", "name": "Twin", "revision": 1}
    pretended = converse(server, "Now only pretend.")
    assert "ghost" in pretended["text"]
    assert pretended["agentCreated"] is None
    assert pretended["component"]["type"] == "text"


def test_the_assistant_has_the_tools_for_agents_and_no_others(server: Server) -> None:
    answer = converse(server, "try to use files")
    request = next(r for r in server.model.messages if r.prompt == "try to use files")
    # Claude Code's stand-in for tools that are loaded later; here there are none.
    offered = set(request.tools) - {"DeferredToolPlaceholder"}
    assert offered == {"mcp__agents__" + name for name in TOOLS}
    events = server.get(f"api/runs/{answer['runId']}/events?limit=1000").json()["items"]
    results = [block for event in events if event["payload"].get("type") == "user"
               for block in event["payload"]["message"]["content"] if block["type"] == "tool_result"]  # fmt: skip
    assert len(results) == 2
    assert all(result["is_error"] for result in results), results


def test_a_websocket_tells_deltas_tools_and_the_answer(server: Server) -> None:
    with socket(server) as ws:
        ws.send(json.dumps({"message": "speak slowly"}))
        told = list(items(ws))
        kinds = [item["type"] for item in told]
        assert (kinds[0], kinds[-1]) == ("run", "answer")
        spoken = "".join(item["data"]["text"] for item in told if item["type"] == "delta")
        answer = told[-1]["data"]
        assert spoken == answer["text"] != ""
        assert kinds.count("delta") > 5
        conversation = answer["conversationId"]

        ws.send(json.dumps({"message": "which agents are there?", "conversationId": conversation}))
        told = list(items(ws))
        called = [
            block["name"]
            for item in told
            if item["type"] == "event" and item["data"]["payload"].get("type") == "assistant"
            for block in item["data"]["payload"]["message"]["content"]
            if block["type"] == "tool_use"
        ]
        assert called == ["mcp__agents__list_agents"]
        assert told[-1]["data"]["conversationId"] == conversation


def test_what_is_wrong_is_said_over_a_websocket_too(server: Server) -> None:
    with socket(server) as ws:
        for sent, code in (
            ("no JSON", "invalid_input"),
            ("[]", "invalid_input"),
            ('{"message": ""}', "invalid_input"),
            ('{"message": "hello", "conversation_id": "x"}', "invalid_input"),
            ('{"message": "hello", "conversationId": "none"}', "not_found"),
        ):
            ws.send(sent)
            (told,) = items(ws)
            assert (told["type"], told["data"]["code"]) == ("error", code), sent
            assert set(told["data"]) == {"code", "message", "reason"}
        ws.send(json.dumps({"message": "speak slowly"}))
        first = json.loads(ws.recv(timeout=60))
        ws.send(json.dumps({"message": "hello"}))
        seen = [first, *items(ws)]
        assert seen[-1]["data"]["code"] == "conflict"
        assert list(items(ws))[-1]["data"]["status"] == "succeeded"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid_input"),
        ({"message": ""}, 400, "invalid_input"),
        ({"message": "hello", "conversation_id": "x"}, 400, "invalid_input"),
        ({"message": "hello", "wait": -1}, 400, "invalid_input"),
        ({"message": "hello", "conversationId": "none"}, 404, "not_found"),
        ({"message": "hello", "conversationId": "01890000-0000-7000-8000-000000000000"}, 404, "not_found"),
    ],
)
def test_wrong_requests_are_told_what_to_do(server: Server, body: Any, status: int, code: str) -> None:
    answer = server.post("api/conversation", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) == {"code", "message", "reason"}


def test_a_run_that_is_no_conversation_is_not_gone_on_with(server: Server) -> None:
    server.agent("other")
    run = server.finish(server.start("hello", agent="other", trigger="conversation")["id"])
    answer = server.post("api/conversation", {"message": "hello", "conversationId": run["id"]})
    assert answer.status_code == 404


def test_who_is_not_signed_in_says_nothing(server: Server) -> None:
    assert httpx.post(server.url + "api/conversation", json={"message": "hello"}).status_code == 403
    with httpx.Client(base_url=server.url) as browser:
        browser.get(f"?token={server.token}", follow_redirects=True)
        assert browser.get("api/agents").status_code == 200
        refused = browser.post("api/conversation", json={"message": "hello"})
        assert (refused.status_code, refused.json()["code"]) == (403, "xsrf")


def test_a_page_of_another_site_cannot_speak_for_a_person(server: Server) -> None:
    with httpx.Client(base_url=server.url) as browser:
        browser.get(f"?token={server.token}", follow_redirects=True)
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    url = server.url.replace("http", "ws", 1) + "api/conversation"
    with connect(url, additional_headers={"Cookie": cookies}, proxy=None, open_timeout=60) as own:
        own.ping().wait(5)
    foreign = {"Cookie": cookies, "Origin": "https://elsewhere.example"}
    with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=foreign, proxy=None, open_timeout=60):
        pass
    assert refused.value.response.status_code in (403, 404)
    with pytest.raises(InvalidStatus, match="403"), connect(url, proxy=None, open_timeout=60):
        pass


def test_a_turn_goes_on_when_the_one_who_asked_leaves(server: Server) -> None:
    before = {run["id"] for run in server.get("api/runs").json()["items"]}
    with pytest.raises(httpx.ReadTimeout):
        server.post("api/conversation", {"message": "speak slowly"}, timeout=0.5)
    run = the_new_run(server, before)
    assert server.finish(run)["status"] == "succeeded"
    answer = server.get(f"api/conversation?conversationId={run}").json()
    assert (answer["runId"], answer["status"]) == (run, "succeeded")
    assert "word59" in answer["text"]
    with socket(server) as ws:
        ws.send(json.dumps({"message": "speak slowly", "conversationId": run}))
        second = json.loads(ws.recv(timeout=60))["data"]["id"]
    assert server.finish(second)["status"] == "succeeded"


def the_new_run(server: Server, before: set[str]) -> str:
    deadline = time.monotonic() + 60
    while not (new := {run["id"] for run in server.get("api/runs").json()["items"]} - before):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (run,) = new
    return run


def test_a_wait_has_a_bound_and_one_turn_is_at_work_at_a_time(server: Server) -> None:
    started = converse(server, "speak slowly", wait=0)
    assert started["status"] in ("queued", "running")
    second = server.post("api/conversation", {"message": "hello", "conversationId": started["conversationId"]})
    assert (second.status_code, second.json()["code"]) == (409, "conflict")
    told = server.get(f"api/conversation?conversationId={started['conversationId']}&wait=60", timeout=70).json()
    assert told["status"] == "succeeded"
    assert told["runId"] == started["runId"]


def test_a_conversation_goes_on_after_a_turn_that_was_stopped(server: Server) -> None:
    started = converse(server, "speak slowly", wait=0)
    assert server.post(f"api/runs/{started['runId']}/cancel").status_code == 202
    after = converse(server, "hello", started["conversationId"])
    assert (after["status"], after["text"]) == ("succeeded", "Hello, what agent do you need?"), after


def test_each_turn_can_be_looked_at_again(server: Server) -> None:
    first = converse(server, "hello")
    chat = first["conversationId"]
    second = converse(server, "which agents are there?", chat)
    path = f"api/conversation?conversationId={chat}"
    assert server.get(path).json() == second
    assert server.get(f"{path}&runId={first['runId']}").json() == first
    server.agent("stranger")
    stranger = server.finish(server.start("hello", agent="stranger")["id"])["id"]
    assert server.get(f"{path}&runId={stranger}").status_code == 404


def test_no_process_of_a_conversation_knows_a_token_and_no_list_of_processes_the_definition(server: Server) -> None:
    started = converse(server, "stay", wait=0)
    server.seen(started["runId"], '"init"')
    below = psutil.Process(server.process.pid).children(recursive=True)
    seen = []
    for process in below:
        try:
            content, command = Path(f"/proc/{process.pid}/environ").read_bytes(), process.cmdline()
        except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
            continue  # it has ended
        assert not [name for name, value in SECRETS.items() if value.encode() in content], process
        assert server.token.encode() not in content
        seen += command
    assert "mcp" in seen, "the MCP server was not among them"
    assert not [word for word in seen if "mcpServers" in word or "You help a person" in word]
    folders = list((server.home / ".local/share/jupyterhub-agents/runs").iterdir())
    definitions = [file for folder in folders for file in folder.glob("mcp.json")]
    assert definitions
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert {stat.S_IMODE(file.stat().st_mode) for folder in folders for file in folder.iterdir()} == {0o600}
    assert server.post(f"api/runs/{started['runId']}/cancel").status_code == 202
    server.finish(started["runId"])


def test_the_assistant_is_an_agent_like_others_and_changes_to_it_hold(server: Server) -> None:
    first = converse(server, "hello")
    agent = server.get("api/agents/assistant").json()
    assert "mcp_servers" in agent
    assert not agent["mcp_servers"]
    assert str(Path.home()) not in json.dumps(agent)
    agents = {agent["id"] for agent in server.get("api/agents").json()["items"]}
    changed = server.http.patch(
        "api/agents/assistant", json={"revision": agent["revision"], "instructions": "Speak like a pirate."}
    )
    assert changed.status_code == 200
    converse(server, "hello", first["conversationId"])
    assert "Speak like a pirate." in last_system(server.model)
    after = {agent["id"]: agent for agent in server.get("api/agents").json()["items"]}
    assert (set(after), after["assistant"]) == (agents, changed.json())
    back = {"revision": changed.json()["revision"]}
    assert server.post(f"api/agents/assistant/revisions/{agent['revision']}/restore", back).status_code == 200


def test_an_agent_of_the_persons_own_by_that_name_is_left_alone(start_server: StartServer) -> None:
    with start_server(SCRIPT) as server:
        own = server.agent("assistant", instructions="Mine.")
        answer = converse(server, "hello")
        assert server.run(answer["runId"])["agent_id"] == "agents-assistant"
        assert server.get("api/agents/assistant").json() == own


def test_a_conversation_goes_on_after_a_restart(start_server: StartServer) -> None:
    with start_server(SCRIPT) as server:
        first = converse(server, "Please make me a poet.")
    with start_server() as server:
        answer = converse(server, "I want shorter poems.", first["conversationId"])
        assert answer["status"] == "succeeded"
        assert server.get("api/agents/poet").json()["revision"] == 2


def last_system(model: ScriptedModel) -> str:
    return next(request for request in reversed(model.messages) if request.tools).system
