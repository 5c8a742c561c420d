"""What a restart finds again, also after kill -9."""

from __future__ import annotations

import signal
import time
from contextlib import suppress

import psutil
import pytest

from jupyterhub_agents.testing.replies import say, use
from tests.files import is_in_transcript
from tests.workspace import StartServer

LONG = {"command": "python3 -c 'import time; time.sleep(600)'"}
SCRIPT = {"work": [say("I start.") + use("Bash", LONG)], "Continue": [say("Finished after the break.")]}


def test_after_kill_9_no_cli_is_left_and_the_run_is_resumed_in_its_session(start_server: StartServer) -> None:
    with start_server(SCRIPT) as server:
        server.agent(tools=["Bash(*)"])
        run = server.start("work")
        server.seen(run["id"], "time.sleep")
        deadline = time.monotonic() + 60
        while not any(says(process, "time.sleep(600)") for process in below(server.process.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # The CLI takes its time to write what was said.
        while not is_in_transcript(server.home, run["session_id"], "I start."):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        family = below(server.process.pid)
        before = server.get(f"api/runs/{run['id']}/events?limit=1000").json()["items"]
        server.kill()
        _, left = psutil.wait_procs(family, timeout=30)
        assert not left
    with start_server() as server:
        found = server.run(run["id"])
        assert (found["status"], found["error"]["code"]) == ("interrupted", "interrupted")
        assert server.get(f"api/runs/{run['id']}/events?limit=1000").json()["items"][: len(before)] == before
        answer = server.post(f"api/runs/{run['id']}/resume")
        assert answer.status_code == 202
        ended = server.finish(run["id"])
        assert (ended["status"], ended["result"]) == ("succeeded", "Finished after the break.")
        assert ended["session_id"] == run["session_id"]
        events = server.get(f"api/runs/{run['id']}/events?limit=1000").json()["items"]
        assert [event["seq"] for event in events] == list(range(1, ended["last_seq"] + 1))
        sessions = {e["payload"]["session_id"] for e in events if e["payload"].get("subtype") == "init"}
        assert sessions == {run["session_id"]}
        # The resumed session knows what was said before it was killed.
        assert any("I start." in str(request.body["messages"]) for request in server.model.messages[1:])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["as Kubernetes does", "as a local hub does"])
def test_a_stop_in_order_interrupts_runs_and_keeps_everything(start_server: StartServer, how: signal.Signals) -> None:
    with start_server(SCRIPT) as server:
        server.agent(tools=["Bash(*)"])
        run = server.start("work")
        server.seen(run["id"], "time.sleep")
        server.process.send_signal(how)
        server.process.wait(20)
        assert server.process.returncode == 0
    with start_server() as server:
        found = server.run(run["id"])
        assert found["status"] == "interrupted"
        assert "stopped" in found["error"]["message"]


def test_a_second_server_in_the_same_home_leaves_the_runs_of_the_first_alone(start_server: StartServer) -> None:
    with start_server(SCRIPT) as first:
        first.agent(tools=["Bash(*)"])
        run = first.start("work")
        first.seen(run["id"], "time.sleep")
        with start_server() as second:
            assert second.run(run["id"])["status"] == "running"
        assert first.run(run["id"])["status"] == "running"
        assert first.post(f"api/runs/{run['id']}/cancel").json()["status"] == "cancelled"


def below(pid: int) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def says(process: psutil.Process, words: str) -> bool:
    """Whether its command line has the words; one that is gone says nothing."""
    with suppress(psutil.NoSuchProcess):
        return words in " ".join(process.cmdline())
    return False
