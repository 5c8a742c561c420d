"""Through the gateway as without it: byte for byte, at once, and cut when the other side is."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import threading
import time
import zlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import brotli
import httpx
import pytest
import zstandard

from tests.hub.people import Person, RunningHub, eventually
from tests.service.conftest import ORGANISATION_KEY, service_url
from tests.service.wire import Answer, Caller, RawUpstream, Reply, Request

MESSAGES = "/v1/messages?beta=true"
PLAIN = b'{"model":"claude-sonnet-4-5","max_tokens":8,"messages":[]}'
STREAM = b'{"model":"claude-sonnet-4-5","max_tokens":8,"stream":true,"messages":[]}'
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":11,'
    b'"cache_read_input_tokens":5,"output_tokens":1}}}\n\n'
)
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"\xec\x95\x88\xeb\x85\x95"}}\n\n'
)
STOP = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{},"usage":{"output_tokens":42}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
SSE = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding"}


def essence(reply: Reply) -> tuple[int, list[tuple[str, str]], bytes]:
    """What must be the same with the gateway and without."""
    headers = sorted((name.lower(), value) for name, value in reply.headers)
    return reply.status, [header for header in headers if header[0] not in OF_THE_CONNECTION], reply.body


def refusal(reply: Reply) -> dict[str, str]:
    """The error of an answer that is the gateway's own, and final."""
    body = json.loads(reply.body)
    assert body["type"] == "error" and body["request_id"] == reply.get("request-id")
    assert reply.get("x-should-retry") == "false"
    assert reply.get("content-type") == "application/json"
    return dict(body["error"])


@pytest.mark.parametrize(
    "body",
    [
        b'{ "model" : "claude-sonnet-4-5",\n\t"unheard_of": {"x": [1.0, 1e400, -0]}, "max_tokens": 8}\n',
        '{"model":"m","text":"\\u00e9\\ud83d é 안녕","model":"twice"}'.encode(),
        b"\xff\xfe this is no JSON at all \x00",
    ],
    ids=["unknown fields and odd spaces", "escapes and a repeated field", "no JSON"],
)
def test_a_request_arrives_as_it_was_sent(direct: Caller, through: Caller, upstream: RawUpstream, body: bytes) -> None:
    headers = [
        ("Anthropic-Version", "2023-06-01"),
        ("anthropic-beta", "one-2025-01-01,two-2025-01-01"),
        ("Anthropic-Beta", "three-2026-01-01"),
        ("Content-Type", "application/json"),
        ("X-Unheard-Of", "a value"),
        ("X-Claude-Code-Session-Id", "session"),
        ("User-Agent", "claude-cli/9"),
        ("Accept", "application/json"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ]
    direct.send("POST", MESSAGES, body, headers)
    through.send("POST", MESSAGES, body, headers)
    straight, passed = upstream.requests
    assert passed.body == straight.body == body
    assert passed.line == straight.line == f"POST {MESSAGES} HTTP/1.1"
    assert sorted((name.lower(), value) for name, value in passed.headers) == sorted(
        (name.lower(), value) for name, value in straight.headers
    )
    assert passed.all("anthropic-beta") == ["one-2025-01-01,two-2025-01-01", "three-2026-01-01"]


def test_the_callers_credential_is_taken_off_and_the_organisations_put_in(
    through: Caller, ada: Person, upstream: RawUpstream
) -> None:
    extra = [
        ("Cookie", "jupyterhub-session-id=1"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("Connection", "x-own"),
        ("X-Own", "1"),
    ]
    through.send("POST", MESSAGES, PLAIN, extra)
    (request,) = upstream.requests
    assert request.all("x-api-key") == [ORGANISATION_KEY]
    names = {name.lower() for name, _ in request.headers}
    assert not names & {"authorization", "cookie", "x-forwarded-for", "x-own"}
    assert ada.token not in str(request.headers)


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (400, {}, b'{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: \xc3\xa9"}}'),
        (
            429,
            {"retry-after": "17", "x-should-retry": "true", "anthropic-ratelimit-requests-remaining": "0"},
            b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"},"request_id":"req_1"}',
        ),
        (529, {"request-id": "req_2"}, b'{ "type": "error", "error": {"type": "overloaded_error"} }\n'),
        (500, {"Content-Type": "text/html"}, b"<html>what a proxy says"),
        (404, {}, b""),
    ],
)
def test_errors_of_the_upstream_come_through_unchanged(
    direct: Caller, through: Caller, upstream: RawUpstream, status: int, headers: dict[str, str], body: bytes
) -> None:
    upstream.answer = lambda _: Answer(status, {"Content-Type": "application/json", "Date": "then", **headers}, body)
    assert essence(through.send("POST", MESSAGES, PLAIN)) == essence(direct.send("POST", MESSAGES, PLAIN))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages?beta=true&x=%2F..%2f"),
        ("POST", "/v1/messages/count_tokens?beta=true"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models?limit=2&after_id=x"),
        ("GET", "/v1/models/claude-sonnet-4-5@20250929"),
    ],
)
def test_what_claude_code_asks_for_is_served(
    direct: Caller, through: Caller, upstream: RawUpstream, method: str, path: str
) -> None:
    upstream.answer = lambda request: Answer(body=request.line.encode())
    body = PLAIN if method == "POST" else b""
    assert essence(through.send(method, path, body)) == essence(direct.send(method, path, body))


def test_the_cli_is_greeted_without_a_key_and_without_the_upstream(hub: RunningHub, upstream: RawUpstream) -> None:
    upstream.requests.clear()
    greeted = Caller(f"{service_url(hub)}anthropic").send("HEAD", "/api/hello")
    assert (greeted.status, greeted.body, upstream.requests) == (200, b"", [])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/messages"),
        ("POST", "/v1/complete"),
        ("POST", "/v1/messages/batches"),
        ("GET", "/v1/organizations/users"),
        ("GET", "/v1/models/../organizations/api_keys"),
        ("GET", "/v1/models/%2e%2e/organizations"),
        ("GET", "/v1/models/a/b"),
        ("POST", "/v1/messages/"),
        ("POST", "//v1/messages"),
        ("GET", "/"),
    ],
)
def test_nothing_else_reaches_the_upstream(through: Caller, upstream: RawUpstream, method: str, path: str) -> None:
    reply = through.send(method, path, PLAIN if method == "POST" else b"")
    assert (reply.status, refusal(reply)["type"]) == (404, "not_found_error")
    assert upstream.requests == []


def test_a_stream_comes_piece_by_piece_and_byte_for_byte(through: Caller, upstream: RawUpstream) -> None:
    """The upstream goes on only when the caller has the piece before: nothing in between can be holding any back."""
    pieces = [START, PING, DELTA[:50], DELTA[50:], PING, DELTA, STOP]
    arrived = threading.Semaphore(0)

    async def slowly(_: Request) -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
            assert await asyncio.to_thread(arrived.acquire, timeout=60), "the caller did not get the piece before"

    upstream.answer = lambda _: Answer(headers=SSE, pieces=slowly)
    connection, answer = through.open("POST", MESSAGES, STREAM)
    assert answer.getheader("content-type") == SSE["Content-Type"]
    got = []
    for piece in pieces:
        got.append(answer.read(len(piece)))
        arrived.release()
    assert got == pieces
    assert answer.read() == b""
    connection.close()


ENCODERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def tokens(hub: RunningHub, kind: str) -> float:
    """How many tokens the service's metrics count."""
    headers = {"Authorization": f"Bearer {hub.person('admin').token}"}
    text = httpx.get(f"{service_url(hub)}metrics", headers=headers, trust_env=False).text
    line = [line for line in text.splitlines() if line.startswith(f'agents_gateway_tokens_total{{kind="{kind}"}}')]
    return float(line[0].split()[-1]) if line else 0.0


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "message"])
def test_a_compressed_answer_stays_compressed_and_its_usage_is_read_all_the_same(
    hub: RunningHub, direct: Caller, through: Caller, upstream: RawUpstream, encoding: str, streamed: bool
) -> None:
    plain = START + DELTA + STOP if streamed else b'{"id":"m","usage":{"input_tokens":11,"output_tokens":42}}'
    packed = ENCODERS[encoding](plain)
    headers = {**(SSE if streamed else {"Content-Type": "application/json"}), "Content-Encoding": encoding}
    upstream.answer = lambda _: Answer(headers=headers, body=packed)
    before = tokens(hub, "input_tokens"), tokens(hub, "output_tokens")
    passed = through.send("POST", MESSAGES, STREAM, [("Accept-Encoding", encoding)])
    assert passed.body == packed
    assert essence(passed) == essence(direct.send("POST", MESSAGES, STREAM, [("Accept-Encoding", encoding)]))
    after = tokens(hub, "input_tokens"), tokens(hub, "output_tokens")
    assert (after[0] - before[0], after[1] - before[1]) == (11, 42)


def test_a_redirect_is_not_followed_and_not_handed_on(through: Caller, upstream: RawUpstream) -> None:
    upstream.answer = lambda _: Answer(307, {"Location": f"{upstream.url}/elsewhere"}, b"")
    reply = through.send("POST", MESSAGES, PLAIN)
    assert (reply.status, reply.get("location")) == (502, None)
    assert "redirect" in refusal(reply)["message"]
    assert len(upstream.requests) == 1


def test_a_stream_that_the_upstream_cuts_is_cut_for_the_caller(through: Caller, upstream: RawUpstream) -> None:
    async def broken(_: Request) -> AsyncIterator[bytes | None]:
        yield START + DELTA
        yield None

    upstream.answer = lambda _: Answer(headers=SSE, pieces=broken)
    connection, answer = through.open("POST", MESSAGES, STREAM)
    with pytest.raises(http.client.IncompleteRead) as cut:
        answer.read()
    assert cut.value.partial == START + DELTA
    connection.close()


@pytest.mark.parametrize("begun", [True, False], ids=["in the middle", "before the first byte"])
def test_a_caller_who_leaves_ends_the_upstreams_work(
    hub: RunningHub, through: Caller, upstream: RawUpstream, begun: bool
) -> None:
    async def endless(request: Request) -> AsyncIterator[bytes]:
        if begun:
            yield START
        while not request.left.is_set():
            await asyncio.sleep(0.01)

    upstream.answer = lambda _: Answer(headers=SSE, pieces=endless)
    before = tokens(hub, "input_tokens")
    connection = http.client.HTTPConnection(through.parts.hostname or "", through.parts.port, timeout=30)
    connection.request("POST", f"{through.parts.path}{MESSAGES}", STREAM, through.headers)
    if begun:
        assert connection.getresponse().read(len(START)) == START
    eventually(lambda: upstream.requests, within=60, what="the request is with the upstream")
    (request,) = upstream.requests
    assert not request.left.is_set()
    assert connection.sock is not None or begun
    connection.close()
    assert request.left.wait(20), "the upstream goes on working for nobody"
    if begun:  # what it had used until then counts
        eventually(lambda: tokens(hub, "input_tokens") - before == 11, within=60, what="the cut call is settled")


def test_two_hundred_streams_at_once_are_each_whole(through: Caller, upstream: RawUpstream) -> None:
    together = threading.Barrier(201)  # the callers and this test

    async def one(request: Request) -> AsyncIterator[bytes]:
        yield START
        await asyncio.to_thread(lambda: None)
        while together.n_waiting < 200 and not together.broken and not done.is_set():  # all 200 are open at once
            await asyncio.sleep(0.02)
        for _ in range(20):
            yield DELTA
            await asyncio.sleep(0)
        yield request.body
        yield STOP

    done = threading.Event()
    upstream.answer = lambda _: Answer(headers=SSE, pieces=one)

    def call(number: int) -> bytes:
        connection, answer = through.open("POST", MESSAGES, b'{"stream":true,"number":%d}' % number)
        try:
            first = answer.read(len(START))
            together.wait(60)
            return first + answer.read()
        finally:
            connection.close()

    with ThreadPoolExecutor(200) as pool:
        calls = [pool.submit(call, number) for number in range(200)]
        together.wait(60)
        done.set()
        for number, each in enumerate(calls):
            assert each.result(60) == START + 20 * DELTA + b'{"stream":true,"number":%d}' % number + STOP


def test_a_request_over_the_limit_is_refused_and_one_just_below_is_not(through: Caller, upstream: RawUpstream) -> None:
    upstream.answer = lambda _: Answer()
    large = PLAIN[:-1] + b',"x":"' + b"a" * (32_000_000 - len(PLAIN) - 7) + b'"}'
    assert len(large) <= 32_000_000
    assert through.send("POST", MESSAGES, large).status == 200
    assert upstream.requests[0].body == large
    reply = through.send("POST", MESSAGES, large + b" " * 1000)
    assert (reply.status, refusal(reply)["type"]) == (413, "request_too_large")
    assert len(upstream.requests) == 1


def test_an_upstream_that_is_away_is_a_passing_error(through: Caller, upstream: RawUpstream) -> None:
    upstream.answer = lambda _: Answer()
    upstream.close()
    try:
        reply = through.send("POST", MESSAGES, PLAIN)
    finally:
        upstream.open()
    assert (reply.status, json.loads(reply.body)["error"]["type"]) == (502, "api_error")
    assert reply.get("x-should-retry") is None
    deadline = time.monotonic() + 60
    while (again := through.send("POST", MESSAGES, PLAIN)).status != 200:
        assert time.monotonic() < deadline, again


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({}, 401, "authentication_error"),
        ({"x-api-key": "no-token-of-this-hub"}, 401, "authentication_error"),
        ({"Authorization": "Bearer agents-run-forged.e30.x"}, 401, "authentication_error"),
        ({"Authorization": "Basic YTpi"}, 401, "authentication_error"),
    ],
)
def test_a_stranger_is_refused_in_the_apis_own_words(
    hub: RunningHub, upstream: RawUpstream, headers: dict[str, str], status: int, kind: str
) -> None:
    upstream.requests.clear()
    reply = Caller(f"{service_url(hub)}anthropic", **headers).send("POST", MESSAGES, PLAIN)
    assert (reply.status, refusal(reply)["type"]) == (status, kind)
    assert upstream.requests == []


def test_a_token_without_the_scope_is_refused_and_says_which(
    hub: RunningHub, ada: Person, upstream: RawUpstream
) -> None:
    upstream.requests.clear()
    narrow = ada.new_token(note="narrow", scopes=["read:users:name!user"])
    reply = Caller(f"{service_url(hub)}anthropic", **{"x-api-key": narrow}).send("POST", MESSAGES, PLAIN)
    assert (reply.status, refusal(reply)["type"]) == (403, "permission_error")
    assert "access:services!service=agents" in refusal(reply)["message"]
    assert upstream.requests == []
