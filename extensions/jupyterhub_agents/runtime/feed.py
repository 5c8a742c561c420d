"""A live run, as its readers see it: committed events, deltas and the run's record, in one order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ..models import Delta, Event, Run
from ..store import AgentStore
from . import metrics

MAX_WAITING = 2_000
"""Items that may wait for a slow reader. It is not cut off: it drops its deltas and reads on from the store."""
PAGE = 500


@dataclass(frozen=True)
class StreamItem:
    """One thing to tell a reader. `json` is encoded once for all of them."""

    kind: Literal["event", "delta", "run", "end"]
    data: Event | Delta | Run

    @cached_property
    def json(self) -> str:
        return self.data.model_dump_json()

    @property
    def seq(self) -> int | None:
        """The event's number; None for what has none."""
        return self.data.seq if isinstance(self.data, Event) else None


class Reader:
    """What one reader of a feed has yet to see."""

    def __init__(self) -> None:
        self.items: deque[StreamItem] = deque()
        self.wake = asyncio.Event()
        self.lagging = True

    def put(self, item: StreamItem) -> None:
        if len(self.items) >= MAX_WAITING:
            self.items.clear()
            self.lagging = True
        self.items.append(item)
        self.wake.set()


class RunFeed:
    """Hands what happens in one run to its readers. Events come here after their commit, never before."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._readers: set[Reader] = set()
        self._ended = False

    @property
    def readers(self) -> int:
        return len(self._readers)

    def publish(self, *items: Event | Delta) -> None:
        for data in items:
            self._put(StreamItem("event" if isinstance(data, Event) else "delta", data))

    def publish_run(self, run: Run) -> None:
        """The run's record changed."""
        self.run = run
        self._put(StreamItem("run", run))

    def end(self) -> None:
        """Nothing more comes: readers see what is left and stop."""
        self._ended = True
        for reader in self._readers:
            reader.wake.set()

    def _put(self, item: StreamItem) -> None:
        for reader in self._readers:
            reader.put(item)

    async def follow(self, store: AgentStore, after: int) -> AsyncGenerator[StreamItem]:
        """Everything after event number `after`, to the end of the run, without a gap or a repeat."""
        reader = Reader()
        self._readers.add(reader)
        metrics.OPEN_STREAMS.inc()
        try:
            while True:
                if reader.lagging:
                    # From here on new items wait in the queue, so nothing falls between store and queue.
                    reader.lagging = False
                    async for item in stored(store, self.run, after):
                        after = item.seq or after
                        yield item
                    self._forget_seen(reader, after)
                while reader.items and not reader.lagging:
                    item = reader.items.popleft()
                    if item.seq is not None:
                        if item.seq <= after:
                            continue
                        after = item.seq
                    yield item
                if reader.lagging:
                    continue
                if self._ended and not reader.items:
                    return
                reader.wake.clear()
                if not reader.items and not self._ended:
                    await reader.wake.wait()
        finally:
            self._readers.discard(reader)
            metrics.OPEN_STREAMS.dec()

    @staticmethod
    def _forget_seen(reader: Reader, after: int) -> None:
        """Drop what is older than event number `after`: its deltas belong to messages already given whole."""
        if any(item.seq is not None and item.seq <= after for item in reader.items):
            while reader.items:
                item = reader.items[0]
                if item.seq is not None and item.seq > after:
                    return
                last_seen = item.seq == after
                reader.items.popleft()
                if last_seen:
                    return


async def stored(store: AgentStore, run: Run, after: int) -> AsyncGenerator[StreamItem]:
    """The stored events after number `after`."""
    while True:
        events = await store.list_events(run.owner, run.id, after=after, limit=PAGE)
        for event in events:
            yield StreamItem("event", event)
            after = event.seq
        if len(events) < PAGE:
            return
