"""The gateway as an ASGI application: who calls, may they, pass it through, what did it use.

Plain ASGI, because each piece of an answer goes from one socket to the other with nothing between.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from ...errors import AgentsError
from ...ids import Clock, utcnow
from ..identity import Identities, Person
from . import metrics
from .client import Answer, Client, UpstreamGone
from .headers import RawHeaders, credential, downwards, upwards
from .meter import Call, Meter, Refused, Reservation
from .refusals import STOP, Refusal, not_served, of_caller, redirected, too_large, unforeseen, unreachable
from .upstream import Forward, NotOffered, Upstream
from .usage import UsageReader

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MESSAGES = "/v1/messages"
SERVED = {
    MESSAGES: ("POST",),
    "/v1/messages/count_tokens": ("POST",),
    "/v1/models": ("GET",),
    "/api/hello": ("HEAD", "GET"),
}
ONE_MODEL = re.compile(r"/v1/models/[A-Za-z0-9][A-Za-z0-9._@:-]{0,199}\Z")


UNWATCHED_S = 0.05
"""For so long nobody looks whether a caller has gone."""


class Left(Exception):
    """The caller has gone."""


class CutOff(Exception):
    """The upstream broke off in the middle of an answer. Raised out of the application, so that the caller's connection
    is cut too: an answer that ended in order would be taken for whole."""


class _Asked(BaseModel):
    """What the meter needs to know of a request. Whatever is wrong with it is the API's to say."""

    model: Any = None
    max_tokens: Any = None
    stream: Any = None


_ASKED = TypeAdapter(_Asked)


class GatewayApp:
    """Serves the paths in SERVED, below wherever it is mounted."""

    def __init__(
        self,
        *,
        identities: Identities,
        meter: Meter,
        upstream: Upstream,
        client: Client,
        body_limit: int,
        clock: Clock = utcnow,
    ) -> None:
        self._identities = identities
        self._meter = meter
        self._upstream = upstream
        self._client = client
        self._limit = body_limit
        self._clock = clock
        self._settling: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Wait until all that ended is settled."""
        if self._settling:
            await asyncio.wait(self._settling, timeout=10)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope, receive, send)
        try:
            try:
                await self._serve(exchange)
            except NotOffered as none:
                await exchange.refuse(none.refusal)
        except Left:
            pass
        except CutOff:
            raise
        except Exception:
            if exchange.started:
                raise
            log.exception("a call failed")
            await exchange.refuse(unforeseen())

    async def _serve(self, exchange: _Exchange) -> None:
        begin = time.monotonic()
        if not exchange.is_served:
            await exchange.refuse(not_served(exchange.method, exchange.path))
            return
        if exchange.path == "/api/hello":
            await exchange.answer(200, [(b"content-type", b"application/json"), (b"content-length", b"2")], b"{}")
            return
        try:
            person = await self._identities.of_credential(credential(exchange.headers))
        except AgentsError as error:
            metrics.REFUSALS.labels("identity").inc()
            await exchange.refuse(of_caller(error))
            return
        body = await exchange.body(self._limit)
        if body is None:
            metrics.REFUSALS.labels("size").inc()
            await exchange.refuse(too_large(self._limit))
            return
        if exchange.path != MESSAGES:
            await self._pass_through(exchange, body, None, begin)
            return
        call = self._call(person, body)
        try:
            reservation = await self._meter.reserve(call)
        except Refused as refused:
            metrics.REFUSALS.labels("meter").inc()
            await exchange.refuse(
                Refusal(refused.status, refused.error_type, refused.message, {**STOP, **refused.headers})
            )
            return
        bill = _Bill(reservation, begin)
        try:
            await self._pass_through(exchange, body, bill, begin)
        finally:
            await self._settle(bill)

    async def _pass_through(self, exchange: _Exchange, body: bytes, bill: _Bill | None, begin: float) -> None:
        forward = await self._upstream.forward(
            method=exchange.method,
            path=exchange.path,
            query=exchange.query,
            headers=upwards(exchange.headers),
            body=body,
        )
        try:
            with _Watching(exchange):
                await self._move(exchange, forward, bill, begin)
        except Left:
            metrics.CUT.labels("caller").inc()

    async def _move(self, exchange: _Exchange, forward: Forward, bill: _Bill | None, begin: float) -> None:
        with metrics.OPEN.track_inprogress():
            try:
                request = self._client.request(exchange.method, forward.url, forward.headers, forward.body)
                async with request as answer:
                    await self._answer(exchange, answer, bill, begin)
            except UpstreamGone as error:
                if exchange.started:
                    metrics.CUT.labels("upstream").inc()
                    log.warning("%s cut an answer: %s", self._upstream.host, error)
                    raise CutOff from error
                log.warning("%s was not reached: %s", self._upstream.host, error)
                metrics.REFUSALS.labels("unreachable").inc()
                await exchange.refuse(unreachable(self._upstream.host))

    async def _answer(self, exchange: _Exchange, answer: Answer, bill: _Bill | None, begin: float) -> None:
        metrics.CALLS.labels(exchange.path if not exchange.one_model else "/v1/models/{id}", answer.status).inc()
        metrics.FIRST_BYTE.observe(time.monotonic() - begin)
        if 300 <= answer.status < 400:
            log.error("%s answered %d: Gateway's address of it is wrong", self._upstream.host, answer.status)
            await exchange.refuse(redirected(self._upstream.host))
            return
        headers = downwards(answer.headers)
        reader = None
        if bill is not None:
            bill.status = answer.status
            if answer.status == 200:
                reader = bill.reader = UsageReader(
                    content_type=_value(headers, b"content-type"),
                    content_encoding=_value(headers, b"content-encoding"),
                )
        await exchange.start(answer.status, headers)
        async for piece in answer.pieces():
            if reader is not None:
                reader.feed(piece)
            await exchange.write(piece)
        if reader is not None:
            reader.finish()
        await exchange.end()

    def _call(self, person: Person, body: bytes) -> Call:
        try:
            asked = _ASKED.validate_json(body)
        except ValidationError:
            asked = _Asked()
        return Call(
            person=person,
            model=asked.model if isinstance(asked.model, str) else "",
            max_tokens=asked.max_tokens if isinstance(asked.max_tokens, int) else None,
            input_chars=len(body),
            stream=bool(asked.stream),
            started_at=self._clock(),
        )

    async def _settle(self, bill: _Bill) -> None:
        """In a task of its own: a caller who leaves, or a service that stops, breaks no settlement off."""
        task = asyncio.create_task(bill.settle(), name="settle gateway call")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        await asyncio.shield(task)


class _Bill:
    """What is to be settled for one call."""

    def __init__(self, reservation: Reservation, begin: float) -> None:
        self._reservation = reservation
        self._begin = begin
        self.status = 502
        self.reader: UsageReader | None = None

    async def settle(self) -> None:
        usage = self.reader.usage if self.reader is not None else metrics.NOTHING
        metrics.count(usage)
        try:
            await self._reservation.settle(
                usage,
                status=self.status,
                duration_s=time.monotonic() - self._begin,
                complete=self.reader.complete if self.reader is not None else True,
            )
        except Exception:
            log.exception("a call could not be settled")


class _Watching:
    """Cancels what a caller waits for when the caller leaves, and makes Left of that, as asyncio.timeout does with
    TimeoutError.

    Nobody looks in the first moments: a task for each call costs what it takes, and a call that is over by then needs
    none."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange
        self._task = _this_task()
        self._loop = asyncio.get_running_loop()
        self._watch: asyncio.Task[None] | None = None
        self._left = False

    def __enter__(self) -> None:
        self._cancelling = self._task.cancelling()
        self._timer = self._loop.call_later(UNWATCHED_S, self._begin)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._timer.cancel()
        if self._watch is not None:
            self._watch.remove_done_callback(self._end)
            self._watch.cancel()
        if self._left and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise Left from error

    def _begin(self) -> None:
        self._watch = self._loop.create_task(self._exchange.left(), name="gateway caller")
        self._watch.add_done_callback(self._end)

    def _end(self, watch: asyncio.Task[None]) -> None:
        # The server calls an answer that is over a caller who has left.
        if not watch.cancelled() and not self._exchange.ended:
            self._left = True
            self._task.cancel()


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a call is served in a task")
    return task


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.headers: RawHeaders = list(scope["headers"])
        # As it came, not decoded: what looks like another path stays what it is. uvicorn leaves the query out.
        root = str(scope.get("root_path", ""))
        raw = bytes(scope.get("raw_path") or b"").decode("latin-1")
        self.path = raw.removeprefix(root)
        self.query = bytes(scope["query_string"]).decode("latin-1")
        self.one_model = ONE_MODEL.match(self.path) is not None
        self.started = False
        self.ended = False
        self._receive = receive
        self._send = send

    @property
    def is_served(self) -> bool:
        return self.method in (("GET",) if self.one_model else SERVED.get(self.path, ()))

    async def body(self, limit: int) -> bytes | None:
        """The whole of it; None when it is longer than `limit`. Raises Left."""
        declared = dict(self.headers).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            return None
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Left
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > limit:
                return None
            if not message.get("more_body", False):
                return b"".join(pieces)

    async def left(self) -> None:
        """Returns when the caller has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, headers: RawHeaders) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, piece: bytes) -> None:
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self, last: bytes = b"") -> None:
        self.ended = True
        await self._send({"type": "http.response.body", "body": last})

    async def answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        await self.start(status, headers)
        await self.end(b"" if self.method == "HEAD" else body)

    async def refuse(self, refusal: Refusal) -> None:
        headers, body = refusal.encode()
        await self.answer(refusal.status, headers, body)


def _value(headers: RawHeaders, name: bytes) -> str:
    return next((value for key, value in headers if key == name), b"").decode("latin-1")
