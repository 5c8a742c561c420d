"""A real hub that started the service, with an upstream that keeps every byte."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.hub.people import Person, RunningHub, running_hub
from tests.service.wire import Answer, Caller, RawUpstream

ORGANISATION_KEY = "sk-organisation-key-that-nobody-may-see-0815"


@contextmanager
def hub_with_service(
    folder: Path, *arguments: str, environment: dict[str, str], more: str = ""
) -> Iterator[RunningHub]:
    """A hub whose service gets these command-line arguments."""
    config = folder / "jupyterhub_config.py"
    config.write_text(
        f"from hub_config import configure\nc.AgentHub.service_arguments = {list(arguments)!r}\n{more}\nconfigure(c)\n"
    )
    with running_hub(folder / "state", config=config, environment=environment) as hub:
        yield hub


def service_process(hub: RunningHub) -> psutil.Process:
    return hub.process("jupyterhub_agents.service.app")


def service_url(hub: RunningHub) -> str:
    """The service's own address, with a slash at the end."""
    return str(service_process(hub).environ()["JUPYTERHUB_SERVICE_URL"]) + "/services/agents/"


def server_token(hub: RunningHub, person: Person) -> str:
    """The token that the hub gave the person's running workspace."""
    for process in hub.processes_of("jupyterhub.singleuser"):
        environment = process.environ()
        if environment["JUPYTERHUB_USER"] == person.name:
            return str(environment["JUPYTERHUB_API_TOKEN"])
    raise AssertionError(f"{person.name} has no workspace")


@pytest.fixture(scope="session")
def upstream() -> Iterator[RawUpstream]:
    with RawUpstream() as running:
        yield running


@pytest.fixture(autouse=True)
def upstream_says_yes(upstream: RawUpstream) -> None:
    """Until a test says otherwise."""
    upstream.answer = lambda _: Answer()


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, upstream: RawUpstream) -> Iterator[RunningHub]:
    environment = {"ANTHROPIC_API_KEY": ORGANISATION_KEY, "ANTHROPIC_BASE_URL": upstream.url}
    with hub_with_service(tmp_path_factory.mktemp("service"), environment=environment) as running:
        yield running


@pytest.fixture
def ada(hub: RunningHub) -> Person:
    return hub.person("ada")


@pytest.fixture
def direct(upstream: RawUpstream) -> Caller:
    """A caller who holds the organisation's key and goes straight to the upstream."""
    upstream.requests.clear()
    return Caller(upstream.url, **{"x-api-key": ORGANISATION_KEY})


@pytest.fixture
def through(hub: RunningHub, ada: Person, upstream: RawUpstream) -> Caller:
    """A caller who holds a JupyterHub token and goes through the gateway."""
    upstream.requests.clear()
    return Caller(f"{service_url(hub)}anthropic", Authorization=f"Bearer {ada.token}")
