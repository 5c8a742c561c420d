"""What a call used, read from its answer."""

from __future__ import annotations

import gzip
import json

import pytest

from jupyterhub_agents.service.gateway.meter import Usage
from jupyterhub_agents.service.gateway.usage import UsageReader

REPORTED = {
    "input_tokens": 10,
    "output_tokens": 1,
    "cache_creation_input_tokens": 300,
    "cache_read_input_tokens": 2000,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
    "service_tier": "standard",
}
ALL = Usage(
    input_tokens=12, output_tokens=77, cache_creation_input_tokens=300, cache_creation_1h_input_tokens=200,
    cache_read_input_tokens=2000, server_tool_requests=3,
)  # fmt: skip


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def delta(text: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


BEGIN = event("message_start", message={"usage": REPORTED})
END = event(
    "message_delta", delta={"stop_reason": "end_turn"},
    usage={"output_tokens": 77, "input_tokens": 12, "server_tool_use": {"web_search_requests": 3}},
) + event("message_stop")  # fmt: skip
STREAM = BEGIN + event("ping") + delta("message_stop and message_delta are only words here") + END


def reader(*, streamed: bool = True, encoding: str = "") -> UsageReader:
    kind = "text/event-stream; charset=utf-8" if streamed else "application/json"
    return UsageReader(content_type=kind, content_encoding=encoding)


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_a_stream_tells_all_kinds_of_tokens_however_it_is_cut_into_pieces(size: int, encoding: str) -> None:
    read = reader(encoding=encoding)
    body = gzip.compress(STREAM) if encoding else STREAM
    for start in range(0, len(body), size):
        read.feed(body[start : start + size])
    read.finish()
    assert (read.usage, read.complete) == (ALL, True)


def test_a_message_in_one_piece_tells_the_same() -> None:
    read = reader(streamed=False)
    usage = {**REPORTED, "input_tokens": 12, "output_tokens": 77, "server_tool_use": {"web_search_requests": 3}}
    body = json.dumps({"type": "message", "usage": usage}).encode()
    read.feed(body[:50])
    read.feed(body[50:])
    assert not read.complete
    read.finish()
    assert (read.usage, read.complete) == (ALL, True)


def test_a_stream_that_was_cut_counts_what_was_sent() -> None:
    read = reader()
    read.feed(BEGIN)
    for _ in range(10):
        read.feed(delta("a" * 400))
    assert not read.complete
    assert read.usage.cache_read_input_tokens == 2000
    assert 900 <= read.usage.output_tokens <= 1100


def test_a_stream_that_ends_in_order_but_in_the_middle_is_not_complete() -> None:
    read = reader()
    read.feed(BEGIN + event("error", error={"type": "overloaded_error"}))
    read.finish()
    assert not read.complete


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("exotic", b"anything"),
        ("gzip", b"this is not gzip"),
        ("", b"data: {broken\n\ndata: []\n\ndata: \xff\n\n"),
        ("", b'data: {"type":"message_start","message":{"usage":{"input_tokens":"many","output_tokens":-5}}}\n\n'),
        ("", b'data: {"type":"message_delta","usage":7}\n\n'),
    ],
)
def test_what_cannot_be_read_is_not_complete_and_disturbs_nobody(encoding: str, body: bytes) -> None:
    read = reader(encoding=encoding)
    read.feed(body)
    read.finish()
    assert (read.usage, read.complete) == (Usage(), False)
