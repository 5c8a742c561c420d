"""Agents of others, in a workspace: a real server, the real CLI, the service's store in a process of its own."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from jupyterhub_agents.ids import new_id
from jupyterhub_agents.models import (
    CONVERSATION_MARK,
    AgentSpec,
    ShareAccess,
    ShareKind,
    agent_reference,
    shared_directory,
    split_reference,
)
from jupyterhub_agents.store.remote import RemoteStore
from jupyterhub_agents.testing.replies import say, use
from jupyterhub_agents.testing.store_contract.samples import OTHERS_GROUPS
from tests.service.store_service import Service, remote_store, running_service
from tests.workspace import Place, Server, StartServer

T = TypeVar("T")

LONG = "python3 -c 'import time; time.sleep(600)'"
SCRIPT: dict[str, Any] = {
    "where are you": [use("Bash", {"command": "pwd > where.txt"}), say("I looked.")],
    "and again": [say("Still here.")],
    "take long": [use("Bash", {"command": LONG}), say("Never said.")],
    "ask me": [use("Bash", {"command": "git init asked"}), say("You let me.")],
    "my own": [say("Yours alone.")],
}


def environment(url: str) -> dict[str, str]:
    """What the hub gives the workspace of grace, who is in a group."""
    return {
        "JUPYTERHUB_AGENTS_STORE_URL": url, "JUPYTERHUB_API_TOKEN": "token-of-grace", "JUPYTERHUB_USER": "grace",
    }  # fmt: skip


def ask(url: str, call: Callable[[RemoteStore], Awaitable[T]]) -> T:
    async def asked() -> T:
        async with remote_store(url) as store:
            return await call(store)

    return asyncio.run(asked())


def make(url: str, agent_id: str, **fields: Any) -> None:
    """An agent of ada's."""
    ask(url, lambda store: store.create_agent("ada", agent_id, AgentSpec(name=agent_id, **fields)))


def give(url: str, agent_id: str, access: ShareAccess = ShareAccess.USE, kind: ShareKind = ShareKind.GROUP) -> None:
    """Share it with grace, or with a group that she is in."""
    name = OTHERS_GROUPS[0] if kind is ShareKind.GROUP else "grace"
    ask(url, lambda store: store.share_agent("ada", agent_id, kind, name, access))


def withdraw(url: str, agent_id: str) -> None:
    ask(url, lambda store: store.unshare_agent("ada", agent_id, ShareKind.GROUP, OTHERS_GROUPS[0]))


def start(server: Server, agent: str, prompt: str, **fields: Any) -> dict[str, Any]:
    answer = server.post(f"api/shared/{agent}/runs", {"prompt": prompt, **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def door(server: Server) -> httpx.Client:
    """What a program of the workspace that holds no token uses."""
    named = server.home / ".local" / "share" / "jupyterhub-agents" / "door"
    deadline = time.monotonic() + 30
    while not named.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    transport = httpx.HTTPTransport(uds=named.read_text())
    return httpx.Client(base_url="http://workspace", transport=transport, timeout=30)


@pytest.mark.parametrize(
    ("owner", "folder"),
    [
        ("ana", "ana"),
        ("ana@example.org", "ana@example.org"),
        ("ünï", "ünï"),
        ("a/../b", "a%2F..%2Fb"),
        ("..", "%2E%2E"),
        ("100%", "100%25"),
    ],
)
def test_anothers_agent_has_a_folder_of_its_own_below_shared(owner: str, folder: str) -> None:
    assert shared_directory(owner, "reviewer") == f"shared/{folder}/reviewer"
    assert split_reference(agent_reference(owner, "reviewer")) == (owner, "reviewer")


def test_no_owners_name_is_too_long_for_a_folder() -> None:
    one, other = (shared_directory("ü" * 254 + end, "reviewer").split("/") for end in "ab")
    assert len(one) == len(other) == 3 and one != other and len(one[1].encode()) < 255


@pytest.fixture(scope="module")
def url(service: Service) -> str:
    return service.url(new_id())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, url: str) -> Iterator[Server]:
    """The workspace of grace."""
    place = Place(tmp_path_factory.mktemp("grace"))
    with place.start(SCRIPT, "--WarmPool.size=1", env=environment(url)) as running:
        yield running
    place.close()


def test_a_shared_agent_runs_in_ones_own_home_for_as_long_as_it_is_shared(server: Server, url: str) -> None:
    make(url, "reviewer", tools=["Bash(*)"], directory="projects/ada", instructions="Look well.")
    assert server.post("api/shared/ada/reviewer/runs", {"prompt": "where are you"}).status_code == 404
    give(url, "reviewer")
    (shared,) = server.get("api/shared").json()["items"]
    assert (shared["agent"]["owner"], shared["agent"]["id"], shared["access"]) == ("ada", "reviewer", "use")
    assert server.get("api/shared/ada/reviewer").json() == shared

    run = server.finish(start(server, "ada/reviewer", "where are you")["id"])
    assert (run["status"], run["result"]) == ("succeeded", "I looked."), run
    assert (run["owner"], run["agent_owner"], run["agent_id"]) == ("grace", "ada", "reviewer")
    folder = server.home / "shared" / "ada" / "reviewer"
    assert Path((folder / "where.txt").read_text().strip()) == folder.resolve()
    assert any("Look well." in str(request.body.get("system")) for request in server.model.messages)

    # It is no run of an own agent of that id, and its conversation is the shared agent's.
    server.agent("reviewer")
    assert server.get("api/agents/reviewer/runs").json()["items"] == []
    assert [each["id"] for each in server.get("api/runs?agent=ada/reviewer").json()["items"]] == [run["id"]]
    mixed = server.post("api/agents/reviewer/runs", {"prompt": "and again", "continues": run["id"]})
    assert mixed.status_code == 400 and "ada/reviewer" in mixed.json()["message"]
    more = server.finish(start(server, "ada/reviewer", "and again", continues=run["id"])["id"])
    assert (more["result"], more["session_id"]) == ("Still here.", run["session_id"])

    broken = start(server, "ada/reviewer", "take long")
    server.seen(broken["id"], "time.sleep")
    assert server.post(f"api/runs/{broken['id']}/cancel").status_code == 202
    assert server.finish(broken["id"])["status"] == "cancelled"
    withdraw(url, "reviewer")
    assert server.get("api/shared").json()["items"] == []
    for refused in (
        server.get("api/shared/ada/reviewer"),
        server.post("api/shared/ada/reviewer/runs", {"prompt": "where are you"}),
        server.post("api/shared/ada/reviewer/runs", {"prompt": "and again", "continues": run["id"]}),
        server.post("api/shared/ada/reviewer/copy"),
    ):
        assert refused.status_code == 404, refused.text
        assert "withdrawn" in refused.json()["message"]
    resumed = server.post(f"api/runs/{broken['id']}/resume")
    assert resumed.status_code == 403 and "Ask ada to share it again" in resumed.json()["message"]
    assert server.run(run["id"]) == run
    assert server.get(f"api/runs/{run['id']}/events").json()["items"]
    give(url, "reviewer")
    resumed = server.post(f"api/runs/{broken['id']}/resume", {"prompt": "and again"})
    assert resumed.status_code == 202, resumed.text
    assert server.finish(broken["id"])["result"] == "Still here."
    ask(url, lambda store: store.delete_agent("ada", "reviewer", revision=1))


def test_what_anothers_agent_may_always_do_is_not_for_its_users_to_say(server: Server, url: str) -> None:
    make(url, "careful")
    give(url, "careful")
    run = start(server, "ada/careful", "ask me")
    server.until(run["id"], "waiting")
    (approval,) = server.get(f"api/approvals?run={run['id']}&waiting=true").json()["items"]
    assert (approval["agent_owner"], approval["agent_id"]) == ("ada", "careful")
    always = server.post(f"api/approvals/{approval['id']}/decide", {"decision": "agent"})
    assert always.status_code == 403
    assert "`run`" in always.json()["message"] and "copy" in always.json()["message"]
    assert server.run(run["id"])["status"] == "waiting"
    assert server.post(f"api/approvals/{approval['id']}/decide", {"decision": "run"}).status_code == 200
    assert server.finish(run["id"])["result"] == "You let me."
    assert ask(url, lambda store: store.get_agent("ada", "careful")).revision == 1


def test_a_copy_is_ones_own_where_copying_is_allowed(server: Server, url: str) -> None:
    make(url, "template", instructions="Ours.", front_matter={CONVERSATION_MARK: True, "color": "red"})
    give(url, "template")
    refused = server.post("api/shared/ada/template/copy")
    assert refused.status_code == 403 and "not to copy" in refused.json()["message"]
    give(url, "template", ShareAccess.COPY, ShareKind.PERSON)
    made = server.post("api/shared/ada/template/copy")
    assert made.status_code == 201, made.text
    copy = made.json()
    assert (copy["id"], copy["owner"], copy["instructions"]) == ("template", "grace", "Ours.")
    assert copy["front_matter"] == {"color": "red"}
    assert server.post("api/shared/ada/template/copy").json()["id"] == "template-2"
    assert server.post("api/shared/ada/template/copy", {"id": "mine"}).json()["id"] == "mine"
    assert server.post("api/shared/ada/template/copy", {"id": "mine"}).status_code == 409
    ask(url, lambda store: store.delete_agent("ada", "template", revision=1))
    assert server.finish(server.start("my own", "template")["id"])["status"] == "succeeded"


def test_who_shares_is_told_of_what_others_will_see(server: Server) -> None:
    server.agent("plain")
    server.agent("secretive", mcp_servers={"tickets": {"command": "serve", "env": {"KEY": "hidden-key"}}})
    path = "api/agents/secretive/shares/person/ada"
    made = server.http.put(path, json={"access": "copy"})
    assert made.status_code == 200, made.text
    assert "tickets" in made.json()["notice"] and "hidden-key" not in made.text
    assert server.http.put("api/agents/plain/shares/group/%2Fteam%2F%C3%BC", json={}).json()["notice"] is None
    (share,) = server.get("api/agents/plain/shares").json()["items"]
    assert (share["kind"], share["name"], share["access"], share["revision"]) == ("group", "/team/ü", "use", 1)
    assert server.http.put("api/agents/plain/shares/person/grace", json={}).status_code == 400
    assert server.http.put("api/agents/plain/shares/robot/ada", json={}).status_code == 400
    assert server.http.put("api/agents/nothing/shares/person/ada", json={}).status_code == 404
    assert server.http.delete(path).status_code == 204
    assert server.http.delete(path).status_code == 404
    assert server.get("api/agents/secretive/shares").json()["items"] == []


def test_a_program_without_a_token_runs_what_is_shared_and_shares_nothing(server: Server, url: str) -> None:
    make(url, "offered", tools=["Bash(*)"])
    give(url, "offered")
    server.agent("kept")
    with door(server) as http:
        assert "offered" in [each["agent"]["id"] for each in http.get("api/shared").json()["items"]]
        run = http.post("api/shared/ada/offered/runs", json={"prompt": "my own"})
        assert run.status_code == 201, run.text
        refused = http.put("api/agents/kept/shares/person/ada", json={})
        assert refused.status_code == 403 and "for the person" in refused.json()["message"]
    assert server.finish(run.json()["id"])["result"] == "Yours alone."
    assert server.get("api/agents/kept/shares").json()["items"] == []


def test_nothing_of_anothers_agent_is_started_before_it_is_asked_for(server: Server, url: str) -> None:
    tally = server.home / "tally"
    code = f"import os; open({str(tally)!r}, 'a').write(f'{{os.getppid()}} ')"
    make(url, "counted", mcp_servers={"tally": {"command": sys.executable, "args": ["-c", code]}})
    give(url, "counted")
    for _ in range(2):
        assert server.finish(start(server, "ada/counted", "my own")["id"])["status"] == "succeeded"
    server.agent("once")
    assert server.finish(server.start("my own", "once")["id"])["status"] == "succeeded"
    # A CLI waits for the next run: not for the agent that was run most of late, which is another's.
    deadline = time.monotonic() + 60
    while "jupyterhub_agents_warm_processes 1.0" not in server.get("metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(set(tally.read_text().split())) == 2, "one CLI a run has started its MCP server"


def test_a_run_that_waits_outlasts_a_withdrawal_only_until_it_would_go_on(
    start_server: StartServer, tmp_path: Path
) -> None:
    with running_service(tmp_path / "service") as service:
        url = service.url("store")
        make(url, "careful")
        give(url, "careful")
        with start_server(SCRIPT, env=environment(url)) as server:
            run = start(server, "ada/careful", "ask me")
            server.until(run["id"], "waiting")
            server.kill()
        withdraw(url, "careful")
        service.kill()
        # The workspace begins without the service, and the run waits on.
        with start_server(env=environment(url)) as server:
            assert server.run(run["id"])["status"] == "waiting"
            away = server.get("api/shared")
            assert away.status_code == 503 and "your own agents" in away.json()["message"]
            service.start()
            (approval,) = server.get(f"api/approvals?run={run['id']}&waiting=true").json()["items"]
            decided = server.post(f"api/approvals/{approval['id']}/decide", {"decision": "once"})
            assert decided.status_code == 200, decided.text
            ended = server.finish(run["id"])
            assert (ended["status"], ended["error"]["code"]) == ("failed", "not_allowed"), ended
            assert "Ask ada to share it again" in ended["error"]["message"]
            assert not (server.home / "shared" / "ada" / "careful" / "asked").exists()


def test_where_no_service_keeps_agents_nothing_can_be_shared_and_it_says_why(start_server: StartServer) -> None:
    with start_server(SCRIPT) as server:
        server.agent("alone")
        for refused in (
            server.http.put("api/agents/alone/shares/person/bob", json={}),
            server.http.delete("api/agents/alone/shares/person/bob"),
            server.get("api/shared/ada/reviewer"),
            server.post("api/shared/ada/reviewer/runs", {"prompt": "my own"}),
            server.post("api/shared/ada/reviewer/copy"),
        ):
            assert refused.status_code == 409, refused.text
            assert "keeps its agents in its home alone" in refused.json()["message"]
        assert server.get("api/shared").json()["items"] == []
        assert server.get("api/agents/alone/shares").json()["items"] == []
        assert server.get("api/agents/nothing/shares").status_code == 404
