"""`ModelServer`: a local server of the Messages API, in a thread of its own. What it says is its subclass's."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import itertools
import json
import re
import socket
import threading
from abc import ABC, abstractmethod
from asyncio import Future
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import tornado.web
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError

from .conversation import Headers, Request
from .messages_api import (
    ERROR_TYPES,
    BadRequest,
    Json,
    check,
    error_body,
    identifier,
    message_body,
    sse,
    stream_events,
)
from .replies import Entry, Obstacle, Reply, say

MODELS = ("claude-opus-4-1", "claude-sonnet-4-5", "claude-haiku-4-5")
"""What `GET /v1/models` lists; a request may name any other."""
MAX_BODY = 64 * 1024 * 1024
"""Bytes of a request; the API's own limit is 32 MB ("Errors", request_too_large)."""
_START_LIMIT_S = 10.0
_STOP_LIMIT_S = 10.0


class ModelServer(ABC):
    """Serves on `host` and `port` (0 is a free one) while its `with` block runs, from a thread and an event loop
    of its own. With an `api_key`, every request must carry it. `requests` is what has come in, unless
    `keep_requests` is false: they are large."""

    models: tuple[str, ...] = MODELS

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        keep_requests: bool = True,
    ) -> None:
        self.host = host
        self.port = port
        self.api_key = api_key
        self.keep_requests = keep_requests
        self.requests: list[Request] = []
        self.number = itertools.count(1)
        self._attempts: Counter[tuple[object, ...]] = Counter()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._problem: BaseException | None = None

    @abstractmethod
    def play(self, request: Request) -> Entry:
        """The reply to a request of a conversation, or what comes in place of one."""

    @property
    def url(self) -> str:
        """What ANTHROPIC_BASE_URL is to be."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def env(self) -> dict[str, str]:
        """The environment that points the CLI, or an Anthropic client, at this model. It also turns off what
        the CLI asks of other servers (Claude Code's documentation, "Environment variables")."""
        return {
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": self.api_key or "scripted-model",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }

    @property
    def messages(self) -> list[Request]:
        """The requests to `/v1/messages` alone, without token counts and greetings."""
        return [request for request in list(self.requests) if request.path.split("?")[0] == "/v1/messages"]

    def start(self) -> None:
        """Serve. Raises OSError when the port is taken."""
        if self._thread is not None:
            raise RuntimeError("This model is running already; make another one.")
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_LIMIT_S):
            raise TimeoutError(f"The model did not start within {_START_LIMIT_S:g} s.")
        if self._problem is not None:
            self._thread.join(_STOP_LIMIT_S)
            raise self._problem

    def stop(self) -> None:
        """Cut every connection and end the thread. Stopping twice is fine."""
        if self._thread is None or self._loop is None:
            return
        with contextlib.suppress(RuntimeError):  # The loop has ended by itself.
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_STOP_LIMIT_S)
        if self._thread.is_alive():
            raise TimeoutError(f"The model did not stop within {_STOP_LIMIT_S:g} s.")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def entry(self, request: Request) -> Entry:
        """What to send: the CLI's own wishes are met here, and the conversation is the subclass's."""
        if request.is_side_request:
            return say(_side_answer(request))
        if request.wants_summary:
            return say(f"<analysis>None.</analysis>\n<summary>{request.bookmark}</summary>")
        return self.play(request)

    def attempt(self, request: Request, entry: int = -1) -> int:
        """How often an entry was due at this place of this conversation, this time included."""
        names = ("x-claude-code-session-id", "x-claude-code-agent-id")
        place = (*map(request.headers.get, names), request.prompt, len(request.messages), entry)
        self._attempts[place] += 1
        return self._attempts[place]

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._problem = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = HTTPServer(_application(self), max_body_size=MAX_BODY, max_buffer_size=MAX_BODY)
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listening = socket.create_server((self.host, self.port), family=family, backlog=128)
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        server.add_socket(listening)
        self._ready.set()
        await self._stop.wait()
        server.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_LIMIT_S / 2):
                await server.close_all_connections()


def _side_answer(request: Request) -> str:
    """An answer to a side request of the CLI, in the form that it asks for."""
    words = " ".join(re.sub(r"<[^>]*>", " ", request.prompt).split()[:5])
    form = (request.body.get("output_config") or {}).get("format") or {}
    properties = (form.get("schema") or {}).get("properties")
    if properties is None:
        return words
    plain = {"string": words, "boolean": False, "integer": 0, "number": 0, "array": [], "object": {}}
    return json.dumps({name: plain.get(str(schema.get("type"))) for name, schema in properties.items()})


def _application(model: ModelServer) -> tornado.web.Application:
    given = {"model": model}
    return tornado.web.Application(
        [
            (r"/v1/messages", _Messages, given),
            (r"/v1/messages/count_tokens", _CountTokens, given),
            (r"/v1/models(?:/([^/]+))?", _Models, given),
            (r"/api/hello", _Hello, given),
        ],
        default_handler_class=_Unknown,
        default_handler_args=given,
        log_function=lambda handler: None,
    )


class _Handler(tornado.web.RequestHandler):
    """Records the request, checks the key, and gives errors the API's form."""

    def initialize(self, model: ModelServer) -> None:
        self.model = model

    def prepare(self) -> None:
        headers = {name: ", ".join(self.request.headers.get_list(name)) for name in self.request.headers}
        self.gone = asyncio.Event()
        body = self._parsed()
        self.seen = Request(self.request.method or "", self.request.uri or "", Headers(headers), body)
        if self.model.keep_requests:
            self.model.requests.append(self.seen)
        self.request_id = identifier("req", next(self.model.number), self.request.uri)
        self.set_header("request-id", self.request_id)
        self.clear_header("Server")
        if self.model.api_key is not None and self.request.path != "/api/hello" and not self._has_key():
            self.refuse(401, "authentication_error", "invalid x-api-key")

    def _has_key(self) -> bool:
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        given = [self.request.headers.get("x-api-key", ""), token if scheme.lower() == "bearer" else ""]
        wanted = (self.model.api_key or "").encode()
        return any(hmac.compare_digest(key.encode(), wanted) for key in given)

    def _parsed(self) -> Json:
        try:
            body = json.loads(self.request.body or b"{}")
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    def accept(self, *, counting: bool = False) -> bool:
        """Refuses the request and gives False when the API would not take it."""
        try:
            check(self.seen.body, counting=counting)
        except BadRequest as error:
            self.refuse(400, "invalid_request_error", str(error))
            return False
        return True

    def refuse(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        self.set_status(status)
        for name, value in (headers or {}).items():
            self.set_header(name, value)
        self.finish(error_body(kind, message, self.request_id))

    def on_connection_close(self) -> None:
        self.seen.disconnected = not self.seen.finished
        self.gone.set()

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> Future[None]:
        # Recorded first: a client that has its answer finds it on record.
        if not self.seen.finished:
            self.seen.status = self.get_status()
            self.seen.finished = True
        return super().finish(chunk)

    async def wait(self, seconds: float) -> None:
        """Let time pass. Raises StreamClosedError as soon as the client is gone."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.gone.wait()
        if self.gone.is_set():
            raise StreamClosedError

    def cut(self) -> None:
        """Close the connection in the middle of the answer."""
        self.seen.finished = True
        connection = self.request.connection
        if isinstance(connection, HTTP1Connection):
            connection.stream.close()

    def log_exception(self, typ: Any, value: BaseException | None, tb: TracebackType | None) -> None:
        """A client that goes away is no error here; anything else is the script's author's to see."""
        if not isinstance(value, StreamClosedError):
            super().log_exception(typ, value, tb)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        message = f"{kwargs['exc_info'][1]!r}" if "exc_info" in kwargs else "Not allowed here"
        self.refuse(status_code, ERROR_TYPES.get(status_code, "api_error"), message)

    def data_received(self, chunk: bytes) -> None:  # pragma: no cover
        """Part of tornado's abstract handler; bodies are read whole."""


class _Messages(_Handler):
    async def post(self) -> None:
        if not self.accept():
            return
        try:
            entry = self.model.entry(self.seen)
            if isinstance(entry, Obstacle):
                await self._obstruct(entry)
            else:
                await self._answer(entry)
        except StreamClosedError:
            self.seen.disconnected = not self.seen.finished
            self.seen.finished = True

    async def _obstruct(self, entry: Obstacle) -> None:
        await self.wait(entry.delay_s)
        if entry.status is None:
            self.cut()
        else:
            self.refuse(entry.status, entry.kind, entry.message, dict(entry.headers))

    async def _answer(self, reply: Reply) -> None:
        attempt = self.model.attempt(self.seen) if reply.broken_after is not None else 1
        breaks = reply.broken_after is not None and (reply.broken_times is None or attempt <= reply.broken_times)
        message = _message(self.seen, reply, attempt)
        await self.wait(reply.delay_s or 0)
        if self.seen.body.get("stream"):
            await self._stream(message, reply, reply.broken_after if breaks else None)
        elif breaks:
            self.cut()
        else:
            await self.finish(message)

    async def _stream(self, message: Json, reply: Reply, end: int | None) -> None:
        self.set_status(200)
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("Cache-Control", "no-cache")
        self.seen.status = 200
        pieces = [reply.streamed_pieces(block) for block in message["content"]]
        for number, event in enumerate(stream_events(message, pieces)):
            if number == end:
                if reply.broken_error:
                    self.write(sse(error_body(reply.broken_error, "This break is in the script.", self.request_id)))
                    await self.finish()  # as the API does: the event is the stream's regular end
                else:
                    self.cut()
                return
            if reply.pace_s and event["type"] == "content_block_delta":
                await self.wait(reply.pace_s)
            self.write(sse(event))
            await self.flush()
        await self.finish()


class _CountTokens(_Handler):
    def post(self) -> None:
        if self.accept(counting=True):
            self.finish({"input_tokens": self.seen.input_tokens})


class _Models(_Handler):
    def get(self, name: str | None) -> None:
        if name is None:
            data = [_model(id) for id in self.model.models]
            self.finish({"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]})
        elif name in self.model.models:
            self.finish(_model(name))
        else:
            self.refuse(404, "not_found_error", f"model: {name}")


class _Hello(_Handler):
    """What the CLI asks before its first request."""

    def get(self) -> None:
        self.finish({"message": "hello"})

    def head(self) -> None:
        self.finish()


class _Unknown(_Handler):
    def prepare(self) -> None:
        super().prepare()
        if not self._finished:
            self.refuse(404, "not_found_error", f"{self.request.method} {self.request.path} is not served here.")


def _model(id: str) -> Json:
    return {"type": "model", "id": id, "display_name": id, "created_at": "2025-01-01T00:00:00Z"}


def _message(request: Request, reply: Reply, attempt: int) -> Json:
    """The answer that `reply` stands for. Its ids follow from the request and the attempt alone."""
    seed = (json.dumps(request.body, sort_keys=True), attempt)
    content = [
        block | {"id": block["id"] or identifier("toolu", *seed, number)} if block["type"] == "tool_use" else block
        for number, block in enumerate(reply.blocks)
    ]
    calls = any(block["type"] == "tool_use" for block in content)
    usage = {
        "input_tokens": request.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": reply.output_tokens,
    } | dict(reply.tokens)
    return message_body(
        id=identifier("msg", *seed),
        model=reply.model or request.model,
        content=content,
        stop_reason=reply.stop_reason or ("tool_use" if calls else "end_turn"),
        usage=usage,
    )
