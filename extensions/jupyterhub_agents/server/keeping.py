"""Where a workspace keeps what it makes: in its home alone, or there and in the hub's service."""

from __future__ import annotations

from pathlib import Path

from ..runtime import metrics
from ..store import AgentStore
from ..store.replicated import ReplicatedStore
from ..store.sqlite import SQLiteStore


def make_store(kind: str, path: Path, *, url: str, token: str, owner: str) -> AgentStore:
    """The store of a workspace. `kind` is `sqlite` or `remote`. Raises ValueError for a choice that is not whole."""
    if kind == "sqlite":
        return SQLiteStore(path)
    if not url:
        raise ValueError(
            "AgentsApp.store is 'remote', but AgentsApp.store_url is empty: set it to the address of the hub's agents "
            "service, or choose 'sqlite'."
        )

    async def token_of(_: str) -> str:
        return token

    store = ReplicatedStore(path, url, token_of, owner=owner)
    metrics.watch_replication(lambda: store.newest_lag)
    return store
