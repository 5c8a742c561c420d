"""`make bench`: measures, prints a table, and writes the same figures to benchmarks/results.json."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from benchmarks import (
    budgets_bench,
    cluster_bench,
    firestore_bench,
    gateway_bench,
    hub_bench,
    memory_bench,
    panel_bench,
    people_bench,
    remote_bench,
    runs_bench,
    store_bench,
)
from tests.store.firestore_emulator import NoEmulator

RESULTS = Path(__file__).parent / "results.json"
BENCHES: dict[str, Callable[[], dict[str, float]]] = {
    "store": store_bench.run,
    "firestore": firestore_bench.run,
    "remote": remote_bench.run,
    "runs": runs_bench.run,
    "memory": memory_bench.run,
    "hub": hub_bench.run,
    "gateway": gateway_bench.run,
    "people": people_bench.run,
    "litellm": gateway_bench.with_litellm,
    "budgets": budgets_bench.run,
    "budgets-firestore": budgets_bench.firestore,
    "panel": panel_bench.run,
    "cluster": cluster_bench.run,
}

ON_REQUEST = {"litellm", "cluster"}
"""The first installs LiteLLM, which takes minutes, and measures the gateway beside it: `make bench ARGS=litellm`. The
other needs a cluster that has the images: `make bench-cluster`."""

WANTED: dict[str, tuple[float, str]] = {
    "store.sequential.events_per_s": (5_000, "at least"),
    "store.8_runs.events_per_s": (5_000, "at least"),
    "store.batches_of_100.events_per_s": (5_000, "at least"),
    "store.list_50_of_10000_runs_ms": (10, "at most"),
    "turn.first_event.server_over_sdk_s": (0.150, "at most"),
    "turn.first_event.warm_to_cli": (0.1, "at most"),
    "budgets.reserve_us.p50": (100, "at most"),
    "hub.spawn.ratio_to_bare": (1.1, "at most"),
    "gateway.100_per_s.p99_ms": (20, "at most"),
    "gateway.100_per_s.added_p99_ms": (20, "at most"),
    "gateway.1_per_s.added_p50_to_litellm": (0.1, "at most"),
    "gateway.20_per_s.added_p50_to_litellm": (0.1, "at most"),
    "gateway.memory_mb": (256, "at most"),
    "service.200_people.memory_mb": (256, "at most"),
    "cluster.ready.ratio_to_plain": (1.1, "at most"),
    "cluster.first_event.ratio_to_plain": (1.1, "at most"),
    "cluster.image_mb": (900, "at most"),
    "cluster.20_at_once.errors": (0, "at most"),
    "panel.10000_events.opens_ms": (1_500, "at most"),
    "panel.10000_events.longest_frame_ms": (100, "at most"),
}
"""What is wanted of some figures. Falling short is shown, and fails nothing: machines are noisy."""


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all but those in ON_REQUEST."""
    if unknown := set(names) - set(BENCHES):
        sys.stderr.write(f"no such benchmark: {', '.join(sorted(unknown))}. There are {', '.join(BENCHES)}.\n")
        return 2
    console = Console()
    figures: dict[str, float] = {}
    table = Table(
        Column("figure", overflow="fold", min_width=50),
        "value",
        "wanted",
        title=f"Python {platform.python_version()}, {platform.machine()}",
    )
    for name in names or [name for name in BENCHES if name not in ON_REQUEST]:
        with console.status(f"measuring {name} ..."):
            started = time.monotonic()
            try:
                measured = BENCHES[name]()
            except (NoEmulator, panel_bench.NoBrowser, cluster_bench.NoCluster) as missing:
                console.print(f"{name}: not measured. {missing}")
                continue
        console.print(f"{name}: measured in {time.monotonic() - started:.0f} s")
        table.add_section()
        for figure, value in measured.items():
            table.add_row(figure, f"{value:,.4g}" if value < 1000 else f"{value:,.0f}", wanted(figure, value))
        figures |= measured
    console.print(table)
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")
    return 0


def wanted(figure: str, value: float) -> str:
    """What is wanted of a figure, and whether it is so."""
    if figure not in WANTED:
        return ""
    limit, kind = WANTED[figure]
    met = value <= limit if kind == "at most" else value >= limit
    return f"{kind} {limit:,g}: {'yes' if met else 'NO'}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
