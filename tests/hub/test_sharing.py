"""People who share agents, through the real hub: who runs what, where, and on whose budget."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from jupyterhub_agents.client import AgentClient, AsyncAgentClient
from jupyterhub_agents.client.mcp_tools import RunAgent, list_agents, run_agent
from jupyterhub_agents.errors import NotFound
from jupyterhub_agents.testing import ScriptedModel
from jupyterhub_agents.testing.replies import say, use
from tests.hub.people import Person, RunningHub, eventually, running_hub

SCRIPT: dict[str, Any] = {
    "look around": [use("Bash", {"command": "pwd > here.txt"}), say("I looked around.")],
    "hello": [say("Hello from the team's agent.")],
}
CONFIG = """
from hub_config import configure

c.AgentHub.service_arguments = ["--AgentsService.identity_cache_s=1"]
configure(c)
"""
SERVICE = "/services/agents"


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel(SCRIPT, api_key="scripted-key-for-tests") as running:
        yield running


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, model: ScriptedModel) -> Iterator[RunningHub]:
    """With ana, bob and cara, and the group team, which bob is in."""
    folder = tmp_path_factory.mktemp("sharing")
    config = folder / "jupyterhub_config.py"
    config.write_text(CONFIG)
    with running_hub(folder / "state", config=config, environment=model.env()) as running:
        for name in ("ana", "bob", "cara"):
            running.person(name)
        admin = running.person("admin")
        assert admin.api("POST", "groups/team").status_code == 201
        assert admin.api("POST", "groups/team/users", json={"users": ["bob"]}).status_code == 200
        yield running


@pytest.fixture(scope="module")
def ana(hub: RunningHub) -> Person:
    person = hub.person("ana").spawn()
    spec = {"id": "reviewer", "name": "Reviewer", "instructions": "Nobody else may know.", "tools": ["Bash(*)"]}
    assert person.workspace.post("api/agents", json=spec).status_code == 201
    return person


@pytest.fixture(scope="module")
def bob(hub: RunningHub) -> Person:
    return hub.person("bob").spawn()


@pytest.fixture(scope="module")
def cara(hub: RunningHub) -> Person:
    return hub.person("cara").spawn()


def service(person: Person, path: str) -> Any:
    """What the hub's service says to a person's token."""
    answer = httpx.get(
        f"{person.hub.url}{SERVICE}/{path}", headers={"Authorization": f"Bearer {person.token}"}, trust_env=False,
        timeout=30,
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    return answer.json()


def share(person: Person, kind: str, name: str, access: str = "use") -> httpx.Response:
    return person.workspace.put(f"api/agents/reviewer/shares/{kind}/{name}", json={"access": access})


def finished(person: Person, run_id: str) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        run = dict(person.workspace.get(f"api/runs/{run_id}").json())
        return run if run["finished_at"] else None

    found = eventually(ended, within=60, what="the run ends")
    assert found is not None
    return found


def calls_of(person: Person, run_id: str) -> list[dict[str, Any]]:
    return list(service(person, f"api/calls/me?run={run_id}")["items"])


def test_an_agent_is_shared_with_people_and_groups_that_the_hub_knows(ana: Person) -> None:
    for kind, name in (("person", "nobody"), ("group", "teem"), ("person", "team"), ("group", "bob")):
        answer = share(ana, kind, name)
        assert answer.status_code == 404, answer.text
        assert f"no {kind} {name!r}" in answer.json()["message"]
    assert ana.workspace.get("api/agents/reviewer/shares").json()["items"] == []
    made = share(ana, "group", "team")
    assert made.status_code == 200, made.text
    (stored,) = ana.workspace.get("api/agents/reviewer/shares").json()["items"]
    assert (stored["kind"], stored["name"], stored["access"]) == ("group", "team", "use")


def test_who_is_in_the_group_runs_it_in_their_own_workspace_and_pays(ana: Person, bob: Person) -> None:
    share(ana, "group", "team")
    (shared,) = bob.workspace.get("api/shared").json()["items"]
    assert (shared["agent"]["owner"], shared["agent"]["id"], shared["access"]) == ("ana", "reviewer", "use")
    answer = bob.workspace.post("api/shared/ana/reviewer/runs", json={"prompt": "look around"})
    assert answer.status_code == 201, answer.text
    run = finished(bob, answer.json()["id"])
    assert (run["status"], run["result"]) == ("succeeded", "I looked around."), run
    assert (run["owner"], run["agent_owner"], run["agent_id"]) == ("bob", "ana", "reviewer")
    folder = bob.home / "shared" / "ana" / "reviewer"
    assert Path((folder / "here.txt").read_text().strip()) == folder.resolve()
    assert not (ana.home / "shared").exists() and not (ana.home / "agents" / "reviewer" / "here.txt").exists()

    calls = eventually(lambda: calls_of(bob, run["id"]), within=30, what="bob's calls are on record")
    assert {(call["person"], call["agent_id"]) for call in calls} == {("bob", "ana/reviewer")}
    assert sum(float(call["cost_usd"]) for call in calls) > 0
    assert service(ana, "api/calls/me")["items"] == []
    assert ana.workspace.get("api/runs").json()["items"] == []


def test_who_is_not_in_the_group_gets_at_it_on_no_path(hub: RunningHub, ana: Person, bob: Person, cara: Person) -> None:
    share(ana, "group", "team")
    assert cara.workspace.get("api/shared").json()["items"] == []
    requests = [
        ("GET", "/user/cara/api/shared/ana/reviewer", 404),
        ("POST", "/user/cara/api/shared/ana/reviewer/runs", 404),
        ("POST", "/user/cara/api/shared/ana/reviewer/copy", 404),
        ("GET", "/user/cara/api/agents/reviewer/shares", 404),
        ("PUT", "/user/cara/api/agents/reviewer/shares/person/cara", 404),
        ("GET", "/user/ana/api/agents/reviewer", 403),
        ("PUT", "/user/ana/api/agents/reviewer/shares/person/cara", 403),
        ("POST", "/user/bob/api/shared/ana/reviewer/runs", 403),
        ("GET", f"{SERVICE}/workspace/cara/api/shared/ana/reviewer", 404),
        ("POST", f"{SERVICE}/workspace/cara/api/shared/ana/reviewer/runs", 404),
        ("POST", f"{SERVICE}/workspace/bob/api/shared/ana/reviewer/runs", 403),
        ("PUT", f"{SERVICE}/workspace/ana/api/agents/reviewer/shares/person/cara", 403),
        ("GET", f"{SERVICE}/store/cara/shared-agent?of=ana&id=reviewer", 404),
        ("GET", f"{SERVICE}/store/bob/shared-agent?of=ana&id=reviewer", 403),
        ("GET", f"{SERVICE}/store/bob/shared", 403),
        ("GET", f"{SERVICE}/store/ana/agents/reviewer", 403),
        ("GET", f"{SERVICE}/store/ana/agents/reviewer/shares", 403),
        ("PUT", f"{SERVICE}/store/ana/agents/reviewer/shares", 403),
    ]
    with httpx.Client(base_url=hub.url, trust_env=False, timeout=30) as http:
        for method, path, status in requests:
            body = {"prompt": "look around"} if path.endswith("/runs") else {}
            answer = http.request(
                method, path, headers={"Authorization": f"Bearer {cara.token}"}, json=None if method == "GET" else body
            )
            assert answer.status_code == status, (method, path, answer.status_code, answer.text)
            assert "Nobody else may know" not in answer.text, (method, path)
    assert cara.workspace.get("api/runs").json()["items"] == []
    assert [each["name"] for each in ana.workspace.get("api/agents/reviewer/shares").json()["items"]] == ["team"]


def test_it_is_run_from_outside_by_command_and_as_a_tool(hub: RunningHub, ana: Person, bob: Person) -> None:
    def command(person: Person, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "jupyterhub_agents.client", *arguments, "--hub", hub.url],
            env={"JUPYTERHUB_API_TOKEN": person.token, "HOME": str(hub.state), "PATH": "/usr/bin:/bin"},
            capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    given = command(ana, "share", "reviewer", "--group", "team", "--copy")
    assert "reviewer\tgroup\tteam\tcopy" in given.stdout, given
    unknown = command(ana, "share", "reviewer", "--group", "/no/such")
    assert unknown.returncode == 3 and "no group '/no/such'" in unknown.stderr, unknown
    listed = command(bob, "shared")
    assert "ana/reviewer\tReviewer\t\t1\tcopy" in listed.stdout, listed
    done = command(bob, "run", "ana/reviewer", "hello")
    assert (done.returncode, done.stdout.strip()) == (0, "Hello from the team's agent."), done
    copied = command(bob, "copy", "ana/reviewer", "--id", "mine")
    assert copied.returncode == 0 and bob.workspace.get("api/agents/mine").json()["owner"] == "bob", copied
    assert bob.workspace.delete("api/agents/mine?revision=1").status_code == 204

    with AgentClient(hub.url, token=bob.token) as client:
        (agent,) = client.shared()
        run = agent.run("hello")
        assert run.result(timeout_s=60) == "Hello from the team's agent."
        assert run.reply("hello").result(timeout_s=60) == "Hello from the team's agent."
        assert client.agent("ana/reviewer").directory == "shared/ana/reviewer"
        assert run.id in [each.id for each in agent.runs()]

    async def tools() -> tuple[dict[str, Any], dict[str, Any]]:
        async def silent(progress: float, message: str) -> None:
            """Nobody looks on."""

        async with AsyncAgentClient(hub.url, token=bob.token) as client:
            given = RunAgent(id="ana/reviewer", prompt="hello")
            return await list_agents(client, None, silent), await run_agent(client, given, silent)

    found, outcome = asyncio.run(tools())
    assert [(each["id"], each["may"]) for each in found["shared"]] == [("ana/reviewer", "copy")]
    assert (outcome["agent_id"], outcome["result"]) == ("ana/reviewer", "Hello from the team's agent.")


def test_who_leaves_the_group_or_is_no_longer_shared_with_runs_it_no_more(
    hub: RunningHub, ana: Person, bob: Person
) -> None:
    admin = hub.person("admin")
    share(ana, "group", "team")
    with AgentClient(hub.url, token=bob.token) as client:
        assert client.run("ana/reviewer", "hello").result(timeout_s=60)
        assert admin.api("DELETE", "groups/team/users", json={"users": ["bob"]}).status_code == 200
        try:
            # The service looks at the hub again within a second here.
            eventually(lambda: not client.shared(), within=30, what="the hub's groups count")
            with pytest.raises(NotFound):
                client.run("ana/reviewer", "hello")
        finally:
            assert admin.api("POST", "groups/team/users", json={"users": ["bob"]}).status_code == 200
        eventually(client.shared, within=30, what="bob is in the group again")
        before = client.run("ana/reviewer", "hello").wait(60)
        with AgentClient(hub.url, token=ana.token) as her:
            her.unshare("reviewer", "team", kind="group")
            assert list(her.shares("reviewer")) == []
        with pytest.raises(NotFound, match="ask ana"):
            client.run("ana/reviewer", "hello")
        with pytest.raises(NotFound):
            before.reply("hello")
        assert list(client.shared()) == []
        assert client.get_run(before.id).record.result == "Hello from the team's agent."
