"""Fixtures for tests that need a real hub. One hub serves them all; it starts as `make run` starts it.

    def test_something(hub, ada):
        ada.spawn()                                # her workspace runs; a second call costs nothing
        answer = ada.workspace.get("api/agents")   # httpx, with her token, under /user/ada/
        page = ada.browser.get("/user/ada/lab")    # httpx, with her cookies
        bob = hub.person("bob")                    # somebody else, signed in through the form

`person.token` is an API token, `person.home` the folder, `person.stop()` stops the workspace, `person.api(...)` asks
the hub's API. For a hub of your own (another configuration, a restart): `with running_hub(tmp_path / "state")`
from `tests.hub.people`. Without ANTHROPIC_API_KEY in `environment` the demo model answers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hub.people import Person, RunningHub, running_hub


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub for all tests that do not stop it."""
    with running_hub(tmp_path_factory.mktemp("hub") / "state") as running:
        yield running


@pytest.fixture
def ada(hub: RunningHub) -> Person:
    """A person who has signed in."""
    return hub.person("ada")
