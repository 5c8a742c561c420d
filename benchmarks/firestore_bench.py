"""How fast the Firestore store is beside the SQLite store, in one process: append, list, replay.

`run()` gives the figures under stable names; `python -m benchmarks.firestore_bench` prints them. Firestore is Google's
emulator on this machine: the figures hold the work of our side and the number of round trips, not the network or
Firestore's own time.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from jupyterhub_agents.ids import new_id, new_session_id, utcnow
from jupyterhub_agents.models import Event, EventType, Run, RunChanges, RunStatus, Trigger
from jupyterhub_agents.store import MAX_PAGE, AgentStore
from jupyterhub_agents.store.firestore import FirestoreStore
from jupyterhub_agents.store.sqlite import SQLiteStore
from tests.store.firestore_emulator import running_emulator

APPENDS = 300
PARALLEL_RUNS = 8
PARALLEL_EACH = 60
RUNS = 1_000
LIST_REPEATS = 20
REPLAYED = 5_000
OWNER = "ada"


def run() -> dict[str, float]:
    """The figures: milliseconds and events a second, of each store."""
    with tempfile.TemporaryDirectory(prefix="jupyterhub-agents-bench-") as name:
        folder = Path(name)
        with running_emulator(folder) as emulator:
            before = os.environ.get("FIRESTORE_EMULATOR_HOST")
            os.environ["FIRESTORE_EMULATOR_HOST"] = emulator.address
            try:
                return asyncio.run(_measure(folder, emulator.new_project()))
            finally:
                del os.environ["FIRESTORE_EMULATOR_HOST"]
                if before is not None:
                    os.environ["FIRESTORE_EMULATOR_HOST"] = before


async def _measure(folder: Path, project: str) -> dict[str, float]:
    figures: dict[str, float] = {}
    stores: dict[str, AgentStore] = {"sqlite": SQLiteStore(folder / "agents.db"), "firestore": FirestoreStore(project)}
    for name, store in stores.items():
        async with store:
            # What is done the first time only, on either side.
            await _append_one_by_one(store, 50)
            measured = {
                **await _append_one_by_one(store, APPENDS),
                **await _append_in_parallel(store),
                **await _list(store),
                **await _replay(store),
            }
        figures |= {f"{name}.{figure}": value for figure, value in measured.items()}
    return figures


async def _append_one_by_one(store: AgentStore, count: int) -> dict[str, float]:
    """One run, one event a call, each call after the one before: how long a commit takes."""
    run = await _new_run(store)
    times = [await _seconds(store.append_events(OWNER, run.id, [event])) for event in _events(run, count)]
    cuts = statistics.quantiles(times, n=100)
    return {"append_p50_ms": cuts[49] * 1_000, "append_p99_ms": cuts[98] * 1_000}


async def _append_in_parallel(store: AgentStore) -> dict[str, float]:
    """Eight runs at once, one event a call."""
    runs = [await _new_run(store) for _ in range(PARALLEL_RUNS)]

    async def append(run: Run) -> None:
        for event in _events(run, PARALLEL_EACH):
            await store.append_events(OWNER, run.id, [event])

    took = await _seconds(asyncio.gather(*map(append, runs)))
    return {"append_8_runs_events_per_s": PARALLEL_RUNS * PARALLEL_EACH / took}


async def _list(store: AgentStore) -> dict[str, float]:
    gate = asyncio.Semaphore(50)

    async def make(number: int) -> None:
        async with gate:
            run = await _new_run(store, f"agent-{number % 10}")
            status = RunStatus.FAILED if number % 7 == 0 else RunStatus.SUCCEEDED
            await store.append_events(OWNER, run.id, _events(run, 1), RunChanges(status=status))

    await asyncio.gather(*map(make, range(RUNS)))
    return {
        "list_50_of_1000_runs_ms": await _median_ms(lambda: store.list_runs(OWNER, agent_id="agent-3", limit=50)),
        "list_50_of_1000_runs_by_status_ms": await _median_ms(
            lambda: store.list_runs(OWNER, statuses=[RunStatus.SUCCEEDED, RunStatus.FAILED], limit=50)
        ),
    }


async def _replay(store: AgentStore) -> dict[str, float]:
    """A run whose events came ten a call, read in the largest pages."""
    run = await _new_run(store)
    events = _events(run, REPLAYED)
    for start in range(0, REPLAYED, 10):
        await store.append_events(OWNER, run.id, events[start : start + 10])

    async def replay() -> None:
        seen = 0
        while page := await store.list_events(OWNER, run.id, after=seen, limit=MAX_PAGE):
            seen += len(page)
        assert seen == REPLAYED

    return {"replay_events_per_s": REPLAYED / statistics.median([await _seconds(replay()) for _ in range(3)])}


async def _seconds(call: Awaitable[object]) -> float:
    begin = time.perf_counter()
    await call
    return time.perf_counter() - begin


async def _median_ms(call: Callable[[], Awaitable[object]]) -> float:
    return statistics.median([await _seconds(call()) for _ in range(LIST_REPEATS)]) * 1_000


async def _new_run(store: AgentStore, agent_id: str = "agent") -> Run:
    run_id = new_id()
    run = Run(
        id=run_id, owner=OWNER, agent_id=agent_id, agent_revision=1, trigger=Trigger.API,
        prompt="Review the newest commit. " * 20, session_id=new_session_id(), conversation_id=run_id,
        created_at=utcnow(),
    )  # fmt: skip
    await store.create_run(run)
    return run


def _events(run: Run, count: int) -> list[Event]:
    """Events like the CLI's, of 1 KB."""
    text = "The quick brown fox jumps over the lazy dog.\n" * 18
    message = {"role": "assistant", "content": [{"type": "text", "text": text}], "usage": {"output_tokens": 180}}
    payload = {"type": "assistant", "message": message, "session_id": run.session_id}
    return [
        Event(run_id=run.id, seq=seq, time=utcnow(), type=EventType.MESSAGE, payload={**payload, "uuid": f"{seq}"})
        for seq in range(1, count + 1)
    ]


if __name__ == "__main__":
    for figure, measured in run().items():
        print(f"{figure:50} {measured:12.3f}")
