"""What a server's log says of runs, and what it never says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from jupyterhub_agents.testing.replies import fail, say, use
from tests.workspace import Server, StartServer

SECRETS = {
    name: f"{name}-canary-4711"
    for name in ("prompt", "answer", "thought", "instructions", "input", "output", "mcp", "name", "refusal", "body")
}
MCP = {"type": "stdio", "command": "false", "args": [], "env": {"KEY": SECRETS["mcp"]}}
LONG = {"command": f"echo {SECRETS['input']}; python3 -c 'import time; time.sleep(60)'"}
SCRIPT = {
    "work": [use("Bash", {"command": f"echo {SECRETS['input']}; printf %s out; echo put-canary-4711"}),
             say(SECRETS["answer"])],
    "fail": [fail(400, message=SECRETS["refusal"]).always()],
    "wait": [use("Bash", LONG)],
}  # fmt: skip


def live(server: Server) -> dict[str, dict[str, Any]]:
    """Runs of every kind of end, as they are at last."""
    server.agent(tools=["Bash(*)"], instructions=SECRETS["instructions"], description=SECRETS["name"],
                 model=SECRETS["name"], mcp_servers={"notes": MCP})  # fmt: skip
    well = server.start(f"work {SECRETS['prompt']}", trigger="cli")["id"]
    badly = server.start(f"fail {SECRETS['prompt']}")["id"]
    server.finish(well)
    server.finish(badly)
    left = server.start(f"wait {SECRETS['prompt']}")["id"]
    server.seen(left, "time.sleep")
    server.post(f"api/runs/{left}/cancel")
    for body in ({"prompt": 5, "x": SECRETS["body"]}, {"prompt": SECRETS["prompt"], "revision": 99}):
        assert server.post("api/agents/helper/runs", body).status_code in (400, 404)
    assert server.http.post("api/agents", content=SECRETS["body"]).status_code == 400
    assert server.get("api/runs/none", params={"token": server.token}).status_code in (400, 404)
    return {id: server.finish(id) for id in (well, badly, left)}


def is_silent(server: Server, log: str) -> None:
    for what, secret in {**SECRETS, "token": server.token}.items():
        assert secret not in log, what


def test_the_log_tells_of_each_run_by_its_ids_and_of_nobodys_words(start_server: StartServer) -> None:
    with start_server(SCRIPT) as server:
        runs = live(server)
    log = server.log.read_text()
    is_silent(server, log)
    for id, run in runs.items():
        [queued, started, ended] = [line for line in log.splitlines() if f"run_id={id} " in line + " "]
        for line, what in ((queued, "run queued"), (started, "run started"), (ended, "run ended")):
            assert re.search(rf"^\[I .*\] {what} ", line), line
            assert " owner=ana " in line + " "
            assert " agent_id=helper " in line + " "
        assert f" status={run['status']} " in ended + " "
    assert " trigger=cli " in log
    assert [run["status"] for run in runs.values()] == ["succeeded", "failed", "cancelled"]


def test_the_log_is_json_lines_where_that_is_set(start_server: StartServer) -> None:
    json_lines = "--AgentsApp.log_style=json"
    with start_server(SCRIPT, json_lines) as server:
        runs = live(server)
        lost = server.start(f"wait {SECRETS['prompt']}")["id"]
        server.seen(lost, "time.sleep")
        server.kill()
    with start_server(None, json_lines) as server:
        runs[lost] = server.until(lost, "interrupted")
    log = server.log.read_text()
    is_silent(server, log)
    # What was logged before the extension was there is text.
    records = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert not re.search(r"^\[.*(jupyterhub_agents\.|run_id)", log, re.MULTILINE)
    for id, run in runs.items():
        told = [record for record in records if record.get("run_id") == id]
        assert [record["message"] for record in told] == ["run queued", "run started", "run ended"], told
        for record in told:
            assert (record["owner"], record["agent_id"], record["level"]) == ("ana", "helper", "INFO")
            assert record["logger"].startswith("jupyterhub_agents.")
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", record["time"])
            assert record["trigger"] == run["trigger"]
        queued, started, ended = told
        assert (queued["resumed"], started["model"]) == (False, "other")
        assert (ended["status"], ended["turns"], ended["events"]) == (run["status"], run["turns"], run["last_seq"])
        assert ended["cost_usd"] == pytest.approx(run["usage"]["cost_usd"], abs=1e-6)
        assert ended["error"] == (run["error"] and run["error"]["code"])
        assert ended["seconds"] > 0
    assert any(record["logger"] == "ServerApp" for record in records)


def test_the_log_tells_what_became_of_each_call_that_needed_a_person(start_server: StartServer) -> None:
    command = use("Bash", {"command": f"echo {SECRETS['input']} > a"})
    with start_server({"ask": [command, command, say("Done.")]}, "--AgentsApp.log_style=json") as server:
        server.agent()
        run = server.start(f"ask {SECRETS['prompt']}")["id"]
        denied = server.waits(run)
        said = {"decision": "deny", "message": SECRETS["answer"]}
        assert server.post(f"api/approvals/{denied}/decide", said).status_code == 200
        closed = server.waits(run, after=denied)
        server.post(f"api/runs/{run}/cancel")
    log = server.log.read_text()
    is_silent(server, log)
    records = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    told = [record for record in records if "approval_id" in record]
    assert [(record["message"], record["approval_id"]) for record in told] == [
        ("approval waiting", denied), ("approval decided", denied), ("approval waiting", closed),
        ("approval closed", closed),
    ]  # fmt: skip
    assert {(record["run_id"], record["owner"], record["tool"]) for record in told} == {(run, "ana", "Bash")}
    assert told[1]["decision"] == "deny"
    assert told[1]["seconds"] > 0
