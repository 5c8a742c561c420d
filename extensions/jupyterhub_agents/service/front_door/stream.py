"""One run's events, from a workspace to somebody outside, over whatever restarts on the way."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

import httpx
from httpx_sse import EventSource

from ...errors import AgentsError, WorkspaceUnreachable, decode, encode
from .access import Target
from .passage import NotThere, Passage

SIGN_S = 5.0
"""Silence after which the reader is told that the stream is still there, as workspaces do."""
SILENCE_S = 12.0
"""A workspace says something every 5 s. The hub's proxy keeps a stream open whose other end has gone (seen)."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
CHECK_S = 30.0
"""Between two looks whether the reader's token still holds."""

T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """One message of a stream: `event`, `delta`, `run` and `end` are the workspace's; `progress` and `error` are this
    door's. `data` is JSON."""

    kind: str
    data: str
    seq: int | None = None

    @property
    def sse(self) -> str:
        """As a server-sent event (WHATWG HTML, section 9.2)."""
        number = f"id: {self.seq}\n" if self.seq is not None else ""
        return f"event: {self.kind}\n{number}data: {self.data}\n\n"

    @property
    def message(self) -> str:
        """As the text of a WebSocket's message."""
        return f'{{"type":"{self.kind}","data":{self.data}}}'


STILL_HERE = ": still here\n\n"


def error_item(error: AgentsError) -> Item:
    """What ends a stream that cannot go on."""
    return Item("error", json.dumps(encode(error)[1], ensure_ascii=False))


class _Broken(Exception):
    """The connection to the workspace ended before the run, or left something out."""


class RunStream:
    """Follows the run that `target` names, from the event after number `after`.

    A connection that breaks is made anew from the last event that was told, for `patience_s` seconds without contact:
    each event is told once, and in order.
    """

    def __init__(self, passage: Passage, target: Target, *, token: str, after: int, patience_s: float) -> None:
        self._passage = passage
        self._target = target
        self._token = token
        self._patience_s = patience_s
        self._last = after
        self._run = ""
        self._ended = False

    async def items(self) -> AsyncGenerator[Item]:
        """Raises what the workspace refuses, and WorkspaceUnreachable when it stays away."""
        away_since: float | None = None
        pause = FIRST_PAUSE_S
        while True:
            try:
                async with aclosing(self._connection()) as items:
                    async for item in items:
                        away_since, pause = None, FIRST_PAUSE_S
                        yield item
                if self._ended:
                    return
                raise _Broken("the connection ended before the run")
            except (NotThere, _Broken, httpx.HTTPError) as error:
                now = time.monotonic()
                away_since = now if away_since is None else away_since
                if now - away_since >= self._patience_s:
                    raise WorkspaceUnreachable(
                        f"{self._target.user}'s workspace has been away for {self._patience_s:.0f} s "
                        f"({str(error) or type(error).__name__}). Go on later with after={self._last}."
                    ) from error
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _connection(self) -> AsyncGenerator[Item]:
        headers = [(b"accept", b"text/event-stream"), (b"cache-control", b"no-store")]
        asked = self._passage.answer(
            "GET", self._target, token=self._token, query=f"after={self._last}", headers=headers, silence_s=SILENCE_S
        )
        async with asked as answer:
            if answer.status_code != 200:
                error = decode(answer.status_code, _object(await answer.aread()))
                if answer.status_code >= 500:
                    raise _Broken(error.message)
                raise error
            async for sent in EventSource(answer).aiter_sse():
                item = self._take(sent.event, sent.data, sent.id)
                if item is not None:
                    yield item
                if self._ended:
                    return

    def _take(self, kind: str, data: str, number: str) -> Item | None:
        if kind == "event":
            seq = int(number)
            if seq <= self._last:
                return None
            if seq > self._last + 1:
                raise _Broken(f"event {seq} came after {self._last}")
            self._last = seq
            return Item(kind, data, seq)
        if kind == "run":
            # Said again with each connection.
            known, self._run = self._run, data
            return Item(kind, data) if data != known else None
        self._ended = kind == "end"
        return Item(kind, data) if kind in ("delta", "end") else None


async def with_signs(
    items: AsyncIterator[T], check: Callable[[], Awaitable[None]] | None = None
) -> AsyncGenerator[T | None]:
    """The items, and None for each while of silence. `check` is called now and then; what it raises ends the stream."""
    waiting: asyncio.Future[T] | None = None
    checked = time.monotonic()
    try:
        while True:
            if check is not None and time.monotonic() - checked >= CHECK_S:
                await check()
                checked = time.monotonic()
            waiting = waiting or asyncio.ensure_future(anext(items))
            done, _ = await asyncio.wait({waiting}, timeout=SIGN_S)
            if not done:
                yield None
                continue
            try:
                item = waiting.result()
            except StopAsyncIteration:
                return
            finally:
                waiting = None
            yield item
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


def _object(content: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(content)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
