"""Each part is restarted in the middle of a run: the run goes on, and those who follow it see no gap and no repeat."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from jupyterhub_agents.client import AgentClient
from jupyterhub_agents.client.sync import RunHandle
from jupyterhub_agents.models import Event, RunStatus
from jupyterhub_agents.testing import ScriptedModel
from jupyterhub_agents.testing.replies import say, use
from tests.hub.door import Door, numbers
from tests.hub.people import Person, RunningHub, eventually, running_hub
from tests.hub.standing import StandingHub, standing_hub

WITHIN_S = 200.0


def wait_for(name: str) -> dict[str, object]:
    """A command that lasts until there is a file of this name."""
    code = f"import os, time\nwhile not os.path.exists({name!r}): time.sleep(0.05)"
    return {"command": f'python3 -c "{code}" && echo saw {name}', "timeout": 600_000}


SCRIPT = {
    "work": [
        say("I wait.") + use("Bash", wait_for("one")),
        say("One is there.") + use("Bash", wait_for("two")),
        say("Two is there.") + use("Bash", wait_for("three")),
        say("All are there."),
    ]
}


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel(SCRIPT) as running:
        yield running


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, model: ScriptedModel) -> Iterator[StandingHub]:
    with standing_hub(tmp_path_factory.mktemp("standing"), model.env()) as hub:
        yield hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, model: ScriptedModel) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("restarts") / "state", environment=model.env()) as running:
        yield running


class Reader(threading.Thread):
    """Somebody who follows a run from its beginning, and keeps what they are told."""

    def __init__(self, run: RunHandle) -> None:
        super().__init__(name=f"read {run.id}")
        self.run_ = run
        self.events: list[Event] = []
        self.start()

    def run(self) -> None:
        for event in self.run_:
            self.events.append(event)

    def said(self, words: str) -> bool:
        return any(words in str(event.payload) for event in list(self.events))


class Work:
    """A run that waits for files, and two who follow it: through the front door, and at the workspace itself."""

    def __init__(self, person: Person, agent: str, clients: list[AgentClient]) -> None:
        self._folder = person.home / "agents" / agent
        self.run = clients[0].create_agent(agent, id=agent, tools=["Bash(*)"]).run("work")
        self.readers = [Reader(client.get_run(self.run.id)) for client in clients]
        self.until("I wait.")

    def until(self, words: str) -> None:
        def all_read() -> bool:
            told = [reader.said(words) for reader in self.readers]
            assert all(told) or any(reader.is_alive() for reader in self.readers), self.run.refresh()
            return all(told)

        eventually(all_read, within=WITHIN_S, what=f"all read {words!r}")

    def give(self, name: str) -> None:
        (self._folder / name).touch()

    def ended_well(self) -> None:
        """Both saw the whole of it, and each event once."""
        for reader in self.readers:
            reader.join(WITHIN_S)
            assert not reader.is_alive()
        run = self.run.refresh().record
        assert (run.status, run.result) == (RunStatus.SUCCEEDED, "All are there.")
        for reader in self.readers:
            assert [event.seq for event in reader.events] == list(range(1, run.last_seq + 1))


@contextmanager
def work(person: Person, agent: str) -> Iterator[Work]:
    with ExitStack() as stack:
        through = stack.enter_context(AgentClient(person.hub.url, token=person.token))
        direct = stack.enter_context(AgentClient(workspace_url=person.base_url, token=person.token))
        done = Work(person, agent, [through, direct])
        assert "/services/agents/workspace/" in repr(through)
        try:
            yield done
        finally:
            for name in ("one", "two", "three"):
                done.give(name)
            for reader in done.readers:
                reader.join(WITHIN_S)


@pytest.fixture(scope="module")
def ada(standing: StandingHub) -> Person:
    return standing.person("ada").spawn()


@pytest.fixture
def bob(hub: RunningHub) -> Person:
    return hub.person("bob").spawn()


@pytest.mark.parametrize(
    ("part", "sign"),
    [
        ("hub", signal.SIGTERM),
        ("hub", signal.SIGKILL),
        ("proxy", signal.SIGKILL),
        ("service", signal.SIGTERM),
        ("service", signal.SIGKILL),
    ],
    ids=lambda value: value if isinstance(value, str) else signal.Signals(value).name,
)
def test_a_run_and_its_readers_outlast_a_part_that_restarts(
    standing: StandingHub, ada: Person, part: str, sign: signal.Signals
) -> None:
    with work(ada, f"{part}-{sign.name.lower()}") as going:
        going.give("one")
        going.until("One is there.")
        before = len(standing.log)
        standing.end(part, sign)
        if part == "service":
            assert "Traceback" not in standing.log[before:]
        going.give("two")  # the run goes on while the part is away, or waits for it
        standing.start(part)
        going.until("Two is there.")
        going.give("three")
        going.ended_well()
    assert ada.is_ready()


def test_a_reader_waits_for_the_front_doors_route(standing: StandingHub, ada: Person) -> None:
    with work(ada, "forgotten") as going:
        going.give("one")
        going.until("One is there.")

        def is_sent_to_the_hub() -> bool:
            # As for a moment in each restart, when the hub has told the proxy of itself and not yet of the service.
            standing.forget_route("/services/agents/")
            return f"302 GET /services/agents/workspace/ada/api/runs/{going.run.id}/events" in standing.log

        for _ in range(5):
            standing.end("proxy", signal.SIGKILL)
            standing.start("proxy")
            with suppress(AssertionError):  # it came between two looks
                eventually(is_sent_to_the_hub, within=15, every=0.005, what="the reader is sent to the hub")
                break
        else:
            pytest.fail("the reader always found the service's route")
        going.give("two")
        going.until("Two is there.")
        going.give("three")
        going.ended_well()


@pytest.mark.parametrize(
    ("part", "word"), [("proxy", "configurable-http-proxy"), ("service", "jupyterhub_agents.service.app")]
)
def test_what_the_hub_of_one_machine_starts_it_starts_again_under_a_run(
    hub: RunningHub, bob: Person, part: str, word: str
) -> None:
    with work(bob, f"killed-{part}") as going:
        going.give("one")
        going.until("One is there.")
        hub.process(word).kill()
        going.give("two")
        going.until("Two is there.")
        going.give("three")
        going.ended_well()


def test_the_front_door_keeps_a_stream_open_over_a_restart_of_the_workspace(hub: RunningHub, bob: Person) -> None:
    """The reader outside has one connection, which never breaks."""
    with AgentClient(hub.url, token=bob.token) as client, Door(hub, "bob", bob.token) as door:
        client.create_agent("waits", id="waits", tools=["Bash(*)"])
        run = client.run("waits", "work")
        told = []
        restarted = False
        for item in door.stream("GET", f"api/runs/{run.id}/events"):
            told.append(item)
            if not restarted and item[0] == "event" and "I wait." in str(item[1]):
                bob.stop()
                bob.spawn()
                restarted = True
        assert told[-1][0] == "end"
        assert run.refresh().status is RunStatus.INTERRUPTED
        assert numbers(told) == list(range(1, run.record.last_seq + 1))
