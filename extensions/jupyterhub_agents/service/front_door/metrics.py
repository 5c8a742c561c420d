"""What the front door counts, for Prometheus. Nothing here names a person."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter(
    "agents_front_door_requests",
    "Requests by kind (read, change, stream, websocket) and by the status that was answered.", ["kind", "status"],
)  # fmt: skip
STORED = Counter("agents_front_door_stored_answers", "Requests that the store answered in a stopped workspace's place.")
WAKES = Histogram(
    "agents_front_door_wake_seconds", "How long workspaces took to start for a request, by whether they did.",
    ["outcome"], buckets=(0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600),
)  # fmt: skip
OPEN = Gauge("agents_front_door_open_streams", "Streams that somebody reads now, by kind.", ["kind"])


@contextmanager
def waking() -> Iterator[None]:
    """Around the start of a workspace."""
    began = time.monotonic()
    outcome = "left"
    try:
        yield
        outcome = "started"
    except Exception:
        outcome = "failed"
        raise
    finally:
        WAKES.labels(outcome).observe(time.monotonic() - began)
