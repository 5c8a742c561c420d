"""How fast the SQLite store is, beside bare sqlite3 with the same batching, in the same process.

`run()` gives the figures under stable names; `python benchmarks/store_bench.py` prints them.
Each is the median of repeats. Both sides write to the same disk with the same pragmas: WAL, synchronous=FULL.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from jupyterhub_agents.ids import new_id, new_session_id, utcnow
from jupyterhub_agents.models import AgentSpec, Event, EventType, Run, RunChanges, RunStatus, Trigger
from jupyterhub_agents.store import MAX_PAGE, AgentStore
from jupyterhub_agents.store.sqlite import SQLiteStore

REPEATS = 3
SEQUENTIAL = 1_000
PARALLEL_RUNS = 8
PARALLEL_EACH = 500
BATCHES = 60
BATCH = 100
LIST_REPEATS = 30
RUNS = 10_000

OWNER = "ada"


def run() -> dict[str, float]:
    """The figures: events a second, milliseconds, and ratios to bare sqlite3 (1 is as fast)."""
    with tempfile.TemporaryDirectory(prefix="jupyterhub-agents-bench-") as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> dict[str, float]:
    figures: dict[str, list[float]] = {}
    for repeat in range(REPEATS):
        async with SQLiteStore(folder / f"store-{repeat}.db") as store:
            with Bare(folder / f"bare-{repeat}.db") as bare:
                for name, value in [
                    *await _sequential(store, bare), *await _parallel(store, bare), *await _batches(store, bare)
                ]:  # fmt: skip
                    figures.setdefault(name, []).append(value)
    result = {name: statistics.median(values) for name, values in figures.items()}
    for shape in ("sequential", "8_runs", "batches_of_100"):
        ours, bare_rate = result[f"store.{shape}.events_per_s"], result[f"bare_sqlite.{shape}.events_per_s"]
        result[f"store.{shape}.ratio_to_bare"] = ours / bare_rate
    async with SQLiteStore(folder / "lists.db") as store:
        result |= await _lists(store)
    return result


# Events

Figures = list[tuple[str, float]]


async def _sequential(store: SQLiteStore, bare: Bare) -> Figures:
    """One run, one event a call, each call after the one before: how long a commit takes."""
    run_id = await _new_run(store)
    events = _events(run_id, SEQUENTIAL)
    latencies = []
    with _no_collection():
        for event in events:
            begin = time.perf_counter()
            await store.append_events(OWNER, run_id, [event])
            latencies.append(time.perf_counter() - begin)
        bare_latencies = bare.write(events, 1)
    return [
        ("store.sequential.events_per_s", SEQUENTIAL / sum(latencies)),
        ("bare_sqlite.sequential.events_per_s", SEQUENTIAL / sum(bare_latencies)),
        *_percentiles("store.commit", latencies),
        *_percentiles("bare_sqlite.commit", bare_latencies),
    ]


async def _parallel(store: SQLiteStore, bare: Bare) -> Figures:
    """Eight runs at once, one event a call. The bare side puts eight events into a commit."""
    runs = [_events(await _new_run(store), PARALLEL_EACH) for _ in range(PARALLEL_RUNS)]

    async def append(events: Sequence[Event]) -> None:
        for event in events:
            await store.append_events(OWNER, event.run_id, [event])

    with _no_collection():
        begin = time.perf_counter()
        await asyncio.gather(*map(append, runs))
        took = time.perf_counter() - begin
        bare_took = sum(bare.write([event for step in zip(*runs, strict=True) for event in step], PARALLEL_RUNS))
    total = PARALLEL_RUNS * PARALLEL_EACH
    return [
        ("store.8_runs.events_per_s", total / took),
        ("bare_sqlite.8_runs.events_per_s", total / bare_took),
    ]


async def _batches(store: SQLiteStore, bare: Bare) -> Figures:
    """One run, a hundred events a call."""
    run_id = await _new_run(store)
    events = _events(run_id, BATCH * BATCHES)
    latencies = []
    with _no_collection():
        for start in range(0, len(events), BATCH):
            begin = time.perf_counter()
            await store.append_events(OWNER, run_id, events[start : start + BATCH])
            latencies.append(time.perf_counter() - begin)
        bare_latencies = bare.write(events, BATCH)
    return [
        ("store.batches_of_100.events_per_s", len(events) / sum(latencies)),
        ("bare_sqlite.batches_of_100.events_per_s", len(events) / sum(bare_latencies)),
        *_percentiles("store.commit_of_100", latencies),
        *_percentiles("bare_sqlite.commit_of_100", bare_latencies),
    ]


class Bare:
    """What a program would write without the store: a table, JSON text, a commit for every so many rows."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)

    def __enter__(self) -> Bare:
        for statement in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA wal_autocheckpoint = 4000",
            "CREATE TABLE events (run TEXT, seq INTEGER, event TEXT, PRIMARY KEY (run, seq))",
        ):
            self._database.execute(statement)
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def write(self, events: Sequence[Event], batch: int) -> list[float]:
        """Seconds of each commit, serialisation included."""
        latencies = []
        for start in range(0, len(events), batch):
            begin = time.perf_counter()
            rows = [(event.run_id, event.seq, event.model_dump_json()) for event in events[start : start + batch]]
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT INTO events VALUES (?, ?, ?)", rows)
            self._database.execute("COMMIT")
            latencies.append(time.perf_counter() - begin)
        return latencies


# Lists


async def _lists(store: SQLiteStore) -> Figures | dict[str, float]:
    figures = {}
    for size in (1, 100, 1_000):
        owner = f"owner-{size}"
        await asyncio.gather(*(store.create_agent(owner, f"agent-{n:04}", _SPEC) for n in range(size)))
        figures[f"store.list_{size}_agents_ms"] = await _milliseconds(
            lambda owner=owner: store.list_agents(owner, limit=MAX_PAGE)  # type: ignore[misc]  # the default binds it
        )
    conversation = await _ten_thousand_runs(store)
    for name, filters in {
        "list_50_of_10000_runs": {},
        "list_50_of_10000_runs_by_agent": {"agent_id": "agent-3"},
        "list_50_of_10000_runs_by_common_status": {"statuses": [RunStatus.SUCCEEDED, RunStatus.FAILED]},
        "list_50_of_10000_runs_by_rare_status": {"statuses": [RunStatus.RUNNING]},
        "list_50_of_10000_runs_by_conversation": {"conversation_id": conversation},
    }.items():
        figures[f"store.{name}_ms"] = await _milliseconds(
            lambda filters=filters: store.list_runs(OWNER, limit=50, **filters)  # type: ignore[misc]  # as above
        )
    return figures


async def _ten_thousand_runs(store: SQLiteStore) -> str:
    """Makes them; gives the id of a conversation of twenty."""
    conversations = [new_id() for _ in range(RUNS // 20)]

    async def make(number: int) -> None:
        run = _run(agent_id=f"agent-{number % 10}", conversation_id=conversations[number % len(conversations)])
        await store.create_run(run)
        status = RunStatus.RUNNING if number == 10 else (RunStatus.FAILED if number % 7 == 0 else RunStatus.SUCCEEDED)
        changes = RunChanges(status=status, result="Done: " + "all is well. " * 40)
        await store.append_events(OWNER, run.id, _events(run.id, 1), changes)

    for group in itertools.batched(range(RUNS), 200) if hasattr(itertools, "batched") else _grouped(RUNS, 200):
        await asyncio.gather(*map(make, group))
    return conversations[3]


def _grouped(total: int, size: int) -> Iterator[range]:
    return (range(start, start + size) for start in range(0, total, size))


async def _milliseconds(call: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(LIST_REPEATS):
        begin = time.perf_counter()
        await call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1_000


# What is written

_SPEC = AgentSpec(name="Reviewer", description="Reads a change.", instructions="Look for faults. " * 60)


async def _new_run(store: AgentStore) -> str:
    run = _run()
    await store.create_run(run)
    return run.id


def _run(agent_id: str = "agent-1", conversation_id: str | None = None) -> Run:
    run_id = new_id()
    return Run(
        id=run_id, owner=OWNER, agent_id=agent_id, agent_revision=1, trigger=Trigger.API,
        prompt="Review the newest commit. " * 20, session_id=new_session_id(),
        conversation_id=conversation_id or run_id, created_at=utcnow(),
    )  # fmt: skip


def _events(run_id: str, count: int) -> list[Event]:
    """Events like the CLI's, of 0.5 to 2 KB: texts, tool calls and their results."""
    chance = random.Random(count)  # noqa: S311 - sizes, not secrets
    session = new_session_id()
    events = []
    for seq in range(1, count + 1):
        text = "The quick brown fox jumps over the lazy dog.\n" * chance.randint(4, 38)
        tool_input = {"file_path": "a.py", "content": text}
        block = [
            {"type": "text", "text": text},
            {"type": "tool_use", "id": f"toolu_{seq}", "name": "Write", "input": tool_input},
            {"type": "tool_result", "tool_use_id": f"toolu_{seq}", "content": [{"type": "text", "text": text}]},
        ][seq % 3]
        usage = {"input_tokens": 12, "cache_read_input_tokens": 18_230, "output_tokens": chance.randint(1, 900)}
        message = {"id": f"msg_{seq}", "role": "assistant", "model": "claude", "content": [block], "usage": usage}
        payload = {"type": "assistant", "message": message, "session_id": session, "uuid": new_session_id()}
        events.append(Event(run_id=run_id, seq=seq, time=utcnow(), type=EventType.MESSAGE, payload=payload))
    return events


def _percentiles(name: str, seconds: list[float]) -> Figures:
    cuts = statistics.quantiles(seconds, n=100)
    return [(f"{name}_p50_ms", cuts[49] * 1_000), (f"{name}_p99_ms", cuts[98] * 1_000)]


class _no_collection:
    """The garbage collector's pauses are the same on both sides, but fall where they like."""

    def __enter__(self) -> None:
        gc.collect()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        gc.enable()


if __name__ == "__main__":
    for figure, measured in run().items():
        print(f"{figure:50} {measured:12.3f}")
