"""One HTTP/1.1 connection to the upstream, and the call that is under way on it.

The event loop hands over what arrives, llhttp (by httptools) takes it apart, and one future wakes the call. httptools
has no way to say that the answer is one to HEAD, nor that the connection has ended, so both are minded here (RFC 9112,
section 6.3).
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Callable
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from .client import HEADER_LIMIT, READ_BUFFER, UpstreamGone, reason
from .headers import RawHeaders

BODILESS = (204, 304)


class Connection(asyncio.Protocol):
    """Takes one call at a time: ask(), the head, pieces(), release(). `forget` is told when it has closed.

    Is the call's Answer itself, and the iterator over its pieces: a generator that its reader leaves would need a task
    to be closed in."""

    def __init__(self, forget: Callable[[Connection], None]) -> None:
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._readable = select.poll()
        self._parser: HttpResponseParser | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._busy = False
        self._paused = False
        self.idle_since = 0.0

    async def ask(self, method: str, head: bytes, body: bytes) -> None:
        """Send a request and wait for the head of its answer. Raises UpstreamGone."""
        if self._parser is None:
            self._parser = HttpResponseParser(self)
        self.status = 0
        self.headers: RawHeaders = []
        self.heard = False
        """Whether a first byte of the answer came."""
        self._no_body = method == "HEAD"
        self._pieces: list[bytes] = []
        self._held = 0
        self._unused = 0  # bytes fed since the parser last told of something
        self._whole = False
        self._until_close = False
        self._keep = False
        self._trouble = ""
        self._busy = True
        if body:
            self._transport.writelines((head, body))
        else:
            self._transport.write(head)
        while not self.status:
            if self._trouble:
                raise UpstreamGone(self._trouble)
            await self._wait()

    def pieces(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._whole:
                raise StopAsyncIteration
            if self._trouble:
                raise UpstreamGone(self._trouble)
            await self._wait()
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        if self._paused:
            self._resume()
        return piece

    def release(self) -> bool:
        """The call is over; whether the connection may carry another."""
        if not (self._whole and self._keep) or self._transport.is_closing() or self._transport.get_write_buffer_size():
            return False
        self._pieces.clear()
        if self._paused:
            self._resume()
        self._busy = False
        self.idle_since = self._loop.time()
        return True

    @property
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    @property
    def is_usable(self) -> bool:
        """Whether it is open and quiet. The event loop may not have come to read yet that the other end has closed
        it."""
        return not self._transport.is_closing() and not self._readable.poll(0)

    def abort(self) -> None:
        self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if not self._busy or self._whole or self._parser is None:
            self._fail("nobody asked for what came")
            return
        self.heard = True
        self._unused += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(f"no HTTP: {reason(error.__context__ or error)}")
            return
        if self._unused > HEADER_LIMIT:
            self._fail(f"more than {HEADER_LIMIT} bytes of headers")
            return
        if self._held > READ_BUFFER and not self._paused:
            self._transport.pause_reading()
            self._paused = True
        self._wake()

    def eof_received(self) -> None:
        if self._busy and self._until_close:
            self._whole = True
            self._wake()
        else:
            self._fail("the connection was closed")

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(reason(error) if error is not None else "the connection was closed")
        self._parser = None  # it holds on to this object
        self._forget(self)

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._whole:
            raise ValueError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # else a trailer
            self.headers.append((name, value.rstrip(b" \t")))  # llhttp strips the other end only

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None  # noqa: S101 - it is calling
        status = parser.get_status_code()
        if self._unused > HEADER_LIMIT and sum(len(name) + len(value) for name, value in self.headers) > HEADER_LIMIT:
            raise ValueError(f"more than {HEADER_LIMIT} bytes of headers")
        self._unused = 0
        if status < 200:
            return
        self._keep = parser.should_keep_alive() and parser.get_http_version() == "1.1"
        if self._no_body:
            self._whole = True
            self._parser = None  # it waits for the body
        elif not self._keep:
            self._until_close = status not in BODILESS and not _delimited(self.headers)
        self.status = status

    def on_body(self, piece: bytes) -> None:
        if self._whole:
            self._keep = False
            return
        self._pieces.append(piece)
        self._held += len(piece)
        self._unused = 0

    def on_message_complete(self) -> None:
        if self.status:
            self._whole = True
        else:  # an interim answer (1xx): the real one follows
            self.headers.clear()

    def _fail(self, trouble: str) -> None:
        """The connection is of no use any more; an answer that is whole has its say all the same."""
        self._keep = False
        if self._busy and not self._whole and not self._trouble:
            self._trouble = trouble
        self._transport.abort()
        self._wake()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _resume(self) -> None:
        self._paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()


def _delimited(headers: RawHeaders) -> bool:
    """Whether a body says itself where it ends: by its last chunk, or by its length."""
    codings = [value for name, value in headers if name.lower() == b"transfer-encoding"]
    if codings:
        return codings[-1].rpartition(b",")[2].strip().lower() == b"chunked"
    return any(name.lower() == b"content-length" for name, _ in headers)
