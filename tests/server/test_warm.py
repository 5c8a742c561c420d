"""The warm pool as a workspace has it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from jupyterhub_agents.testing.replies import say
from tests.workspace import Server, StartServer

HELLO = [say("Hello.")] * 20
WARM = ("--WarmPool.size=1", "--WarmPool.spare_memory_mb=0")


def clis(server: Server) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        try:
            if Path(process.exe()).name == "claude":
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def figure(server: Server, name: str) -> float:
    for line in server.get("metrics").text.splitlines():
        if line.startswith(f"jupyterhub_agents_{name} "):
            return float(line.rpartition(" ")[2])
    return 0


def until(what: Callable[[], bool], within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def waits(server: Server) -> bool:
    return figure(server, "warm_processes") == 1


def test_a_second_run_finds_a_process_waiting_and_the_figures_say_so(start_server: StartServer) -> None:
    with start_server(HELLO, *WARM) as server:
        server.agent()
        assert (clis(server), waits(server)) == ([], False)
        server.finish(server.start("hello")["id"])
        until(lambda: waits(server))
        assert (figure(server, "cli_processes"), figure(server, "unfinished_runs")) == (0, 0)
        [cli] = clis(server)
        run = server.finish(server.start("hello")["id"])
        assert (run["status"], run["result"]) == ("succeeded", "Hello.")
        assert figure(server, 'warm_starts_total{outcome="hit"}') == 1
        assert figure(server, 'warm_starts_total{outcome="miss"}') == 1
        until(lambda: not cli.is_running())


def test_an_agent_that_is_changed_restored_or_deleted_leaves_nothing_waiting(start_server: StartServer) -> None:
    with start_server(HELLO, *WARM) as server:
        server.agent(instructions="I am the first.")
        server.finish(server.start("hello")["id"])
        until(lambda: waits(server))
        [first] = clis(server)
        assert server.http.patch("api/agents/helper", json={"revision": 1, "instructions": "New."}).status_code == 200
        until(lambda: not first.is_running() and waits(server))
        [second] = clis(server)
        restored = server.post("api/agents/helper/revisions/1/restore", {"revision": 2})
        assert restored.status_code == 200, restored.text
        until(lambda: not second.is_running() and waits(server))
        server.finish(server.start("hello")["id"])
        assert figure(server, 'warm_starts_total{outcome="hit"}') == 1
        assert "I am the first." in str(server.model.requests[-1].body["system"])
        until(lambda: waits(server))
        assert server.http.delete("api/agents/helper", params={"revision": 3}).status_code == 204
        until(lambda: clis(server) == [])


def test_none_waits_where_the_site_wants_none(start_server: StartServer) -> None:
    with start_server(HELLO, "--WarmPool.size=0") as server:
        server.agent()
        server.finish(server.start("hello")["id"])
        time.sleep(1)
        assert clis(server) == []
