"""Requests and answers of the store's API: bodies with a bound, gzip both ways, lists as lines."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.responses import JSONResponse, Response, StreamingResponse

from ..errors import AgentsError, InvalidInput, TooLarge, encode

MAX_BODY = 64 << 20
"""Bytes of a request, unpacked. An event may be of megabytes, and a call is stored whole."""

LINES = "application/x-ndjson"
_CHUNK_BYTES = 4 << 20
"""About how much of a list is held in memory at once."""
_FIRST = 100
"""Items that are asked for before it is known how large they are."""
_WORTH_PACKING = 2_048

Fetch = Callable[[Any, int], Awaitable[tuple[Sequence[Any], Any]]]
"""From a cursor on, so many items at most; gives them, and the cursor to go on from (None: that was all)."""


class BoundedRequest(Request):
    """A request whose body is unpacked, and refused when it is too large."""

    async def body(self) -> bytes:
        """Raises TooLarge, InvalidInput."""
        if not hasattr(self, "_body"):
            encoding = self.headers.get("content-encoding", "identity").lower()
            if encoding not in ("identity", "gzip"):
                raise InvalidInput(f"content-encoding is {encoding[:50]!r}: send gzip, or nothing packed.")
            unpack = _Unpacker() if encoding == "gzip" else None
            parts: list[bytes] = []
            size = 0
            async for chunk in self.stream():
                part = unpack(chunk, MAX_BODY - size) if unpack else chunk
                size += len(part)
                if size > MAX_BODY:
                    raise TooLarge(f"The request is over {MAX_BODY >> 20} MB: store less at once.")
                parts.append(part)
            if unpack is not None and not unpack.whole:
                raise InvalidInput("The request's body is not whole gzip: send it again.")
            self._body = b"".join(parts)
        return self._body


class _Unpacker:
    def __init__(self) -> None:
        self._gzip = zlib.decompressobj(wbits=31)

    def __call__(self, chunk: bytes, room: int) -> bytes:
        """Unpacked, one byte more than `room` at most: a small body may be a large one packed."""
        try:
            return self._gzip.decompress(chunk, room + 1)
        except zlib.error as error:
            raise InvalidInput(f"The request's body is not gzip: {error}") from None

    @property
    def whole(self) -> bool:
        return self._gzip.eof and not self._gzip.unused_data


# Answers


def error_answer(error: AgentsError) -> Response:
    status, body = encode(error)
    return JSONResponse(body, status)


def invalid(error: RequestValidationError) -> InvalidInput:
    """The first problem, in a sentence that names the place and not the whole value."""
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    return InvalidInput(f"{place}: {problem['msg']}. Given: {str(problem.get('input'))[:100]!r}.")


async def one(request: Request, item: Any, status: int = 200) -> Response:
    """An answer of one value."""
    body = await asyncio.to_thread(to_json, item)
    headers = {}
    if len(body) > _WORTH_PACKING and _takes_gzip(request):
        body = await asyncio.to_thread(_packed, body)
        headers = {"content-encoding": "gzip"}
    return Response(body, status, headers, "application/json")


async def lines(request: Request, fetch: Fetch, start: Any, limit: int) -> Response:
    """A list as lines of JSON: `{"item": ...}` for each, then `{"next": ...}` (the cursor, or null), or
    `{"error": ...}` when it broke off. Without one of these the answer was cut. What fails at the start is raised."""
    first = await fetch(start, min(limit, _FIRST))
    body = _lines(fetch, first, limit)
    headers = {}
    if _takes_gzip(request):
        body = _gzip(body)
        headers = {"content-encoding": "gzip"}
    return StreamingResponse(body, 200, headers, LINES)


async def _lines(fetch: Fetch, chunk: tuple[Sequence[Any], Any], left: int) -> AsyncIterator[bytes]:
    try:
        while True:
            items, cursor = chunk
            packed = await asyncio.to_thread(_as_lines, items)
            left -= len(items)
            yield packed
            if cursor is None or left <= 0:
                yield to_json({"next": cursor}) + b"\n"
                return
            # As many as fit, if those that follow are like these.
            size = max(len(packed) // max(len(items), 1), 1)
            del packed
            chunk = await fetch(cursor, max(min(left, _CHUNK_BYTES // size), 1))
    except AgentsError as error:
        yield to_json({"error": encode(error)[1], "status": error.status}) + b"\n"


def _as_lines(items: Sequence[Any]) -> bytes:
    return b"".join(b'{"item":' + to_json(item) + b"}\n" for item in items)


async def _gzip(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(1, wbits=31)
    async for part in body:
        if packed := await asyncio.to_thread(packer.compress, part):
            yield packed
    yield packer.flush()


def _packed(body: bytes) -> bytes:
    return zlib.compress(body, 1, wbits=31)


def _takes_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")
