"""Approvals over HTTP, and what becomes of them when the server ends."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import httpx
import psutil
import pytest

from jupyterhub_agents.testing.replies import say, use
from tests.files import is_in_transcript
from tests.workspace import Server, StartServer

MARK = use("Bash", {"command": "echo made >> a"})
AGAIN = "has decided meanwhile"
SCRIPT = {"work": [say("I ask.") + MARK, say("Done.")], AGAIN: [MARK, say("Done after the break.")]}


def waiting(server: Server, count: int = 1) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 60
    while len(found := server.get("api/approvals?waiting=true").json()["items"]) != count:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return list(found)


def decide(server: Server, approval: dict[str, Any], decision: str, **said: Any) -> httpx.Response:
    return server.post(f"api/approvals/{approval['id']}/decide", {"decision": decision, **said})


def made(server: Server, agent: str = "helper") -> int:
    file = server.home / "agents" / agent / "a"
    return len(file.read_text().splitlines()) if file.exists() else 0


def written(server: Server, run: dict[str, Any], text: str) -> None:
    """The CLI takes its time to write its transcript."""
    deadline = time.monotonic() + 60
    while not is_in_transcript(server.home, run["session_id"], text):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_call_is_decided_over_http_and_a_second_tab_is_told(server: Server) -> None:
    server.agent("tabs")
    run = server.start("work", "tabs")
    [approval] = waiting(server)
    assert server.get(f"api/approvals/{approval['id']}").json() == approval
    assert server.get(f"api/approvals?run={run['id']}").json()["items"] == [approval]
    assert server.get(f"api/approvals?run={run['id']}&waiting=false").json()["items"] == []
    server.until(run["id"], "waiting")
    assert "jupyterhub_agents_waiting_approvals 1.0" in server.http.get("metrics").text
    answers: list[httpx.Response] = []
    tabs = [
        threading.Thread(target=lambda word=word: answers.append(decide(server, approval, word)))
        for word in ("once", "deny", "once", "deny")
    ]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    [winner] = [answer.json() for answer in answers if answer.status_code == 200]
    assert all(winner["decided_by"] in answer.json()["message"] for answer in answers if answer.status_code == 409)
    server.finish(run["id"])
    assert made(server, "tabs") == (winner["decision"] == "once")
    assert "jupyterhub_agents_waiting_approvals 0.0" in server.http.get("metrics").text


def test_wrong_decisions_are_refused_with_what_to_do(server: Server) -> None:
    server.agent()
    run = server.start("work")
    [approval] = waiting(server)
    for body, status, words in (
        ({}, 400, "decision"),
        ({"decision": "maybe"}, 400, "once"),
        ({"decision": "deny", "message": "x" * 10_001}, 400, "message"),
        ({"decision": "once", "by": "boss"}, 400, "no such field"),
    ):
        answer = server.post(f"api/approvals/{approval['id']}/decide", body)
        assert (answer.status_code, words in answer.json()["message"]) == (status, True), answer.text
    assert server.post(f"api/approvals/{run['id']}/decide", {"decision": "once"}).status_code == 404
    assert server.post("api/approvals/none/decide", {"decision": "once"}).status_code == 404
    assert server.get("api/approvals?waiting=perhaps").status_code == 400
    assert server.post(f"api/runs/{run['id']}/resume").status_code == 409
    assert waiting(server) == [approval]


def test_a_waiting_run_survives_kill_9_and_goes_on_when_decided(start_server: StartServer) -> None:
    with start_server(SCRIPT) as server:
        server.agent()
        run = server.start("work")
        [approval] = waiting(server)
        written(server, run, "echo made")
        family = psutil.Process(server.process.pid).children(recursive=True)
        before = server.get(f"api/runs/{run['id']}/events?limit=1000").json()["items"]
        server.kill()
        _, left = psutil.wait_procs(family, timeout=30)
        assert not left
    with start_server() as server:
        server.until(run["id"], "waiting")
        assert waiting(server) == [approval]
        assert made(server) == 0
        assert decide(server, approval, "once").status_code == 200
        ended = server.finish(run["id"])
        assert (ended["status"], ended["result"], made(server)) == ("succeeded", "Done after the break.", 1)
        events = server.get(f"api/runs/{run['id']}/events?limit=1000").json()["items"]
        assert events[: len(before)] == before
        assert [event["seq"] for event in events] == list(range(1, ended["last_seq"] + 1))
        sessions = {event["payload"]["session_id"] for event in events if event["payload"].get("subtype") == "init"}
        assert sessions == {run["session_id"]}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["as Kubernetes does", "as a local hub does"])
def test_a_stop_in_order_leaves_a_waiting_run_waiting(start_server: StartServer, how: signal.Signals) -> None:
    with start_server({"work": [MARK], AGAIN: [say("I leave it.")]}) as server:
        server.agent()
        run = server.start("work")
        [approval] = waiting(server)
        written(server, run, "echo made")
        server.process.send_signal(how)
        server.process.wait(20)
    with start_server() as server:
        assert server.run(run["id"])["status"] == "waiting"
        assert decide(server, approval, "deny", message="Not today.").status_code == 200
        ended = server.finish(run["id"])
        assert (ended["status"], ended["result"], made(server)) == ("succeeded", "I leave it.", 0)
        assert "Not today." in str(server.model.messages[-1].body["messages"][-1])


def test_what_was_decided_just_before_a_kill_is_not_lost(start_server: StartServer) -> None:
    """The server is stopped from running between the decision and the CLI: the next one goes on by itself."""
    script = {"work": [MARK, say("Done.")], AGAIN: [MARK, say("Done after the break.")]}
    with start_server(script, "--RunManager.rest_after_s=0.2") as server:
        server.agent()
        run = server.start("work")
        [approval] = waiting(server)
        deadline = time.monotonic() + 60
        while psutil.Process(server.process.pid).children(recursive=True):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        server.kill()
    with start_server(None, "--RunManager.rest_after_s=0.2") as server:
        assert decide(server, approval, "once").status_code == 200
        server.kill()
    with start_server() as server:
        found = server.until(run["id"], "succeeded", "interrupted")
        if found["status"] == "interrupted":  # killed when it had begun already
            server.post(f"api/runs/{run['id']}/resume")
            found = server.finish(run["id"])
        assert (found["status"], made(server)) == ("succeeded", 1)


def test_the_stream_tells_of_approvals(server: Server) -> None:
    server.agent()
    run = server.start("work")
    [approval] = waiting(server)
    decide(server, approval, "once")
    server.finish(run["id"])
    events = server.get(f"api/runs/{run['id']}/events?limit=1000").json()["items"]
    asked, told = [event["payload"] for event in events if event["type"] == "approval"]
    assert asked == approval
    assert told["decision"] == "once"
