"""The front door, through the real hub and proxy: to one's own agents from outside, and to nobody else's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from jupyterhub_agents.client import AgentClient, rule_of
from jupyterhub_agents.testing import ScriptedModel
from jupyterhub_agents.testing.replies import say, use
from tests.hub.door import Door, numbers
from tests.hub.people import Person, RunningHub, eventually, running_hub

SCRIPT = {
    "greet": [say("Hello from far away.")],
    "count": [say(" ".join(str(number) for number in range(80))).paced(0.05)],
    "ask first": [use("Bash", {"command": "git init asked-for"}), say("It is made.")],
    "endless": [use("Bash", {"command": "python3 -c 'import time; time.sleep(600)'"})],
    "my function": [use("mcp__notebook__add", {"a": 2, "b": 40}), say("It says 42.")],
    "Continue": [say("I went on.")],
}

CONFIG = """
from hub_config import configure

# A workspace that cannot start, for one person.
async def refuse(spawner):
    if spawner.user.name == "unlucky":
        raise RuntimeError("the disk of this workspace is full")

c.Spawner.pre_spawn_hook = refuse
c.AgentHub.service_arguments = ["--AgentsService.identity_cache_s=1"]
configure(c)
"""


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel(SCRIPT) as running:
        yield running


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, model: ScriptedModel) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("front-door")
    (folder / "jupyterhub_config.py").write_text(CONFIG)
    with running_hub(folder / "state", config=folder / "jupyterhub_config.py", environment=model.env()) as running:
        yield running


@pytest.fixture
def ada(hub: RunningHub) -> Person:
    return hub.person("ada").spawn()


@pytest.fixture
def door(hub: RunningHub, ada: Person) -> Iterator[Door]:
    with Door(hub, "ada", ada.token) as opened:
        if "helper" not in {agent["id"] for agent in opened.get("api/agents")["items"]}:
            opened.make_agent("helper")
        yield opened


def test_the_paths_are_the_workspaces_own(door: Door, ada: Person) -> None:
    for path in ("api/agents", "api/agents/helper", "api/runs", "api/approvals", "api/agents-openapi.json"):
        assert door.get(path) == ada.workspace.get(path).json(), path
    changed = door.http.patch("api/agents/helper", json={"revision": 99, "description": "x"})
    assert (changed.status_code, changed.json()["code"]) == (409, "stale_revision")
    assert door.http.get("api/agents/nothing").json() == ada.workspace.get("api/agents/nothing").json()
    unknown = door.http.get("api/runs?colour=red")
    assert (unknown.status_code, "colour" in unknown.text) == (400, True)


def test_a_run_is_started_and_followed_with_deltas_as_they_come(door: Door) -> None:
    run = door.start("helper", "count")
    told = []
    for item in door.stream("GET", f"api/runs/{run['id']}/events"):
        told.append(item)
        if item[0] == "delta":
            # While it is still being said.
            assert door.get(f"api/runs/{run['id']}")["status"] == "running"
            break
    told += door.stream("GET", f"api/runs/{run['id']}/events?after={max(numbers(told))}")
    assert told[-1][0] == "end"
    assert numbers(told) == list(range(1, told[-1][1]["last_seq"] + 1))
    assert all(number == str(data["seq"]) for kind, data, number in told if kind == "event")


def test_a_stream_is_taken_up_where_the_last_event_id_says(door: Door) -> None:
    run = door.start("helper", "greet")
    whole = list(door.stream("GET", f"api/runs/{run['id']}/events"))
    rest = list(door.stream("GET", f"api/runs/{run['id']}/events", headers={"Last-Event-ID": "2"}))
    assert numbers(rest) == numbers(whole)[2:]
    assert (
        door.http.get(
            f"api/runs/{run['id']}/events", headers={"Accept": "text/event-stream", "Last-Event-ID": "two"}
        ).status_code
        == 400
    )


def test_one_request_starts_a_run_and_follows_it(door: Door) -> None:
    headers = {"Accept": "text/event-stream"}
    told = list(door.stream("POST", "api/agents/helper/runs", headers=headers, json={"prompt": "greet"}))
    assert told[-1][0] == "end" and told[-1][1]["result"] == "Hello from far away."
    assert numbers(told) == list(range(1, told[-1][1]["last_seq"] + 1))
    ((kind, said, _),) = door.stream("POST", "api/agents/nothing/runs", headers=headers, json={"prompt": "greet"})
    assert (kind, said["code"]) == ("error", "not_found")


def test_the_events_come_over_a_websocket_too(door: Door) -> None:
    run = door.start("helper", "greet")
    with door.websocket(f"api/runs/{run['id']}/events?after=1") as socket:
        told = [json.loads(message) for message in socket]
    assert socket.close_code == 1000
    assert next(item["data"]["seq"] for item in told if item["type"] == "event") == 2
    assert told[-1]["type"] == "end"
    with pytest.raises(InvalidStatus) as refused, door.websocket("api/runs/nothing/events"):
        pass
    assert refused.value.response.status_code == 404


def test_a_conversation_is_held_in_requests_and_over_a_websocket(door: Door) -> None:
    answer = door.post("api/conversation", message="greet").json()
    assert (answer["status"], answer["text"]) == ("succeeded", "Hello from far away.")
    with door.websocket("api/conversation") as socket:
        for _ in range(2):
            socket.send(json.dumps({"message": "greet", "conversationId": answer["conversationId"]}))
            told = [json.loads(socket.recv(timeout=60))]
            while told[-1]["type"] not in ("answer", "error"):
                told.append(json.loads(socket.recv(timeout=60)))
            assert told[-1]["data"]["text"] == "Hello from far away."
            assert "event" in {item["type"] for item in told}


def test_approvals_are_listed_and_decided_and_runs_cancelled_and_resumed(door: Door) -> None:
    run = door.start("helper", "ask first")
    (waiting,) = eventually(
        lambda: door.get(f"api/approvals?run={run['id']}&waiting=true")["items"], within=60, what="it asks"
    )
    assert door.post(f"api/approvals/{waiting['id']}/decide", decision="once").status_code == 200
    *_, (kind, ended, _) = door.stream("GET", f"api/runs/{run['id']}/events")
    assert (kind, ended["status"], ended["result"]) == ("end", "succeeded", "It is made.")

    door.http.patch("api/agents/helper", json={"revision": 1, "tools": ["Bash(*)"]})
    run = door.start("helper", "endless")
    eventually(lambda: "time.sleep" in door.http.get(f"api/runs/{run['id']}/events").text, within=60, what="it works")
    assert door.post(f"api/runs/{run['id']}/cancel").status_code == 202
    *_, (_, ended, _) = door.stream("GET", f"api/runs/{run['id']}/events")
    assert ended["status"] == "cancelled"
    assert door.post(f"api/runs/{run['id']}/resume").status_code == 202
    *_, (_, ended, _) = door.stream("GET", f"api/runs/{run['id']}/events")
    assert (ended["status"], ended["result"]) == ("succeeded", "I went on.")


def test_a_program_outside_answers_the_calls_of_its_functions(hub: RunningHub, ada: Person) -> None:
    called: list[tuple[int, int]] = []

    def add(a: int, b: int) -> int:
        called.append((a, b))
        return a + b

    with AgentClient(hub.url, token=ada.token) as client:
        client.save_agent("caller", name="Caller", allowed_tools=[rule_of(add)])
        assert client.run("caller", "my function", tools=[add]).result(60) == "It says 42."
        assert "/services/agents/" in repr(client)
    assert called == [(2, 40)]


READS = (
    "api/agents", "api/agents/helper", "api/agents/helper?revision=1", "api/agents/helper/revisions",
    "api/agents/helper/revisions/1", "api/agents/helper/runs", "api/agents/nothing", "api/runs?limit=1",
    "api/runs?status=succeeded&status=failed", "api/runs?agent=other", "api/runs/{run}", "api/runs/nothing",
    "api/runs/{run}/events", "api/runs/{run}/events?after=2&limit=1", "api/runs/nothing/events", "api/approvals",
    "api/approvals?waiting=true", "api/approvals?run={run}", "api/approvals/{approval}", "api/approvals/nothing",
    "api/agents?colour=red", "api/agents?limit=0", "api/runs?before=never", "api/agents/helper/revisions/99999999999",
)  # fmt: skip


class Asleep(NamedTuple):
    """What `eve` did before her workspace was stopped: a run that has ended, with its approval, and one that waits."""

    eve: Person
    run: str
    approval: str
    waiting: str
    told: list[tuple[str, Any, str]]
    awake: dict[str, httpx.Response]


@pytest.fixture(scope="module")
def asleep(hub: RunningHub) -> Asleep:
    """A workspace that has done something and was stopped. A test may start it, so each puts it to sleep first."""
    eve = hub.person("eve").spawn()
    with Door(hub, "eve", eve.token) as door:

        def asked(agent: str) -> tuple[str, str]:
            door.make_agent(agent)
            run = door.start(agent, "ask first")["id"]
            path = f"api/approvals?run={run}&waiting=true"
            return run, eventually(lambda: door.get(path)["items"], within=60, what="it asks")[0]["id"]

        waiting, _ = asked("asker")
        run, approval = asked("helper")
        assert door.post(f"api/approvals/{approval}/decide", decision="once").status_code == 200
        told = list(door.stream("GET", f"api/runs/{run}/events"))
        assert told[-1][0] == "end"
        eventually(lambda: door.get(f"api/runs/{waiting}")["status"] == "waiting", within=60, what="it waits")
        awake = {path: door.http.get(path) for path in (path.format(run=run, approval=approval) for path in READS)}
    eve.stop()
    return Asleep(eve, run, approval, waiting, told, awake)


def test_a_stopped_workspaces_things_are_read_without_starting_it(hub: RunningHub, asleep: Asleep) -> None:
    eve, run, whole = asleep.eve, asleep.run, asleep.told
    put_to_sleep(eve)
    with Door(hub, "eve", eve.token) as door:
        for path, before in asleep.awake.items():
            # What was told last arrives with the workspace's end.
            answer = door.http.get(path)
            assert (answer.status_code, answer.json()) == (before.status_code, before.json()), path
            assert before.status_code != 200 or before.headers["X-Agents-Source"] == "workspace"
            assert answer.status_code != 200 or answer.headers["X-Agents-Source"] == "store"
        assert [item for item in door.stream("GET", f"api/runs/{run}/events") if item[0] != "delta"] == [
            whole[-1] if item[0] == "end" else ("run", whole[-1][1], "") if item[0] == "run" else item
            for item in [whole[0], *(item for item in whole if item[0] == "event"), whole[-1]]
        ]
        rest = list(door.stream("GET", f"api/runs/{run}/events", headers={"Last-Event-ID": "2"}))
        assert numbers(rest) == numbers(whole)[2:]
        with door.websocket(f"api/runs/{run}/events?after=1") as socket:
            told = [json.loads(message) for message in socket]
        assert [item["data"]["seq"] for item in told if item["type"] == "event"] == numbers(whole)[1:]
        assert not eve.is_ready() and door.get("")["state"] == "stopped"
        for other in (hub.person("bob").token, None):
            with Door(hub, "eve", other) as stranger:
                assert stranger.http.get(f"api/runs/{run}").status_code in (401, 403)


def test_a_stopped_workspace_says_what_only_it_can_do(hub: RunningHub, asleep: Asleep) -> None:
    eve, run = asleep.eve, asleep.waiting
    put_to_sleep(eve)
    with Door(hub, "eve", eve.token) as door:
        assert door.get(f"api/runs/{run}")["status"] == "waiting"
        assert [one["tool"] for one in door.get("api/approvals?waiting=true")["items"]] == ["Bash"]
        events = f"api/runs/{run}/events"
        for answer in (
            door.http.get(events, headers={"Accept": "text/event-stream"}),
            # An EventSource that connects again.
            door.http.get(f"{events}?wake=yes", headers={"Accept": "text/event-stream", "Last-Event-ID": "3"}),
            door.http.get("api/agents-health"),
            door.http.get("api/agents-openapi.json"),
            door.http.get("api/conversation?conversationId=x"),
            door.post("api/agents/helper/runs?wake=no", prompt="greet"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (424, "workspace_not_running"), answer.request.url
        with pytest.raises(InvalidStatus) as refused, door.websocket(events):
            pass
        assert refused.value.response.status_code == 424
        assert not eve.is_ready()
        # It goes on where it was when somebody decides: that starts the workspace.
        (waiting,) = door.get("api/approvals?waiting=true")["items"]
        assert door.post(f"api/approvals/{waiting['id']}/decide", decision="deny").status_code == 200
        *_, (kind, ended, _) = door.stream("GET", events)
        assert (kind, ended["status"]) == ("end", "succeeded")


def put_to_sleep(person: Person) -> None:
    if person.is_ready():
        person.stop()


def test_a_sleeping_workspace_is_started_with_its_progress_in_the_stream(hub: RunningHub, asleep: Asleep) -> None:
    eve = asleep.eve
    put_to_sleep(eve)
    with Door(hub, "eve", eve.token) as door:
        headers = {"Accept": "text/event-stream"}
        told = list(door.stream("POST", "api/agents/helper/runs", headers=headers, json={"prompt": "greet"}))
        kinds = [kind for kind, _, _ in told]
        assert kinds[0] == "progress" and kinds[-1] == "end", kinds
        progress = [data for kind, data, _ in told if kind == "progress"]
        assert progress[-1]["percent"] == 100 and all(step["message"] for step in progress)
        assert "progress" not in kinds[kinds.index("event") :]
        assert numbers(told) == list(range(1, told[-1][1]["last_seq"] + 1))
        # The same for a stream of a run there was, and for a plain request, which waits.
        eve.stop()
        again = list(door.stream("GET", f"api/runs/{told[-1][1]['id']}/events?wake=yes"))
        assert again[0][0] == "progress" and numbers(again) == numbers(told)
        eve.stop()
        assert [agent["id"] for agent in door.get("api/agents?wake=yes")["items"]] == ["asker", "helper"]
        assert eve.is_ready()
        assert door.http.get("api/agents").headers["X-Agents-Source"] == "workspace"


def test_the_door_counts_what_passes_it(hub: RunningHub, door: Door) -> None:
    admin = hub.person("admin")

    def counted(name: str) -> float:
        answer = httpx.get(
            f"{hub.url}/services/agents/metrics",
            headers={"Authorization": f"token {admin.token}"},
            trust_env=False,
            timeout=60,
        )
        (line,) = [line for line in answer.text.splitlines() if line.startswith(f"{name} ")]
        return float(line.rpartition(" ")[2])

    reads = 'agents_front_door_requests_total{kind="read",status="200"}'
    before = counted(reads)
    door.get("api/agents")
    assert counted(reads) == before + 1
    assert counted("agents_front_door_stored_answers_total") > 0
    assert counted('agents_front_door_wake_seconds_count{outcome="started"}') > 0
    assert counted('agents_front_door_requests_total{kind="change",status="424"}') > 0
    run = door.start("helper", "count")
    told = door.stream("GET", f"api/runs/{run['id']}/events")
    next(told)
    assert counted('agents_front_door_open_streams{kind="stream"}') == 1
    list(told)
    eventually(
        lambda: counted('agents_front_door_open_streams{kind="stream"}') == 0, within=30, what="the stream is closed"
    )


def test_a_workspace_can_be_started_for_itself(hub: RunningHub) -> None:
    person = hub.person("early")
    with Door(hub, "early", person.token) as door:
        *steps, (last, state, _) = door.stream("POST", "start", headers={"Accept": "text/event-stream"})
        assert {kind for kind, _, _ in steps} == {"progress"}
        assert (last, state["state"]) == ("ready", "running")
        assert door.post("start").json() == door.get("") == state
        assert state["path"] == "/services/agents/workspace/early/"
        assert person.is_ready()


def test_a_workspace_that_cannot_start_is_told_with_the_hubs_reason(hub: RunningHub) -> None:
    person = hub.person("unlucky")
    with Door(hub, "unlucky", person.token) as door:
        answer = door.http.get("api/agents?wake=yes")
        assert (answer.status_code, answer.json()["code"]) == (424, "workspace_not_running")
        assert "unlucky's workspace did not start" in answer.json()["message"]
        *_, (kind, said, _) = door.stream("POST", "start", headers={"Accept": "text/event-stream"})
        assert (kind, said["code"]) == ("error", "workspace_not_running")


PATHS = ("", "api/agents", "api/runs", "api/agents-health", "api/agents-openapi.json")


def statuses(door: Door) -> set[int]:
    """What each of the paths, and each way to change something, answers."""
    with door:
        found = {door.http.get(path).status_code for path in PATHS}
        found |= {door.post(path).status_code for path in ("start", "api/agents", "api/conversation")}
        stream = door.http.get("api/runs/x/events", headers={"Accept": "text/event-stream"})
        found.add(stream.status_code)
        with pytest.raises(InvalidStatus) as refused, door.websocket("api/runs/x/events"):
            pass
        return found | {refused.value.response.status_code}


def test_another_persons_token_a_wrong_one_and_none_open_nothing(hub: RunningHub, ada: Person) -> None:
    bob = hub.person("bob")
    assert statuses(Door(hub, "ada", bob.token)) == {403}
    # Whether there is such a person is not told.
    assert statuses(Door(hub, "nobody-of-this-name", bob.token)) == {403}
    assert statuses(Door(hub, "ada", "0" * 32)) == {401}
    assert statuses(Door(hub, "ada", None)) == {401}
    assert "without completing handshake" not in (hub.state / "hub.log").read_text()


@pytest.mark.parametrize(
    "scopes",
    [
        ["read:users:name!user"],
        ["access:services!service=agents"],
        ["access:servers!user=ada"],
        ["access:services!service=agents", "servers!user=ada", "read:users!user=ada"],
    ],
    ids=" ".join,
)
def test_a_token_without_both_scopes_opens_nothing(hub: RunningHub, ada: Person, scopes: list[str]) -> None:
    assert statuses(Door(hub, "ada", ada.new_token(scopes=scopes))) == {403}


def test_the_two_scopes_are_enough_where_the_workspace_runs_and_do_not_start_one(hub: RunningHub, ada: Person) -> None:
    def opened(person: Person) -> Door:
        scopes = ["access:services!service=agents", f"access:servers!user={person.name}"]
        return Door(hub, person.name, person.new_token(scopes=scopes))

    with opened(hub.person("frugal")) as door:
        answer = door.http.get("api/agents?wake=yes")
        assert (answer.status_code, "start:servers!user=frugal" in answer.text) == (403, True)
        assert door.get("")["state"] == "stopped"
    with opened(ada) as door:
        assert door.get("api/agents") == ada.workspace.get("api/agents").json()


def test_a_token_that_is_revoked_ends_its_stream_within_a_minute(door: Door, ada: Person, hub: RunningHub) -> None:
    made = ada.api("POST", "users/ada/tokens", json={"note": "short-lived"}).json()
    revision = door.get("api/agents/helper")["revision"]
    door.http.patch("api/agents/helper", json={"revision": revision, "tools": ["Bash(*)"]})
    run = door.start("helper", "endless")
    begin = time.monotonic()
    with Door(hub, "ada", made["token"]) as stranger:
        *_, (kind, said, _) = revoking(ada, made["id"], stranger.stream("GET", f"api/runs/{run['id']}/events"))
        assert (kind, said["code"]) == ("error", "not_signed_in")
        assert time.monotonic() - begin < 60
        assert stranger.http.get("api/agents").status_code == 401
    assert door.post(f"api/runs/{run['id']}/cancel").status_code == 202


def revoking(person: Person, token_id: str, told: Iterator[Any]) -> Iterator[Any]:
    """What is told, with the token revoked when the first of it has come."""
    yield next(told)
    assert person.api("DELETE", f"users/{person.name}/tokens/{token_id}").status_code == 204
    yield from told


def test_an_admin_comes_in_and_starts_a_workspace(hub: RunningHub) -> None:
    hub.person("dora")
    with Door(hub, "dora", hub.person("admin").token) as door:
        assert door.get("api/agents?wake=yes")["items"] == []
    assert hub.person("dora").is_ready()


@pytest.mark.parametrize(
    "path",
    [
        "api/contents",
        "api/kernels",
        "api/agents/../contents",
        "api/agents/%2e%2e/contents",
        "api/agents/..%2f..%2fcontents",
        "api/agents//x",
        "lab",
        "../bob/api/agents",
        "%2e%2e/bob/api/agents",
    ],
)
def test_nothing_else_of_a_workspace_is_reached(hub: RunningHub, ada: Person, door: Door, path: str) -> None:
    # The service's own address: what a proxy in front makes of such a path is its own affair.
    address = service_address(hub)
    url = httpx.URL(f"{address}workspace/ada/").copy_with(raw_path=f"/services/agents/workspace/ada/{path}".encode())
    answer = httpx.get(url, headers={"Authorization": f"token {ada.token}"}, trust_env=False)
    assert answer.status_code in (403, 404), answer.text


def service_address(hub: RunningHub) -> str:
    return str(hub.process("jupyterhub_agents.service.app").environ()["JUPYTERHUB_SERVICE_URL"]) + "/services/agents/"


def test_the_workspace_sees_neither_where_from_nor_a_cookie(door: Door, tmp_path: Path) -> None:
    headers: dict[str, Any] = {"Origin": "https://elsewhere.example", "Cookie": "a=b", "X-Forwarded-Host": "x"}
    assert door.http.get("api/agents", headers=headers).status_code == 200
    answer = door.http.post("api/agents?token=wrong&_xsrf=x", json={"id": "made", "name": "made"}, headers=headers)
    assert answer.status_code == 201, answer.text
    assert "set-cookie" not in answer.headers
