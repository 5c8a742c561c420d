"""A workspace whose runs go to the hub's service: a real server, the real CLI, the API in a process of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from jupyterhub_agents.ids import new_id
from jupyterhub_agents.store import transfer
from jupyterhub_agents.store.remote import RemoteStore
from jupyterhub_agents.testing.replies import say
from tests.service.store_service import Service, remote_store, running_service
from tests.workspace import Server, StartServer

T = TypeVar("T")


def environment(url: str) -> dict[str, str]:
    """What the hub gives a workspace."""
    return {"JUPYTERHUB_AGENTS_STORE_URL": url, "JUPYTERHUB_API_TOKEN": "token-of-ana"}


def ask(url: str, call: Callable[[RemoteStore], Awaitable[T]]) -> T:
    async def asked() -> T:
        async with remote_store(url) as store:
            return await call(store)

    return asyncio.run(asked())


def until_sent(server: Server) -> None:
    deadline = time.monotonic() + 60
    while waiting(server):
        assert time.monotonic() < deadline, server.get("api/agents-health").json()
        time.sleep(0.1)


def waiting(server: Server) -> float:
    lines = server.get("metrics").text.splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith("jupyterhub_agents_replication_waiting "))
    return float(value)


def test_runs_of_a_workspace_are_in_the_service_and_in_its_next_home(
    start_server: StartServer, service: Service, tmp_path: Path
) -> None:
    url = service.url(new_id())
    with start_server({"hello": [say("Good day.")]}, env=environment(url)) as server:
        server.agent()
        run = server.finish(server.start("hello")["id"])
        assert run["status"] == "succeeded", run
        events: list[Any] = server.get(f"api/runs/{run['id']}/events").json()["items"]
        assert server.get("api/agents-health").json()["notes"] == []
        until_sent(server)
    there = ask(url, lambda store: store.list_events("ana", run["id"]))
    assert [event.model_dump(mode="json") for event in there] == events
    end = ask(url, lambda store: transfer.digest(store, "ana"))
    assert end.counts.run == 1
    assert end.counts.transcript == 1
    database = tmp_path / "home" / ".local" / "share" / "jupyterhub-agents" / "agents.db"
    assert database.exists()
    for file in database.parent.glob("agents.db*"):
        file.unlink()
    with start_server({"again": [say("Here I am.")]}, env=environment(url)) as server:
        assert [agent["id"] for agent in server.get("api/agents").json()["items"]] == ["helper"]
        assert server.run(run["id"]) == run
        assert server.get(f"api/runs/{run['id']}/events").json()["items"] == events
        second = server.finish(server.start("again", continues=run["id"])["id"])
        assert second["result"] == "Here I am."


def test_a_run_goes_on_while_the_service_is_away_and_the_person_is_told(
    start_server: StartServer, tmp_path: Path
) -> None:
    with running_service(tmp_path / "service") as service:
        url = service.url("store")
        with start_server({"hello": [say("Good day.")]}, env=environment(url)) as server:
            server.agent()
            service.kill()
            run = server.finish(server.start("hello")["id"])
            assert run["result"] == "Good day."
            deadline = time.monotonic() + 60
            while not (notes := server.get("api/agents-health").json()["notes"]):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert "runs go on" in notes[0]
            assert waiting(server) > 0
            answer = server.post("api/agents", {"id": "writer", "name": "writer"})
            assert answer.status_code == 503
            assert "Agents cannot be changed now" in answer.json()["message"]
            service.start()
            until_sent(server)
        assert ask(url, lambda store: store.get_run("ana", run["id"])).result == "Good day."
