"""When a single request is sent again: briefly, and only when that cannot do anything twice."""

from __future__ import annotations

from typing import Any, NoReturn

import httpx

from ..errors import AgentsError
from . import protocol
from .errors import Unreachable
from .follow import backoff

MAX_ATTEMPTS = 4
"""Tries of one request: enough for a proxy that is just learning a route, short of what a person would wait."""


class Attempts:
    """The tries of one request."""

    retried = (httpx.TransportError, Unreachable)

    def __init__(self, place: str, call: protocol.Call[Any]) -> None:
        self._place = place
        self._call = call
        self._count = 0

    def failed(self, error: Exception) -> float:
        """Seconds to wait before the next try. Raises the error when there is none."""
        self._count += 1
        # Without a connection nothing was sent, so nothing can be done twice.
        may_repeat = self._call.is_repeatable or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        if not may_repeat or self._count >= MAX_ATTEMPTS:
            self._give_up(error)
        return backoff(self._count)

    def _give_up(self, error: Exception) -> NoReturn:
        if isinstance(error, AgentsError):
            raise error
        if isinstance(error, httpx.TransportError):
            raise protocol.no_answer(self._place, error) from error
        raise error
