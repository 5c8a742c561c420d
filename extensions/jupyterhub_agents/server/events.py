"""`/api/runs/{id}/events`: a run's events as a JSON page, as server-sent events, or over a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from jupyter_server.base.websocket import WebSocketMixin
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ..errors import AgentsError, InvalidInput
from ..queries import EventsPage, EventsQuery
from ..runtime.feed import StreamItem
from .base import AgentsHandler, authorized, web

KEEP_ALIVE_S = 5.0
"""Silence after which a stream says that it is still there. A reader behind configurable-http-proxy learns of a broken
connection by nothing else: the proxy keeps its own side open."""


class EventsHandler(WebSocketMixin, WebSocketHandler, AgentsHandler):
    """One path, three forms: a WebSocket when the request is an upgrade, SSE when it accepts
    `text/event-stream`, else a JSON page."""

    _after = 0
    _run_id = ""
    _stream: asyncio.Task[None] | None = None

    async def prepare(self) -> None:  # type: ignore[override]  # APIHandler's is a coroutine; Tornado's stub is not
        """As the API's other handlers. What WebSocketMixin would add keeps from a login page, which none here has."""
        await AgentsHandler.prepare(self)

    @web.authenticated
    @authorized
    async def get(self, run_id: str) -> None:  # type: ignore[override]  # Tornado's takes any arguments
        self._run_id = run_id
        query = self.query(EventsQuery)
        self._after = query.after
        if self.request.headers.get("Upgrade", "").lower() == "websocket":
            # An unknown run is said with its status before the upgrade, when the client can still read it.
            await (await self.manager()).get(run_id)
            await WebSocketHandler.get(self, run_id)
        elif "text/event-stream" in self.request.headers.get("Accept", ""):
            await self._send_sse()
        else:
            await self._send_page(query)

    async def _send_page(self, query: EventsQuery) -> None:
        manager = await self.manager()
        run = await manager.get(self._run_id)
        events = await (await self.store()).list_events(self.owner, self._run_id, after=query.after, limit=query.limit)
        self.reply(EventsPage.of(run, events, query.after))

    async def items(self) -> AsyncGenerator[StreamItem | None]:
        """What the stream tells; None for each while of silence."""
        manager = await self.manager()
        async with aclosing(manager.follow(self._run_id, self._after)) as items:
            waiting: asyncio.Task[StreamItem] | None = None
            try:
                while True:
                    waiting = waiting or asyncio.ensure_future(anext(items))
                    done, _ = await asyncio.wait({waiting}, timeout=KEEP_ALIVE_S)
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

    # Server-sent events (WHATWG HTML, section 9.2)

    async def _send_sse(self) -> None:
        if last_id := self.request.headers.get("Last-Event-ID"):
            if not last_id.isdecimal():
                raise InvalidInput(f"Last-Event-ID is {last_id[:40]!r}; it is an event's number, such as 12.")
            self._after = max(self._after, int(last_id))
        await (await self.manager()).get(self._run_id)
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")
        self._stream = asyncio.current_task()
        self._send_at_once()
        try:
            async with aclosing(self.items()) as items:
                async for item in items:
                    self.write(sse(item))
                    await self.flush()
        except (StreamClosedError, asyncio.CancelledError):
            return
        self.finish(set_content_type="text/event-stream")

    def _send_at_once(self) -> None:
        """Small messages are sent as they come. Tornado leaves TCP's default, by which each waits until the one before
        is acknowledged (Nagle's algorithm, RFC 1122, section 4.2.3.4): with a delayed acknowledgement 40 ms."""
        stream = getattr(self.request.connection, "stream", None)
        if stream is not None:
            stream.set_nodelay(True)

    def on_connection_close(self) -> None:
        """The reader left: stop following at once, not at the next event."""
        if self._stream is not None:
            self._stream.cancel()
        super().on_connection_close()

    # WebSocket

    async def open(self, run_id: str) -> None:
        WebSocketMixin.open(self, run_id)
        self.set_nodelay(True)
        self._stream = asyncio.create_task(self._send_messages(), name=f"stream {run_id}")

    async def _send_messages(self) -> None:
        with suppress(WebSocketClosedError, StreamClosedError):
            try:
                async with aclosing(self.items()) as items:
                    async for item in items:
                        if item is not None:
                            await self.write_message(f'{{"type":"{item.kind}","data":{item.json}}}')
            except AgentsError as error:
                self.close(1011, error.message.encode()[:120].decode(errors="ignore"))
            else:
                self.close(1000)

    def on_message(self, message: str | bytes) -> None:
        """The stream goes one way; what a reader sends is passed over."""

    def on_close(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
        super().on_close()


def sse(item: StreamItem | None) -> str:
    """An item as the text of a server-sent event; a comment for silence. JSON has no line breaks of its own."""
    if item is None:
        return ": still here\n\n"
    number = f"id: {item.seq}\n" if item.seq is not None else ""
    return f"event: {item.kind}\n{number}data: {item.json}\n\n"
