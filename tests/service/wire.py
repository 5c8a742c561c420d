"""The wire on both sides of the gateway: an upstream that keeps every byte it gets, and a client that keeps every byte
of its answers."""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from hub_config.ports import free_ports

LIMIT_S = 60.0


@dataclass
class Request:
    """A request as it came over the wire."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    left: threading.Event = field(default_factory=threading.Event)
    """Set when the caller closed the connection before the answer was whole."""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


@dataclass(frozen=True)
class Answer:
    """What the upstream says: `pieces` are chunks of the body, sent as they come; None cuts the connection."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    body: bytes | None = b"{}"
    pieces: Callable[[Request], AsyncIterator[bytes | None]] | None = None


class RawUpstream:
    """Speaks HTTP/1.1 by hand, on a port that stays the same when it is closed and opened again."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Answer] = lambda _: Answer()
        (self.port,) = free_ports(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="raw upstream", daemon=True)
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT_S)
        self._loop.close()

    def open(self) -> None:
        async def listen() -> None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512, limit=2**20)

        self._do(listen())

    def close(self) -> None:
        """Nobody listens any more, and what was open is cut."""

        async def end() -> None:
            assert self._server is not None
            self._server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

        self._do(end())

    def _do(self, work: Awaitable[None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT_S)  # type: ignore[arg-type]  # a coroutine it is

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._serving.discard(task)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        headers = [(name, value.strip()) for name, _, value in (each.partition(":") for each in fields)]
        size = int(next((value for name, value in headers if name.lower() == "content-length"), "0"))
        request = Request(line, headers, await reader.readexactly(size))
        self.requests.append(request)
        answer = self.answer(request)
        watching = asyncio.create_task(_watch(reader, request))
        try:
            head = f"HTTP/1.1 {answer.status} Whatever\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
            if answer.pieces is None:
                body = answer.body or b""
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body)
                await writer.drain()
                return True
            writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode("latin-1"))
            async for piece in answer.pieces(request):
                if piece is None:
                    return False
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            return True
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


async def _watch(reader: asyncio.StreamReader, request: Request) -> None:
    """Notices that the caller leaves; what it sends meanwhile stays in the buffer."""
    while not reader.at_eof():
        await asyncio.sleep(0.01)
    request.left.set()


@dataclass(frozen=True)
class Reply:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


class Caller:
    """Sends requests with exactly the headers it is given, and reads bodies as they are. `base` is an address with a
    path in front of all paths."""

    def __init__(self, base: str, **headers: str) -> None:
        self.parts = urlsplit(base)
        self.headers = headers

    def open(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: list[tuple[str, str]] | None = None,
        *,
        patience_s: float = LIMIT_S,
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """The connection and the answer, of which the head alone is read."""
        connection = http.client.HTTPConnection(self.parts.hostname or "", self.parts.port, timeout=patience_s)
        connection.putrequest(method, f"{self.parts.path}{path}", skip_accept_encoding=True)
        for name, value in [*self.headers.items(), *(headers or [])]:
            connection.putheader(name, value)
        if method == "POST":
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        return connection, connection.getresponse()

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: list[tuple[str, str]] | None = None,
        *,
        patience_s: float = LIMIT_S,
    ) -> Reply:
        """`patience_s`: how long it waits for the next byte."""
        connection, answer = self.open(method, path, body, headers, patience_s=patience_s)
        try:
            return Reply(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()
