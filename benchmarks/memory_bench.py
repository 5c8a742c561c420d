"""What a workspace's server takes of memory, with all that it started: idle, with a CLI that waits, with 1 and 4 runs.

In MB as PSS (proportional set size, proc(5), smaps): a page that several processes share is divided among them, so that
the figures add up to what the machine gives. A run here is at its first call of the model, which does not answer.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.runs_bench import until_one_waits
from jupyterhub_agents.testing.replies import say, silent
from tests.workspace import Place, Server

SETTLE_S = 2.0


def run() -> dict[str, float]:
    """The figures, by stable names such as `memory.4_runs_mb`."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), whole=True)
        with place.start({"work": [silent(600)]}, "--WarmPool.size=0") as server:
            server.agent(model="claude-sonnet-5")
            figures["memory.0_runs_mb"] = settled(server)
            runs = [working(server)]
            figures["memory.1_run_mb"] = settled(server)
            runs += [working(server) for _ in range(3)]
            figures["memory.4_runs_mb"] = settled(server)
            for run_id in runs:
                server.post(f"api/runs/{run_id}/cancel")
        with place.start([say("Hello.")], "--WarmPool.spare_memory_mb=0") as server:
            server.finish(server.start("hello")["id"])
            until_one_waits(server)
            figures["memory.1_waiting_mb"] = settled(server)
        place.close()
    return figures


def working(server: Server) -> str:
    run_id = str(server.start("work")["id"])
    server.seen(run_id, '"init"')
    return run_id


def settled(server: Server) -> float:
    """The PSS of the server and of all under it, after a while."""
    time.sleep(SETTLE_S)
    root = psutil.Process(server.process.pid)
    total = 0
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / 1e6


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:40} {value:.0f}")
