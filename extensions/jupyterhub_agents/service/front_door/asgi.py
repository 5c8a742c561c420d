"""The front door as an ASGI application: `NAME/api/...`, the same paths as the workspace's own API."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from ...errors import AgentsError, InvalidInput, NotFound, TooLarge, WorkspaceUnreachable, decode, encode
from ..gateway.headers import credential, downwards
from ..hub import Progress
from ..identity import Identities
from . import metrics
from .access import STARTS_RUN, Target, check_access, target_of
from .passage import Passage, asleep, headers_for_workspace, query_for_workspace, wakes
from .stored import StoredAnswers
from .stream import STILL_HERE, Item, RunStream, error_item, with_signs
from .workspaces import Workspaces

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
CONVERSATION = "api/conversation"
CONVERSATION_S = 3_600.0
"""The longest that a workspace waits for the answer of a turn."""
SOURCE = "X-Agents-Source"
"""Says where an answer is from: `workspace`, or `store` for one that was stopped."""
FROM_WORKSPACE, FROM_STORE = (SOURCE, "workspace"), (SOURCE, "store")
READS = ("GET", "HEAD")
SSE_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
HANDSHAKE_S = 10.0
LARGEST_MESSAGE = 32 * 1024 * 1024
"""Bytes of one message of a conversation: an event may hold all that a tool printed."""


class FrontDoorApp:
    """Serves what `access.SERVED` names, below wherever it is mounted. It raises AgentsError for the application around
    it to tell."""

    def __init__(
        self, *, identities: Identities, workspaces: Workspaces, passage: Passage, stored: StoredAnswers,
        patience_s: float, body_limit: int,
    ) -> None:  # fmt: skip
        self._identities = identities
        self._workspaces = workspaces
        self._passage = passage
        self._stored = stored
        self._patience_s = patience_s
        self._limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._serve_websocket(WebSocket(scope, receive, send))
            return
        request = Request(scope, receive)
        kind = _kind(request)
        try:
            response = await self._answer(request)
        except AgentsError as error:
            metrics.REQUESTS.labels(kind, error.status).inc()
            raise
        metrics.REQUESTS.labels(kind, response.status_code).inc()
        await response(scope, receive, send)

    async def _enter(self, scope: Scope) -> tuple[Target, str]:
        """What is asked for, and the token by which it may be. Raises NotFound, NotSignedIn, NotAllowed."""
        raw = bytes(scope.get("raw_path") or b"").decode("latin-1")
        token = credential(scope["headers"]) or ""
        person = await self._identities.of_credential(token)
        target = target_of(raw.removeprefix(str(scope.get("root_path", ""))).removeprefix("/"))
        check_access(person, target.user)
        return target, token

    # HTTP

    async def _answer(self, request: Request) -> Response:
        if request.method not in METHODS:
            raise NotFound(f"{request.method} is not possible here.")
        target, token = await self._enter(request.scope)
        body = await self._body(request)
        query = str(request.scope["query_string"], "latin-1")
        streams = "text/event-stream" in request.headers.get("accept", "")
        sleeps = await self._workspaces.needs_start(target.user)
        again = "last-event-id" in request.headers
        if sleeps and not wakes(query, reads=request.method in READS, again=again):
            return await self._asleep(request, target, query, streams=streams)
        if streams and request.method == "GET" and target.run_id is not None:
            after = _after(request)
            if not sleeps:
                # What is wrong is said with its status while there is one to give.
                await self._look(target, token)
            return _sse(with_signs(self._events(target, token, after), self._still(request.scope, target)))
        if streams and request.method == "POST" and STARTS_RUN.match(target.path):
            items = self._run(target, token, query, request.headers.raw, body)
            return _sse(with_signs(items, self._still(request.scope, target)))
        if sleeps:
            with metrics.waking():
                await self._workspaces.awake(target.user, token)
        return await self._pass_through(request, target, token, query, body)

    async def _asleep(self, request: Request, target: Target, query: str, *, streams: bool) -> Response:
        """From the store what it has. Raises WorkspaceNotRunning for all else."""
        if request.method not in READS:
            raise asleep(target.user)
        if streams and target.run_id is not None:
            run, after = await self._stored.run(target), _after(request)
            metrics.STORED.inc()
            return _sse(with_signs(self._stored.follow(run, after)), FROM_STORE)
        content = await self._stored.answer(target, query)
        if content is None:
            raise asleep(target.user)
        metrics.STORED.inc()
        return Response(content, headers=dict([FROM_STORE]), media_type="application/json")

    async def _body(self, request: Request) -> bytes:
        pieces, size = [], 0
        async for piece in request.stream():
            pieces.append(piece)
            size += len(piece)
            if size > self._limit:
                raise TooLarge(f"The body has more than {self._limit} bytes, the most that a workspace takes.")
        return b"".join(pieces)

    async def _pass_through(
        self, request: Request, target: Target, token: str, query: str, body: bytes
    ) -> StreamingResponse:
        stack = AsyncExitStack()
        try:
            answer = await stack.enter_async_context(
                self._passage.settled(
                    request.method, target, token=token, query=query_for_workspace(query),
                    headers=headers_for_workspace(request.headers.raw), body=body,
                    silence_s=CONVERSATION_S + HANDSHAKE_S if target.path == CONVERSATION else None,
                )
            )  # fmt: skip
        except BaseException:
            await stack.aclose()
            raise

        async def pieces() -> AsyncGenerator[bytes]:
            async with stack:
                if answer.is_stream_consumed:  # an error, read to see whose it is
                    yield answer.content
                    return
                async for piece in answer.aiter_raw():
                    yield piece

        response = StreamingResponse(pieces(), answer.status_code)
        response.raw_headers = [*downwards(answer.headers.raw), _raw(FROM_WORKSPACE)]
        return response

    async def _look(self, target: Target, token: str) -> None:
        """See that the run is there. Raises what the workspace says."""
        run = Target(target.user, target.path.removesuffix("/events"))
        async with self._passage.settled("GET", run, token=token) as answer:
            content = await answer.aread()
            if answer.status_code != 200:
                raise _error(answer.status_code, content)

    async def _events(self, target: Target, token: str, after: int) -> AsyncGenerator[Item]:
        """The workspace's start, then the run's events. Ends with an item for what goes wrong."""
        try:
            async for item in self._waking(target, token):
                yield item
            stream = RunStream(self._passage, target, token=token, after=after, patience_s=self._patience_s)
            async with aclosing(stream.items()) as items:
                async for item in items:
                    yield item
        except AgentsError as error:
            yield error_item(error)

    async def _run(
        self, target: Target, token: str, query: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> AsyncGenerator[Item]:
        """The workspace's start, a new run, and its events."""
        try:
            async for item in self._waking(target, token):
                yield item
            kept = [header for header in headers_for_workspace(headers) if header[0] != b"accept"]
            async with self._passage.settled(
                "POST", target, token=token, query=query_for_workspace(query), headers=kept, body=body
            ) as answer:
                content = await answer.aread()
                if answer.status_code != 201:
                    raise _error(answer.status_code, content)
            run_id = str(json.loads(content)["id"])
        except AgentsError as error:
            yield error_item(error)
            return
        events = Target(target.user, f"api/runs/{run_id}/events")
        async with aclosing(self._events(events, token, 0)) as items:
            async for item in items:
                yield item

    async def _waking(self, target: Target, token: str) -> AsyncGenerator[Item]:
        if not await self._workspaces.needs_start(target.user):
            return
        with metrics.waking():
            async with aclosing(self._workspaces.wake(target.user, token)) as steps:
                async for step in steps:
                    yield progress_item(step)

    def _still(self, scope: Scope, target: Target) -> Callable[[], Awaitable[None]]:
        """A look whether the caller may still read on."""

        async def check() -> None:
            try:
                await self._enter(scope)
            except AgentsError as error:
                if error.status in (401, 403):
                    raise

        return check

    # WebSocket

    async def _serve_websocket(self, socket: WebSocket) -> None:
        try:
            target, token = await self._enter(socket.scope)
            if target.run_id is None and target.path != CONVERSATION:
                raise NotFound(f"There is no WebSocket at {target.path}.")
            query = str(socket.scope["query_string"], "latin-1")
            sleeps = await self._workspaces.needs_start(target.user)
            after = _after(socket)
            run = None
            if sleeps and not wakes(query, reads=target.run_id is not None):
                if target.run_id is None:
                    raise asleep(target.user)
                run = await self._stored.run(target)
            if target.run_id is not None and not sleeps:
                await self._look(target, token)
        except AgentsError as error:
            status, told = encode(error)
            metrics.REQUESTS.labels("websocket", status).inc()
            await socket.send_denial_response(JSONResponse(told, status))
            return
        metrics.REQUESTS.labels("websocket", 101).inc()
        source = FROM_WORKSPACE if run is None else FROM_STORE
        await socket.accept(headers=[_raw(source)])
        with suppress(WebSocketDisconnect, ConnectionClosed), metrics.OPEN.labels("websocket").track_inprogress():
            if run is not None:
                metrics.STORED.inc()
                await self._tell_events(socket, target, self._stored.follow(run, after))
            elif target.run_id is not None:
                await self._tell_events(socket, target, self._events(target, token, after))
            else:
                await self._relay(socket, target, token, query)

    async def _tell_events(self, socket: WebSocket, target: Target, items: AsyncGenerator[Item]) -> None:
        async def tell() -> None:
            events = with_signs(items, self._still(socket.scope, target))
            try:
                async with aclosing(events):
                    async for item in events:
                        if item is not None:
                            await _tell(socket, item)
            except AgentsError as error:
                await _tell(socket, error_item(error))
                return
            await socket.close(1000)

        await _first_of(tell(), _left(socket))

    async def _relay(self, socket: WebSocket, target: Target, token: str, query: str) -> None:
        """A conversation: each side's messages to the other, as they come."""
        try:
            async with aclosing(self._waking(target, token)) as steps:
                async for step in steps:
                    await _tell(socket, step)
            address = "ws" + self._passage.url(target).removeprefix("http")
            asked = query_for_workspace(query)
            inner = await connect(
                address + (f"?{asked}" if asked else ""), additional_headers={"Authorization": f"token {token}"},
                proxy=None, open_timeout=HANDSHAKE_S, max_size=LARGEST_MESSAGE, compression=None,
            )  # fmt: skip
        except AgentsError as error:
            await _tell(socket, error_item(error))
            return
        except (OSError, TimeoutError, InvalidHandshake) as error:
            log.warning("a conversation did not reach its workspace: %s", type(error).__name__)
            reason = WorkspaceUnreachable(f"{target.user}'s workspace cannot be reached. Try again in a moment.")
            await _tell(socket, error_item(reason))
            return

        async def inwards() -> None:
            while True:
                await inner.send(await socket.receive_text())

        async def outwards() -> None:
            async for message in inner:
                await socket.send_text(message if isinstance(message, str) else message.decode())
            await socket.close(inner.close_code or 1012, inner.close_reason or "")

        async with inner:
            await _first_of(outwards(), inwards())


def progress_item(step: Progress) -> Item:
    """What a reader is told of a workspace that starts."""
    return Item("progress", json.dumps({"percent": step.percent, "message": step.message}, ensure_ascii=False))


def _kind(request: Request) -> str:
    """What a request is counted as."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return "stream"
    return "read" if request.method in READS else "change"


def _raw(header: tuple[str, str]) -> tuple[bytes, bytes]:
    return header[0].lower().encode(), header[1].encode()


def _sse(items: AsyncGenerator[Item | None], source: tuple[str, str] = FROM_WORKSPACE) -> StreamingResponse:
    async def pieces() -> AsyncGenerator[str]:
        with metrics.OPEN.labels("stream").track_inprogress():
            async with aclosing(items):
                try:
                    async for item in items:
                        yield item.sse if item is not None else STILL_HERE
                except AgentsError as error:
                    yield error_item(error).sse

    headers = SSE_HEADERS | dict([source])
    return StreamingResponse(pieces(), media_type="text/event-stream", headers=headers)


async def _tell(socket: WebSocket, item: Item) -> None:
    await socket.send_text(item.message)
    if item.kind == "error":
        await socket.close(1011, str(json.loads(item.data)["message"]).encode()[:120].decode(errors="ignore"))


async def _left(socket: WebSocket) -> None:
    """Returns when the reader has gone. What it sends is passed over."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _first_of(*work: Any) -> None:
    """Do all at once until one ends, then end the others."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _after(asked: Request | WebSocket) -> int:
    """From where on a stream is read. Raises InvalidInput."""
    given = dict(parse_qsl(str(asked.scope["query_string"], "latin-1"))).get("after", "0")
    said = {"after": given, "Last-Event-ID": asked.headers.get("last-event-id", "0")}
    for name, text in said.items():
        if not (text.isascii() and text.isdecimal() and len(text) < 19):
            raise InvalidInput(f"{name} is {text[:40]!r}; it is an event's number, such as 12.")
    return max(int(text) for text in said.values())


def _error(status: int, content: bytes) -> AgentsError:
    try:
        said = json.loads(content)
    except ValueError:
        said = None
    return decode(status, said if isinstance(said, dict) else None)
