"""A run under way, and somebody who reads it through the front door, while pods come and go."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.cluster.reader import Reader
from tests.cluster.runs import end_of, events, make_agent, results, start, status
from tests.cluster.script import STEPS
from tests.cluster.site import Site
from tests.hub.door import Door
from tests.hub.people import Person, eventually


@pytest.fixture(scope="module")
def eve(site: Site) -> Iterator[Person]:
    person = site.person("eve").spawn()
    make_agent(person, "walker", tools=["Bash(*)"])
    yield person
    person.stop()


def take_steps(site: Site, person: Person) -> str:
    """A run that takes steps, each of which is in a file and in its events."""
    site.namespace.inside(site.pod_name(person), "sh", "-c", "rm -f ~/agents/walker/steps.txt")
    return start(person, "walker", "Please take the steps.")


def wait_for_step(person: Person, run: str, number: int) -> None:
    eventually(lambda: f"step {number}" in str(events(person, run)), within=90, every=0.3, what="the run takes steps")


def steps(site: Site, person: Person) -> list[str]:
    return site.namespace.inside(site.pod_name(person), "sh", "-c", "cat ~/agents/walker/steps.txt").splitlines()


def evict(site: Site, pod: str) -> None:
    """As `kubectl drain` does."""
    eviction = {
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": pod, "namespace": site.namespace.name},
    }  # fmt: skip
    path = f"/api/v1/namespaces/{site.namespace.name}/pods/{pod}/eviction"
    site.namespace.run("create", f"--raw={path}", "--filename=-", given=json.dumps(eviction))


def resume(person: Person, run: str) -> None:
    answer = person.workspace.post(f"api/runs/{run}/resume", json={"prompt": "Continue."})
    assert answer.status_code == 202, answer.text
    assert end_of(person, run) == "succeeded"
    assert "I am back, and done." in results(person, run)


def test_a_pod_that_is_killed_under_a_run_loses_nothing_that_was_read(site: Site, eve: Person) -> None:
    run = take_steps(site, eve)
    with Reader(site, eve, run) as reader:
        wait_for_step(eve, run, 3)
        before = events(eve, run)
        eventually(lambda: len(reader.numbers) >= len(before), within=30, what="the reader has read that")
        first = site.workspace_pod(eve)["metadata"]["uid"]
        site.namespace.run("delete", "pod", site.pod_name(eve), "--force", "--grace-period=0")
        eventually(lambda: not eve.is_ready(), within=120, what="the hub knows that the pod is gone")
        read = list(reader.numbers)
        eve.spawn()
        assert site.workspace_pod(eve)["metadata"]["uid"] != first
        assert status(eve, run) == "interrupted"
        assert reader.read_to_the_end() == "interrupted"
        # What was read before is what is kept, and what came after follows it: no number is missing or told twice.
        assert reader.numbers[: len(read)] == read
        kept = events(eve, run)
        assert reader.numbers == [event["seq"] for event in kept]
        assert kept[: len(before)] == before
    resume(eve, run)
    assert events(eve, run)[: len(kept)] == kept


def test_a_pod_that_is_drained_interrupts_its_run_in_order(site: Site, eve: Person) -> None:
    run = take_steps(site, eve)
    with Reader(site, eve, run) as reader:
        wait_for_step(eve, run, 2)
        evict(site, site.pod_name(eve))
        eventually(lambda: not eve.is_ready(), within=120, what="the hub knows that the pod is gone")
        with Door(site, eve.name, eve.token) as door:  # type: ignore[arg-type]  # it has the address that this needs
            answer = door.http.get(f"api/runs/{run}")
            # Told by the pod before it went: the workspace does not run, and the store has it all.
            assert answer.headers["X-Agents-Source"] == "store"
            assert answer.json()["status"] == "interrupted"
        assert reader.read_to_the_end() == "interrupted"
        eve.spawn()
        assert reader.numbers == [event["seq"] for event in events(eve, run)]
    resume(eve, run)


@pytest.mark.parametrize("part", ["hub", "agents"])
def test_a_run_and_its_reader_go_on_while_hub_or_service_is_replaced(site: Site, eve: Person, part: str) -> None:
    run = take_steps(site, eve)
    pod = site.workspace_pod(eve)["metadata"]["uid"]
    with Reader(site, eve, run) as reader:
        wait_for_step(eve, run, 1)
        site.namespace.run("rollout", "restart", f"deployment/{part}")
        assert len(steps(site, eve)) < STEPS
        site.namespace.wait_until_available(part)
        assert reader.read_to_the_end() == "succeeded"
        found = events(eve, run)
        assert reader.numbers == [event["seq"] for event in found]
        # The door is the service's: its readers come back when that is replaced, and notice nothing of the hub's.
        assert reader.connections == 1 if part == "hub" else reader.connections >= 2
    assert steps(site, eve) == [f"step {number}" for number in range(STEPS)]
    assert site.workspace_pod(eve)["metadata"]["uid"] == pod
