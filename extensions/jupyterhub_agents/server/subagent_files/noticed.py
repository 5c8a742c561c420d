"""A store that tells when agents were changed through it."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Awaitable, Callable
from typing import Any, cast

from ...store import AgentStore

CHANGES_AGENTS = ("create_agent", "update_agent", "delete_agent", "import_revision")


def noticed(store: AgentStore, changed: Callable[[], None]) -> AgentStore:
    """`store`, which calls `changed` after each change to an agent. What fails may have changed something (a caller
    that is cancelled does not know), so it counts too."""

    def through(operation: str) -> Callable[..., Awaitable[Any]]:
        async def call(_: AgentStore, *arguments: Any, **named: Any) -> Any:
            try:
                return await getattr(store, operation)(*arguments, **named)
            finally:
                if operation in CHANGES_AGENTS:
                    changed()

        return call

    calls = {operation: through(operation) for operation in AgentStore.__abstractmethods__}
    make = cast("Callable[[], AgentStore]", ABCMeta("NoticedStore", (AgentStore,), dict(calls)))
    return make()
