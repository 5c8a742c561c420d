"""The client through a real hub and its proxy: from outside with a token, and inside a workspace without anything."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jupyterhub_agents.client import AgentClient, AsyncAgentClient, Progress, TokenRefused, WorkspaceNotRunning
from jupyterhub_agents.errors import NotAllowed
from jupyterhub_agents.models import Event, RunStatus
from tests import jupyter_process
from tests.hub.people import Person, RunningHub, running_hub
from tests.processes import commands, environment_of

from .conftest import until

SHORT_PROMPT = 'Write hello.txt that says "hi".'
LONG_PROMPT = " ".join(f'Write note{number}.txt that says "{"word " * 20}{number}".' for number in range(6))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("hub") / "state") as running:
        # The client is no frontend: these people have switched off theirs.
        for name in ("ada", "henry", "iris", "judy", "lena"):
            jupyter_process.lean(running.state / "homes" / name / ".jupyter")
        yield running


@pytest.fixture
def ada(hub: RunningHub) -> Person:
    return hub.person("ada")


def workspace_environment(person: Person) -> dict[str, str]:
    """What the programs in the person's workspace inherit."""
    for process in person.hub.processes():
        environment = environment_of(process)
        if environment.get("JUPYTERHUB_USER") == person.name and "singleuser" in " ".join(commands([process])):
            return environment
    pytest.fail("the workspace does not run")


def test_a_workspace_that_is_not_running_is_said(hub: RunningHub) -> None:
    person = hub.person("grace")
    with AgentClient(hub.url, token=person.token, start=False) as client:
        with pytest.raises(WorkspaceNotRunning) as said:
            client.create_agent("waker")
        assert "grace's workspace does not run" in said.value.message
        with pytest.raises(WorkspaceNotRunning):
            client.health()
    with (
        AgentClient(workspace_url=f"{hub.url}/user/grace/", token=person.token) as client,
        pytest.raises(WorkspaceNotRunning) as said,
    ):
        client.agents()
    assert "/user/grace/" in said.value.message
    assert not person.is_ready()


def test_a_sleeping_workspace_is_started_and_told_of(hub: RunningHub) -> None:
    person = hub.person("henry")
    steps: list[Progress] = []
    with AgentClient(hub.url, token=person.token, on_progress=steps.append) as client:
        client.save_agent("waker", permission_mode="acceptEdits")
        assert steps[-1].percent == 100
        person.stop()
        steps.clear()
        again = client.agent("waker").run(SHORT_PROMPT).wait(60)
        assert steps[-1].percent == 100 and again.status is RunStatus.SUCCEEDED


def test_a_sleeping_workspace_is_read_without_starting_it(hub: RunningHub) -> None:
    person = hub.person("lena")
    steps: list[Progress] = []
    with AgentClient(hub.url, token=person.token, on_progress=steps.append) as client:
        assert list(client.agents()) == []
        run = client.save_agent("sleeper", permission_mode="acceptEdits").run(SHORT_PROMPT).wait(60)
        person.stop()
        steps.clear()
        assert [agent.id for agent in client.agents()] == ["sleeper"]
        (again,) = client.runs()
        assert again.record == run.record
        assert [event.seq for event in again] == list(range(1, run.record.last_seq + 1))
        assert again.history() == list(again)
        assert not steps and not person.is_ready()


def test_a_token_for_the_workspace_alone_goes_straight_there(hub: RunningHub, ada: Person) -> None:
    ada.spawn()
    token = ada.new_token(scopes=["access:servers!user=ada"])
    with AgentClient(hub.url, token=token) as client:
        client.agents()
        assert "/user/ada/" in repr(client)
    with AgentClient(hub.url, token=ada.token) as client:
        client.agents()
        assert "/services/agents/workspace/ada/" in repr(client)


@pytest.mark.anyio
async def test_the_same_from_a_program_with_an_event_loop(hub: RunningHub) -> None:
    person = await asyncio.to_thread(hub.person, "iris")
    steps: list[Progress] = []
    async with AsyncAgentClient(hub.url, token=person.token, on_progress=steps.append) as client:
        agent = await client.save_agent("waker", permission_mode="acceptEdits")
        assert steps[-1].percent == 100
        run = await agent.run(SHORT_PROMPT)
        assert "hello.txt" in await run.result(timeout_s=60)


def test_the_command_shows_how_far_a_workspace_is(hub: RunningHub) -> None:
    person = hub.person("judy")
    command = [sys.executable, "-m", "jupyterhub_agents.client", "create", "helper", "--hub", hub.url]
    environment = {**os.environ, "JUPYTERHUB_API_TOKEN": person.token}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.startswith("Created helper.")) == (0, True), done.stderr
    assert "Starting the workspace: 100 %" in done.stderr


def test_a_wrong_token_is_said(hub: RunningHub, ada: Person) -> None:
    ada.spawn()
    with AgentClient(hub.url, token="0" * 32) as client, pytest.raises(TokenRefused):
        client.agents()
    with AgentClient(hub.url, token="0" * 32, user="ada") as client, pytest.raises(NotAllowed):
        client.agents()


def test_from_outside_a_hub_and_a_token_are_enough(hub: RunningHub, ada: Person) -> None:
    ada.spawn()
    with AgentClient(hub.url + "/hub/home", token=ada.token) as client:
        agent = client.save_agent("outsider", permission_mode="acceptEdits")
        run = agent.run(SHORT_PROMPT)
        assert [event.seq for event in run] == list(range(1, run.record.last_seq + 1))
        assert "hello.txt" in run.result(timeout_s=60)
        assert run.notice
    assert (ada.home / "agents" / "outsider" / "hello.txt").read_text().strip() == "hi"


def test_another_persons_token_opens_nothing(hub: RunningHub, ada: Person) -> None:
    ada.spawn()
    with AgentClient(hub.url, token=hub.person("bob").token, user="ada") as client, pytest.raises(NotAllowed):
        client.agents()


def test_inside_a_workspace_nothing_needs_to_be_said(ada: Person) -> None:
    ada.spawn()
    done = subprocess.run(
        [sys.executable, "-m", "jupyterhub_agents.client", "create", "insider"],
        env=workspace_environment(ada), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Created insider.")


def test_a_reader_waits_for_a_workspace_that_restarts(hub: RunningHub, ada: Person) -> None:
    ada.spawn()
    events: list[Event] = []
    with AgentClient(hub.url, token=ada.token) as client:
        run = client.save_agent("restarted", permission_mode="acceptEdits").run(LONG_PROMPT)

        def read() -> None:
            for event in run:
                events.append(event)

        reader = threading.Thread(target=read)
        reader.start()
        until(lambda: any(event.payload.get("type") == "assistant" for event in events))
        ada.stop()
        ada.spawn()
        reader.join(60)
        assert not reader.is_alive()
        assert run.status is RunStatus.INTERRUPTED
        assert [event.seq for event in events] == list(range(1, run.record.last_seq + 1))
        assert run.resume("List the files here.").result(timeout_s=60)


def test_a_token_is_in_no_argument_of_a_process(hub: RunningHub, ada: Person, tmp_path: Path) -> None:
    ada.spawn()
    with AgentClient(hub.url, token=ada.token) as client:
        client.save_agent("carrier", permission_mode="acceptEdits")
    command = [sys.executable, "-m", "jupyterhub_agents.client", "run", "--hub", hub.url, "carrier", SHORT_PROMPT]
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(
            command, env=workspace_environment(ada) | {"JUPYTERHUB_API_TOKEN": ada.token}, stdout=out, stderr=out
        )
        try:
            until(lambda: "JUPYTERHUB_API_TOKEN" in psutil.Process(process.pid).environ())
            assert ada.token not in " ".join(psutil.Process(process.pid).cmdline())
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait(5)
    assert ada.token not in (tmp_path / "out").read_text()
