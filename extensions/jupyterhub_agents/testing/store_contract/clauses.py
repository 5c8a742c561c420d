"""What the groups of clauses share: whose things are stored, and on which event loop."""

from __future__ import annotations

import pytest


class Clauses:
    pytestmark = pytest.mark.anyio

    owner = "ada"
    other = "grace"
    """Two people that the store accepts."""

    large_payload = 5_000_000
    """Bytes of one event's payload that the backend must take."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"
