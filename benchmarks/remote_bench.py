"""How fast the store is through the hub's service, and on a home that is replicated to it, beside SQLite alone.

`run()` gives the figures under stable names; `python -m benchmarks.remote_bench` prints them. The service is a uvicorn
process on this machine over SQLite: the figures hold the work on both sides and a connection over loopback.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

from benchmarks.store_bench import _events, _milliseconds, _new_run, _no_collection, _percentiles, _run
from jupyterhub_agents.store import AgentStore
from jupyterhub_agents.store.replicated import ReplicatedStore
from jupyterhub_agents.store.sqlite import SQLiteStore
from tests.service.store_service import remote_store, running_service, token_of

OWNER = "ada"
APPENDS = 300
BATCHES = 30
BATCH = 100
RUNS = 300


def run() -> dict[str, float]:
    """The figures: milliseconds and events a second, of each store."""
    with tempfile.TemporaryDirectory(prefix="jupyterhub-agents-bench-") as name, running_service(Path(name)) as service:
        return asyncio.run(_measure(Path(name), service.url("remote"), service.url("replicated")))


async def _measure(folder: Path, remote_url: str, replicated_url: str) -> dict[str, float]:
    figures: dict[str, float] = {}
    stores: dict[str, AgentStore] = {
        "sqlite": SQLiteStore(folder / "alone.db"),
        "remote": remote_store(remote_url),
        "replicated": ReplicatedStore(folder / "home.db", replicated_url, token_of),
    }
    for name, store in stores.items():
        async with store:
            await _append(store, 30)
            measured = {**await _append(store, APPENDS), **await _batches(store), **await _list(store)}
        figures |= {f"{name}.{figure}": value for figure, value in measured.items()}
    return figures | await _catching_up(folder, replicated_url)


async def _append(store: AgentStore, count: int) -> dict[str, float]:
    """One run, one event a call, each call after the one before."""
    run_id = await _new_run(store)
    with _no_collection():
        times = [await _seconds(store.append_events(OWNER, run_id, [event])) for event in _events(run_id, count)]
    return {"append.events_per_s": count / sum(times), **dict(_percentiles("append", times))}


async def _batches(store: AgentStore) -> dict[str, float]:
    """One run, a hundred events a call."""
    run_id = await _new_run(store)
    events = _events(run_id, BATCH * BATCHES)
    begin = time.perf_counter()
    for start in range(0, len(events), BATCH):
        await store.append_events(OWNER, run_id, events[start : start + BATCH])
    return {"batches_of_100.events_per_s": len(events) / (time.perf_counter() - begin)}


async def _list(store: AgentStore) -> dict[str, float]:
    for _ in range(RUNS):
        await store.create_run(_run())
    run_id = await _new_run(store)
    await store.append_events(OWNER, run_id, _events(run_id, 500))
    if isinstance(store, ReplicatedStore):
        await _sent(store)
    return {
        "list_50_runs_ms": await _milliseconds(lambda: store.list_runs(OWNER, limit=50)),
        "list_500_events_ms": await _milliseconds(lambda: store.list_events(OWNER, run_id)),
    }


async def _catching_up(folder: Path, url: str) -> dict[str, float]:
    """How long it takes until the service has 10,000 events that were written while it could not be reached."""
    nowhere = "http://127.0.0.1:9"
    async with ReplicatedStore(folder / "behind.db", nowhere, token_of, flush_s=0) as store:
        run_id = await _new_run(store)
        events = _events(run_id, 10_000)
        for start in range(0, len(events), BATCH):
            await store.append_events(OWNER, run_id, events[start : start + BATCH])
    async with ReplicatedStore(folder / "behind.db", url, token_of) as store:
        begin = time.perf_counter()
        await _sent(store)
        return {"replicated.catching_up.events_per_s": 10_000 / (time.perf_counter() - begin)}


async def _sent(store: ReplicatedStore) -> None:
    while (await store.lag()).entries:  # noqa: ASYNC110 - what is waited for happens in another process
        await asyncio.sleep(0.01)


async def _seconds(call: Awaitable[object]) -> float:
    begin = time.perf_counter()
    await call
    return time.perf_counter() - begin


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:45} {value:12.3f}")
