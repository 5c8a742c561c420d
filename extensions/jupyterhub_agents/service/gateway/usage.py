"""Reads what a call used from a copy of the answer's bytes as they pass."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

import brotli
import zstandard
from pydantic_core import from_json

from .meter import Usage

log = logging.getLogger(__name__)

LONGEST_JSON = 64 * 1024 * 1024
"""Bytes of an answer that is read whole; no answer of the API's comes near."""
LONGEST_LINE = 16 * 1024 * 1024
DELTA_FRAME = 105
"""Bytes of a `content_block_delta` event around its text."""
BYTES_PER_TOKEN = 4
"""For estimates only: English has about so many ("Glossary", Tokens, in the API's documentation)."""


class _Decoder(Protocol):
    def feed(self, data: bytes) -> bytes: ...


class _Zlib:
    def __init__(self, window: int) -> None:
        self._object = zlib.decompressobj(window)

    def feed(self, data: bytes) -> bytes:
        return self._object.decompress(data)


class _Brotli:
    def __init__(self) -> None:
        self._object = brotli.Decompressor()

    def feed(self, data: bytes) -> bytes:
        return bytes(self._object.process(data))


class _Zstandard:
    def __init__(self) -> None:
        self._object = zstandard.ZstdDecompressor().decompressobj()

    def feed(self, data: bytes) -> bytes:
        return self._object.decompress(data)


class _Identity:
    def feed(self, data: bytes) -> bytes:
        return data


def decoder(encoding: str) -> _Decoder | None:
    """What undoes a Content-Encoding (RFC 9110, section 8.4.1); None for one that is not known here."""
    match encoding.strip().lower():
        case "" | "identity":
            return _Identity()
        case "gzip" | "x-gzip":
            return _Zlib(zlib.MAX_WBITS | 16)
        case "deflate":
            return _Zlib(zlib.MAX_WBITS)
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstandard()
        case _:
            return None


class UsageReader:
    """Is fed every piece of an answer's body, and then tells what was used. Never raises: what cannot be read is not
    `complete`."""

    def __init__(self, *, content_type: str, content_encoding: str) -> None:
        self._decoder = decoder(content_encoding)
        self._streamed = content_type.partition(";")[0].strip().lower() == "text/event-stream"
        self._rest = bytearray()
        self._usage: dict[str, int] = {}
        self._sent = 0
        self._ended = False
        self._lost = self._decoder is None

    def feed(self, data: bytes) -> None:
        """Look at a piece of the body as it goes over the wire."""
        if self._lost or self._decoder is None:
            return
        try:
            plain = self._decoder.feed(data)
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            log.warning("an answer's usage cannot be read: %s", error)
            self._lost = True
            return
        self._rest += plain
        if self._streamed:
            self._read_lines()
        elif len(self._rest) > LONGEST_JSON:
            self._lost = True
            self._rest.clear()

    def finish(self) -> None:
        """The body has come to its end in order."""
        if not self._streamed and not self._lost:
            message = _object(bytes(self._rest))
            self._take(message.get("usage"))
            self._ended = bool(message)
        self._rest.clear()

    @property
    def complete(self) -> bool:
        """Whether all of it was seen and read."""
        return self._ended and not self._lost

    @property
    def usage(self) -> Usage:
        """What was used so far. Without the end, output is estimated from what was sent, for want of a count."""
        counted = Usage(**self._usage)
        if self._ended:
            return counted
        return Usage(**{**asdict(counted), "output_tokens": max(counted.output_tokens, self._sent)})

    def _read_lines(self) -> None:
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            if b'"content_block_delta"' in line:
                self._sent += max(1, (len(line) - DELTA_FRAME) // BYTES_PER_TOKEN)
            elif b'"message_start"' in line or b'"message_delta"' in line:
                event = _object(bytes(line[5:]))
                message = event.get("message")
                self._take(message.get("usage") if isinstance(message, dict) else event.get("usage"))
            elif b'"message_stop"' in line:
                self._ended = True
        if len(self._rest) > LONGEST_LINE:
            self._lost = True
            self._rest.clear()

    def _take(self, reported: Any) -> None:
        """Counts are cumulative ("Streaming Messages", message_delta): a later one replaces the earlier."""
        if not isinstance(reported, Mapping):
            return
        for name in ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"):
            self._count(name, reported.get(name))
        if isinstance(by_time := reported.get("cache_creation"), Mapping):
            self._count("cache_creation_1h_input_tokens", by_time.get("ephemeral_1h_input_tokens"))
        if isinstance(tools := reported.get("server_tool_use"), Mapping):
            self._count("server_tool_requests", tools.get("web_search_requests"))

    def _count(self, name: str, value: Any) -> None:
        if isinstance(value, int) and value >= 0:
            self._usage[name] = value


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = from_json(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
