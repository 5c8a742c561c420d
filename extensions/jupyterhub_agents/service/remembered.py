"""Answers that are remembered for a while, each asked for once however many wait for it."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST = 20_000
"""Answers kept at most; the one not asked for longest goes first."""


@dataclass
class _Answer(Generic[V]):
    value: V
    asked_at: float


class Remembered(Generic[K, V]):
    """Answers by their keys.

    An answer is used again for `fresh_s(answer)` seconds. After that it is asked for anew; when that fails with one of
    `away`, the old answer serves until it is `usable_s` seconds old, and then the failure is raised. Times count from
    before the question was asked, so that no answer is older than it seems.
    """

    def __init__(
        self,
        *,
        fresh_s: Callable[[V], float],
        usable_s: float,
        away: type[Exception],
    ) -> None:
        self._fresh_s = fresh_s
        self._usable_s = usable_s
        self._away = away
        self._answers: OrderedDict[K, _Answer[V]] = OrderedDict()
        self._asking: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, ask: Callable[[], Awaitable[V]], *, at_most_s: float = math.inf) -> V:
        """The answer under `key`, asked for by `ask` when it is not known, or is older than `at_most_s`. Raises what
        `ask` raises."""
        known = self._answers.get(key)
        now = time.monotonic()
        if known is not None and now - known.asked_at < min(self._fresh_s(known.value), at_most_s):
            self._answers.move_to_end(key)
            return known.value
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._learn(key, ask), name="ask the hub")
            asking.add_done_callback(lambda task: self._done(key, task))
        try:
            return await asyncio.shield(asking)
        except self._away:
            if known is not None and time.monotonic() - known.asked_at < self._usable_s:
                return known.value
            raise

    def fresh(self, key: K) -> V | None:
        """The answer that is remembered under `key`, while it is used again without asking."""
        known = self._answers.get(key)
        if known is None or time.monotonic() - known.asked_at >= self._fresh_s(known.value):
            return None
        return known.value

    async def close(self) -> None:
        """End what is being asked."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _learn(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        asked_at = time.monotonic()
        value = await ask()
        self._answers[key] = _Answer(value, asked_at)
        self._answers.move_to_end(key)
        while len(self._answers) > MOST:
            self._answers.popitem(last=False)
        return value

    def _done(self, key: K, task: asyncio.Task[V]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # whoever asked has been told; when nobody waits any more, nobody has to be
