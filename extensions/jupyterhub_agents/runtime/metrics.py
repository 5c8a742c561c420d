"""What Prometheus is told of runs: how many, how long, how dear. Labels never hold a person's text."""

from __future__ import annotations

import re
import time
from abc import ABCMeta
from collections.abc import Awaitable, Callable
from typing import Any, cast

from prometheus_client import Counter, Gauge, Histogram

from ..models import Run, RunStatus, RunUsage, TokenUsage
from ..store import AgentStore
from ..store.replicated import Lag

SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
STORE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)

RUNS = Counter("jupyterhub_agents_runs", "Runs that ended, by how.", ["status", "trigger"])
RUN_SECONDS = Histogram("jupyterhub_agents_run_seconds", "From a run's start to its end.", ["status"], buckets=SECONDS)
FIRST_EVENT_SECONDS = Histogram(
    "jupyterhub_agents_first_event_seconds", "From a run's start to Claude Code's first message.", buckets=SECONDS
)
UNFINISHED = Gauge("jupyterhub_agents_unfinished_runs", "Runs that work or wait for their turn.")
WAITING_APPROVALS = Gauge("jupyterhub_agents_waiting_approvals", "Tool calls that wait for a person.")
CLI_PROCESSES = Gauge("jupyterhub_agents_cli_processes", "Claude Code processes of runs.")
WARM_PROCESSES = Gauge("jupyterhub_agents_warm_processes", "Claude Code processes that wait for a run.")
WARM_STARTS = Counter(
    "jupyterhub_agents_warm_starts", "Runs in a new session, by whether a process was ready for them.", ["outcome"]
)
OPEN_STREAMS = Gauge("jupyterhub_agents_open_streams", "Readers that follow a run now.")
TOKENS = Counter("jupyterhub_agents_tokens", "Tokens, by model and kind.", ["model", "kind"])
COST = Counter("jupyterhub_agents_cost_usd", "Dollars, by model, as Claude Code counts them.", ["model"])
STORE_LATENCY = Histogram(
    "jupyterhub_agents_store_seconds", "How long the store took.", ["operation"], buckets=STORE_SECONDS
)

REPLICATION_WAITING = Gauge(
    "jupyterhub_agents_replication_waiting",
    "Changed runs, approvals and transcripts that the hub's service lacks.",
)
REPLICATION_BYTES = Gauge("jupyterhub_agents_replication_waiting_bytes", "What was added to them.")
REPLICATION_SECONDS = Gauge("jupyterhub_agents_replication_behind_seconds", "Since when the oldest of them waits.")

_KNOWN_MODEL = re.compile(r"claude-[a-z]+(-\d+){0,3}(\[1m\])?")


def model_label(model: str) -> str:
    """A model's name when it is one of Claude's, else `other`: an agent's model is what a person typed."""
    return model if _KNOWN_MODEL.fullmatch(model) else "other"


def count_end(run: Run, used_before: RunUsage) -> None:
    """Count a run that ended, and what it used since `used_before`."""
    RUNS.labels(run.status.value, run.trigger.value).inc()
    if run.started_at is not None and run.finished_at is not None and run.status is not RunStatus.INTERRUPTED:
        RUN_SECONDS.labels(run.status.value).observe((run.finished_at - run.started_at).total_seconds())
    for model, total in run.usage.models.items():
        used = total - used_before.models.get(model, TokenUsage())
        label = model_label(model)
        for kind in ("input", "output", "cache_read_input", "cache_creation_input"):
            TOKENS.labels(label, kind).inc(getattr(used, f"{kind}_tokens"))
        COST.labels(label).inc(used.cost_usd)


def watch_replication(lag: Callable[[], Lag]) -> None:
    """Tell of how far the hub's service is behind, from now on."""

    def behind() -> float:
        since = lag().since
        return 0.0 if since is None else max(time.time() - since.timestamp(), 0.0)

    REPLICATION_WAITING.set_function(lambda: lag().entries)
    REPLICATION_BYTES.set_function(lambda: lag().bytes)
    REPLICATION_SECONDS.set_function(behind)


def measured(store: AgentStore) -> AgentStore:
    """`store`, with each of its calls timed, also those that fail."""

    def timed(operation: str) -> Callable[..., Awaitable[Any]]:
        seconds = STORE_LATENCY.labels(operation)

        async def call(_: AgentStore, *arguments: Any, **named: Any) -> Any:
            begin = time.perf_counter()
            try:
                return await getattr(store, operation)(*arguments, **named)
            finally:
                seconds.observe(time.perf_counter() - begin)

        return call

    calls = {operation: timed(operation) for operation in AgentStore.__abstractmethods__}
    make = cast("Callable[[], AgentStore]", ABCMeta("MeasuredStore", (AgentStore,), dict(calls)))
    return make()
