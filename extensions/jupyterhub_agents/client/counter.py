"""Function calls of a run, made by the thread that waits for the run: in a notebook the main one.

There an interrupt reaches the function, what it prints is the cell's, and what may be used in one thread only (an
SQLite connection, a figure) works. While nobody waits for the run a call is made in a thread beside.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .background import Background
from .follow import Item
from .functions import PythonFunction
from .serving import Interrupted, here

CLAIM_S = 2.0
"""How long a call waits for a thread that follows the run, but looks at something else just now."""


@dataclass
class Work:
    """A call for one thread to make. Whoever claims it first has it."""

    function: PythonFunction
    arguments: Mapping[str, Any]
    result: concurrent.futures.Future[Any] = field(default_factory=concurrent.futures.Future)
    _claimed: threading.Lock = field(default_factory=threading.Lock)

    def claim(self) -> bool:
        return self._claimed.acquire(blocking=False)

    def do(self) -> None:
        """Make the call, in this thread. An interrupt ends it, is told to Claude, and goes on to the caller."""
        if not self.claim() or not self.result.set_running_or_notify_cancel():
            return
        try:
            value = self.function.call(self.arguments)
        except KeyboardInterrupt:
            self.result.set_exception(Interrupted())
            raise
        except BaseException as error:
            self.result.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))
        else:
            self.result.set_result(value)


@dataclass(frozen=True)
class End:
    """Nothing more comes; `error` says why, unless the run has ended."""

    error: BaseException | None


Line: TypeAlias = "queue.SimpleQueue[Item | Work | End]"


class Counter:
    """Where calls and the threads that wait for the run meet."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._waiting: list[Line] = []

    async def execute(self, function: PythonFunction, arguments: Mapping[str, Any]) -> Any:
        """In the thread that waits, if one does. An async function runs on the background's loop."""
        if function.is_async or not self._waiting:
            return await here(function, arguments)
        work = Work(function, arguments)
        self._waiting[-1].put(work)
        result = asyncio.wrap_future(work.result)
        await asyncio.wait({result}, timeout=CLAIM_S)
        if not result.done() and work.claim():
            return await here(function, arguments)
        return await result

    def follow(
        self,
        items: Callable[[], AsyncGenerator[Item, None]],
        *,
        deadline: float | None = None,
        tick_s: float | None = None,
    ) -> Generator[Item | None, None, None]:
        """The items of a run as they come, while the calls that come in between are made here. None for each `tick_s`
        of silence. Past `deadline` (of time.monotonic()) TimeoutError is raised."""
        line: Line = queue.SimpleQueue()

        async def read() -> None:
            error: BaseException | None = None
            try:
                async with aclosing(items()) as found:
                    async for item in found:
                        line.put(item)
            except Exception as raised:
                error = raised
            finally:
                line.put(End(error))

        reading = self._background.start(read())
        self._waiting.append(line)
        try:
            while True:
                left_s = None if deadline is None else max(deadline - time.monotonic(), 0)
                try:
                    got = line.get(timeout=tick_s if left_s is None else min(left_s, tick_s or left_s))
                except queue.Empty:
                    if deadline is not None and time.monotonic() >= deadline:
                        raise TimeoutError("The run has not ended in the time given; it goes on.") from None
                    yield None
                    continue
                if isinstance(got, Work):
                    got.do()
                elif isinstance(got, End):
                    if got.error is not None:
                        raise got.error
                    return
                else:
                    yield got
        finally:
            self._waiting.remove(line)
            reading.cancel()
