"""An event loop in a thread of its own, for a client without one that has to do something meanwhile."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
CLOSE_S = 5.0


class Background:
    """Runs coroutines beside the caller. The thread does not keep the program from ending."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._work: set[concurrent.futures.Future[Any]] = set()  # a loop holds what it works on weakly
        self._thread = threading.Thread(target=self._run, name="agents client", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(asyncio.wait(left, timeout=CLOSE_S))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begin with it; cancelling the future cancels it. What it prints belongs to the cell that the caller is in."""
        context = contextvars.copy_context()
        future = context.run(asyncio.run_coroutine_threadsafe, work, self._loop)
        self._work.add(future)
        future.add_done_callback(self._work.discard)
        return future

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it, and wait for it. An interrupt here cancels it."""
        future = self.start(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what is left, and end the thread."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(2 * CLOSE_S)
