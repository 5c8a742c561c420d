"""What the groups of clauses share: whose things are stored, and on which event loop."""

from __future__ import annotations

import pytest

from .samples import OTHERS_GROUPS


class Clauses:
    pytestmark = pytest.mark.anyio

    owner = "ada"
    other = "grace"
    """Two people that the store accepts."""

    third = "alan"
    """One more, who is in no group."""
    groups = OTHERS_GROUPS
    """The groups that `other` is in. A store that asks somebody else for them finds these there."""

    large_payload = 5_000_000
    """Bytes of one event's payload that the backend must take."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"
