"""Servers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workspace import Place, StartServer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """`with start_server(script) as server:`; without a script for a restart in the same home."""
    place = Place(tmp_path)
    yield place.start
    place.close()
