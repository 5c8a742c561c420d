"""A person on a cluster: sign in, get a pod, have an agent work in it, and find all of it again in the next one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.kubectl import Refused
from tests.cluster.rules import against_autopilot, against_restricted
from tests.cluster.runs import decide_all, end_of, events, make_agent, results, start, status
from tests.cluster.site import DENIED, MODEL_KEY, Site
from tests.hub.kernel import Kernel
from tests.hub.people import Person, eventually
from tests.terminal.workspace import Terminal


@pytest.fixture(scope="module")
def told(site: Site) -> list[dict[str, Any]]:
    """What Ana's page says while her workspace starts for the first time."""
    ana = site.person("ana")
    answer = ana.api("POST", "users/ana/server")
    assert answer.status_code == 202, answer.text
    answer = ana.api("GET", "users/ana/server/progress", timeout=90)
    return [json.loads(line.removeprefix("data:")) for line in answer.text.splitlines() if line.startswith("data:")]


@pytest.fixture(scope="module")
def ana(site: Site, told: list[dict[str, Any]]) -> Iterator[Person]:
    """Somebody whose workspace runs, with an agent that may use Bash without asking, and one that has to ask."""
    person = site.person("ana")
    try:
        person.spawn()
    except AssertionError as error:
        raise AssertionError(f"{error}\n{told}\n{site.namespace.what_is_wrong()}") from error
    make_agent(person, "walker", tools=["Bash(*)"])
    make_agent(person, "writer", tools=None)
    yield person


def stop(site: Site, person: Person) -> None:
    """Stop the workspace as the hub does, and wait until its pod is gone."""
    pod = site.pod_name(person)
    person.stop()
    eventually(lambda: pod not in pods(site), within=60, what="the pod is gone")


def pods(site: Site) -> list[str]:
    found = site.namespace.all("pods", component="singleuser-server")
    return [str(pod["metadata"]["name"]) for pod in found]


def test_a_start_is_told_in_plain_words(ana: Person, told: list[dict[str, Any]]) -> None:
    said = [item["message"] for item in told]
    assert "There is a machine for your workspace." in said
    assert "Your workspace runs. JupyterLab is starting in it." in said
    assert not [text for text in said if "[Normal]" in text]
    percents = [item["progress"] for item in told if "progress" in item]
    assert percents == sorted(percents) and told[-1]["ready"]


def test_a_call_is_approved_and_what_it_wrote_is_there_after_the_pod(site: Site, ana: Person) -> None:
    run = start(ana, "writer", "Please write a note.")
    assert decide_all(ana, run) == 1
    assert end_of(ana, run) == "succeeded"
    before = events(ana, run)
    first = site.workspace_pod(ana)["metadata"]["uid"]

    stop(site, ana)
    ana.spawn()

    assert site.workspace_pod(ana)["metadata"]["uid"] != first
    assert events(ana, run) == before
    run = start(ana, "writer", "Please read the note.", continues=run)
    decide_all(ana, run)
    assert end_of(ana, run) == "succeeded"
    assert "Kept on the volume." in results(ana, run)


def test_lab_a_notebook_and_the_terminal_with_claude_code_work_on_a_read_only_root(site: Site, ana: Person) -> None:
    assert ana.workspace.get("lab").status_code == 200
    with Kernel(ana) as kernel:
        assert kernel.execute("import numpy, pandas; print(int(numpy.arange(4).sum()))").strip() == "6"
    address = f"{ana.base_url.replace('http://', 'ws://')}claude-code/ws"
    assert ana.workspace.get("claude-code/").status_code == 200
    with Terminal(address, {"Authorization": f"token {ana.token}"}) as terminal:
        terminal.read_until("/effort", 90)
        terminal.type("hello")
        terminal.read_until("hello")
        terminal.type("\r")
        terminal.read_until("Hello from the model.", 60)


def test_the_workspaces_pod_is_admitted_and_has_no_credential(site: Site, ana: Person) -> None:
    pod = site.workspace_pod(ana)
    assert against_restricted(pod) == []
    del pod["spec"]["nodeName"]  # the scheduler's
    assert against_autopilot(pod) == []
    name = pod["metadata"]["name"]
    with pytest.raises(Refused, match="No such file"):
        site.namespace.inside(name, "ls", "/var/run/secrets/kubernetes.io")
    _, said = site.namespace.try_inside(name, "cat /proc/*/environ | tr '\\0' '\\n'")
    assert "ANTHROPIC_BASE_URL=" in said
    assert MODEL_KEY not in said
    status = site.namespace.inside(name, "cat", "/proc/1/status")
    assert "NoNewPrivs:\t1" in status and "CapEff:\t0000000000000000" in status and "Uid:\t1000" in status


def test_every_pod_of_the_site_is_admitted(site: Site, ana: Person) -> None:
    found = site.namespace.all("pods")
    assert len(found) >= 5
    assert {pod["metadata"]["name"]: against_restricted(pod) for pod in found if against_restricted(pod)} == {}


def test_an_agent_cannot_loosen_the_policy(site: Site, ana: Person) -> None:
    assert DENIED == "Bash(curl:*)"
    run = start(ana, "walker", "Please loosen the policy.")
    decide_all(ana, run)  # not even when the person allows it
    assert end_of(ana, run) == "succeeded"
    said = results(ana, run)
    assert "Read-only file system" in said and "managed-settings.json" in said and "uid=0" not in said
    pod = site.pod_name(ana)
    assert "parentSettingsBehavior" in site.namespace.inside(pod, "cat", "/etc/claude-code/managed-settings.json")
    # What the agent may without asking, a project's own settings, and the person's: the hub's policy is above them.
    site.namespace.inside(
        pod, "sh", "-c",
        "for f in ~/.claude/settings.json ~/agents/walker/.claude/settings.json; do mkdir -p $(dirname $f);"
        " echo '{\"permissions\": {\"allow\": [\"Bash(curl:*)\"]}}' > $f; done",
    )  # fmt: skip
    run = start(ana, "walker", "Please fetch the page.")
    assert decide_all(ana, run) == 0
    assert end_of(ana, run) == "succeeded"
    assert "has been denied" in results(ana, run), results(ana, run)
    site.namespace.inside(pod, "sh", "-c", "rm ~/.claude/settings.json ~/agents/walker/.claude/settings.json")


def test_a_run_under_way_is_interrupted_loses_nothing_and_goes_on_in_the_next_pod(site: Site, ana: Person) -> None:
    run = start(ana, "walker", "Please take the steps.")
    seen = eventually(
        lambda: found if "step 2" in str(found := events(ana, run)) else [], within=60, what="the run takes its steps"
    )
    stop(site, ana)
    ana.spawn()

    assert status(ana, run) == "interrupted"
    after = events(ana, run)
    assert after[: len(seen)] == seen
    answer = ana.workspace.post(f"api/runs/{run}/resume", json={"prompt": "Continue."})
    assert answer.status_code == 202, answer.text
    assert end_of(ana, run) == "succeeded"
    assert "I am back, and done." in results(ana, run)
    assert events(ana, run)[: len(after)] == after
