"""Makes a run's events durable: numbers them, stores them in order, and shows them only then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ..errors import AgentsError
from ..ids import Clock
from ..models import Delta, Event, EventType, Run, RunChanges
from ..store import AgentStore
from .feed import RunFeed
from .logs import about
from .retries import until_stored

T = TypeVar("T")

BATCH = 300
MAX_PENDING = 5_000
"""Events that may wait for the store. At that point the CLI's output is read no further until it writes again."""


class Recorder:
    """The one writer of a run. Use it as a context manager, within the task that drives the run."""

    def __init__(self, store: AgentStore, feed: RunFeed, clock: Clock, on_trouble: Callable[[str], None]) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock
        self._on_trouble = on_trouble
        self._seq = feed.run.last_seq
        self._pending: list[Event | Delta] = []
        self._changes: dict[str, Any] = {}
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.newest_status = feed.run.status
        self._failure: AgentsError | None = None
        self._writer: asyncio.Task[None] | None = None

    @property
    def run(self) -> Run:
        """The run as it is stored."""
        return self._feed.run

    def start(self) -> None:
        with about(self.run):
            self._writer = asyncio.create_task(self._write(), name=f"record {self.run.id}")

    async def stop(self) -> None:
        """Give up what is not stored yet; `drain` first to keep it."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        self._on_trouble("")

    async def add(self, type: EventType, payload: dict[str, Any], **changes: Any) -> None:
        """Record an event, and in the same commit `changes` to the run (fields of RunChanges). Returns at
        once while the store keeps up. Raises the store's error when it refused for good."""
        if len(self._pending) >= MAX_PENDING:
            await self._idle.wait()
        if self._failure is not None:
            raise self._failure
        self._seq += 1
        self._pending.append(Event(run_id=self.run.id, seq=self._seq, time=self._clock(), type=type, payload=payload))
        self._changes.update(changes)
        self.newest_status = changes.get("status", self.newest_status)
        self._idle.clear()
        self._work.set()

    def delta(self, delta: Delta) -> None:
        """Show a piece of text: now, or right after the events before it that are not stored yet."""
        if self._pending:
            self._pending.append(delta)
        else:
            self._feed.publish(delta)

    async def persist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call of the store that bears to be made again, as often as it takes while the store is away."""
        return await until_stored(call, self._on_trouble)

    async def drain(self) -> None:
        """Wait until all that was added is stored. Raises the store's error when it refused for good."""
        await self._idle.wait()
        if self._failure is not None:
            raise self._failure

    async def start_over(self) -> None:
        """After the store refused for good: give up what it has not got, and go on after what it has."""
        if self._failure is None:
            return
        run = self.run
        stored = await self.persist(lambda: self._store.get_run(run.owner, run.id))
        self._pending.clear()
        self._changes = {}
        self._seq = stored.last_seq
        self._failure = None
        self._feed.publish_run(stored)
        self.newest_status = stored.status
        self.start()

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._pending:
                batch = self._pending[:BATCH]
                events = [item for item in batch if isinstance(item, Event)]
                last = len(batch) == len(self._pending)
                # A status must not be seen before the events that led to it.
                changes = self._changes if last else {}
                if last:
                    self._changes = {}
                try:
                    if events:
                        await self._append(events, RunChanges(**changes) if changes else None)
                except AgentsError as error:
                    self._failure = error
                    self._idle.set()
                    return
                del self._pending[: len(batch)]
                self._feed.publish(*batch)
                run = self.run.model_copy(update={"last_seq": events[-1].seq}) if events else self.run
                if changes:
                    self._feed.publish_run(RunChanges(**changes).applied_to(run))
                else:
                    self._feed.run = run
            if not self._pending:
                self._idle.set()

    async def _append(self, events: list[Event], changes: RunChanges | None) -> None:
        """Append, as often as it takes: the store passes over what it has."""
        run = self.run
        await self.persist(lambda: self._store.append_events(run.owner, run.id, events, changes))


def without_half_characters(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload with U+FFFD for each surrogate that stands alone. JavaScript, which the CLI is written in, may cut
    a character in two and send half of it; no UTF-8 can hold that."""
    text = json.dumps(payload, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return dict(json.loads(whole))
    return payload
