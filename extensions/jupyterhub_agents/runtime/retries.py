"""Calls of the store that are made again while it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import StoreUnavailable

log = logging.getLogger(__name__)

RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

T = TypeVar("T")


async def until_stored(call: Callable[[], Awaitable[T]], on_trouble: Callable[[str], None]) -> T:
    """The answer of `call`, made as often as it takes while the store is away. `on_trouble` is told why nothing is
    stored, and an empty text when that is over. A call whose answer was lost is made again, so it must bear that. Other
    errors are the caller's."""
    attempt = 0
    while True:
        try:
            answer = await call()
        except StoreUnavailable as error:
            wait = RETRY_S[min(attempt, len(RETRY_S) - 1)]
            if attempt == 0:
                on_trouble(error.message)
                log.warning("a run waits for the store: %s", error.message)
            attempt += 1
            await asyncio.sleep(wait)
        else:
            if attempt:
                on_trouble("")
                log.info("the store took it", extra={"tries": attempt + 1})
            return answer
