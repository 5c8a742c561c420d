"""A real hub, its service and the real CLI: a budget that an admin sets is what a person reads."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from jupyterhub_agents.runtime.cli import find_cli
from jupyterhub_agents.testing.scripted_model import ScriptedModel, say
from tests.hub.people import Person, RunningHub, eventually
from tests.service.conftest import ORGANISATION_KEY, hub_with_service, service_process, service_url

MODEL = "claude-haiku-4-5"


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel(say("Good day."), api_key=ORGANISATION_KEY) as model:
        yield model


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, model: ScriptedModel) -> Iterator[RunningHub]:
    environment = {"ANTHROPIC_API_KEY": ORGANISATION_KEY, "ANTHROPIC_BASE_URL": model.url}
    arguments = ("--Budgets.contact=the data team",)
    with hub_with_service(tmp_path_factory.mktemp("budgets"), *arguments, environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def address(hub: RunningHub) -> str:
    """The service's own, which stays the same when the hub starts it again."""
    return service_url(hub)


def ask(address: str, person: Person, method: str, path: str, **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {person.token}"}
    return httpx.request(method, f"{address}api/{path}", headers=headers, timeout=30, trust_env=False, **more)


def claude(address: str, person: Person, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "ANTHROPIC_BASE_URL": f"{address}anthropic",
        "ANTHROPIC_AUTH_TOKEN": person.token, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }  # fmt: skip
    command = [str(find_cli()), "-p", "good day", "--model", MODEL]
    return subprocess.run(
        command, env=environment, cwd=home, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )


def test_the_cli_shows_what_happened_and_whom_to_ask_when_a_budget_is_used_up(
    hub: RunningHub, address: str, tmp_path: Path
) -> None:
    ada, admin = hub.person("ada"), hub.person("admin")
    assert claude(address, ada, tmp_path).stdout.strip() == "Good day."
    calls = eventually(
        lambda: ask(address, ada, "GET", "calls/me").json()["items"], within=60, what="the call is on record"
    )
    assert {(call["person"], call["status"], call["complete"]) for call in calls} == {("ada", 200, True)}
    assert float(calls[0]["cost_usd"]) > 0
    assert "good day" not in str(calls)
    answer = ask(address, admin, "PUT", "budgets/person/ada", json={"day_usd": "0.0001", "month_usd": None})
    assert answer.status_code == 200, answer.text
    done = claude(address, ada, tmp_path)
    assert done.returncode == 1
    assert "of ada for today" in done.stdout
    assert done.stdout.strip().endswith("Ask the data team.")
    ask(address, admin, "DELETE", "budgets/person/ada")
    assert claude(address, ada, tmp_path).stdout.strip() == "Good day."


def test_only_an_admins_own_token_opens_what_is_of_others(hub: RunningHub, address: str) -> None:
    ada, admin = hub.person("ada"), hub.person("admin")
    for path in ("usage", "budgets", "calls", "calls.csv", "calls/speed", "activity", "budget-changes"):
        assert ask(address, ada, "GET", path).status_code == 403, path
        assert ask(address, admin, "GET", path).status_code == 200, path
    assert ask(address, ada, "PUT", "budgets/person/ada", json={"day_usd": "9", "month_usd": None}).status_code == 403


def test_a_service_that_was_killed_still_has_every_call_on_record(
    hub: RunningHub, address: str, tmp_path: Path
) -> None:
    grace = hub.person("grace")
    claude(address, grace, tmp_path)
    before = eventually(
        lambda: ask(address, grace, "GET", "calls/me").json()["items"], within=60, what="the call is on record"
    )
    killed = service_process(hub)
    killed.kill()

    def again() -> list[dict[str, object]]:
        try:
            answer = ask(address, grace, "GET", "calls/me")
        except (httpx.TransportError, ValueError):
            return []
        return list(answer.json()["items"]) if answer.status_code == 200 else []

    # The hub looks every minute whether its services run.
    after = eventually(again, within=100, what="the service is back", every=0.5)
    assert after == before
