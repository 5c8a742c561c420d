"""Servers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workspace import Place, Server, StartServer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = Place(tmp_path_factory.mktemp("standing"))
    with place.start([]) as running:
        yield running
    place.close()


@pytest.fixture
def server(standing: Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server for the tests of all files that need none of their own. Its model has the module's `SCRIPT`; at the
    start of each test there are no agents and no unfinished runs."""
    standing.model.script = getattr(request.module, "SCRIPT", ())
    yield standing
    for run in standing.get("api/runs").json()["items"]:
        if run["status"] in ("queued", "running", "waiting"):
            standing.post(f"api/runs/{run['id']}/cancel")
            standing.finish(run["id"])
    for agent in standing.get("api/agents").json()["items"]:
        standing.http.delete(f"api/agents/{agent['id']}?revision={agent['revision']}")


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """`with start_server(script) as server:`; without a script for a restart in the same home."""
    place = Place(tmp_path)
    yield place.start
    place.close()
