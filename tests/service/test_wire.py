"""The gateway's HTTP clients, each against a server that says exactly what it is told to: the lean one, and the one for
sites with an HTTP proxy, for which the server plays the proxy."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
import uvloop

from jupyterhub_agents.service.gateway.client import (
    HEADER_LIMIT,
    READ_BUFFER,
    Answer,
    Client,
    UpstreamGone,
    make_client,
)
from jupyterhub_agents.service.gateway.headers import RawHeaders
from jupyterhub_agents.service.gateway.wire import WireClient
from tests.service.raw_server import OK, Authority, RawServer, Reply, byte_by_byte, then_close, until

T = TypeVar("T")
Kind = Literal["wire", "proxied"]
BOTH = pytest.mark.parametrize("kind", ["wire", "proxied"])
PATH = "/v1/messages?beta=true&x=%2F"


def run(work: Coroutine[Any, Any, T]) -> T:
    """On the event loop that the service runs on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


class Calling:
    """A client for a server, and the address to ask it for."""

    def __init__(self, kind: Kind, server: RawServer, connect_timeout_s: float = 30.0) -> None:
        at = f"http://127.0.0.1:{server.port}"
        self.client: Client = make_client(connect_timeout_s, at if kind == "proxied" else "")
        self.url = f"{'http://upstream.test' if kind == 'proxied' else at}{PATH}"

    async def __aenter__(self) -> Calling:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def send(
        self, method: str = "POST", headers: RawHeaders | None = None, body: bytes = b"{}"
    ) -> tuple[int, RawHeaders, bytes]:
        async with self.client.request(method, self.url, headers or [], body) as answer:
            return answer.status, answer.headers, await whole(answer)


def shut(writer: asyncio.StreamWriter) -> None:
    """Close the connection under the event loop's feet."""
    with socket.fromfd(writer.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM) as raw:
        raw.shutdown(socket.SHUT_RDWR)


async def whole(answer: Answer) -> bytes:
    return b"".join([piece async for piece in answer.pieces()])


@BOTH
@pytest.mark.parametrize(("method", "body"), [("POST", b"\x00body\r\n\r\n"), ("POST", b""), ("GET", b"")])
def test_a_request_has_what_it_was_given_and_nothing_else(kind: Kind, method: str, body: bytes) -> None:
    headers = [(b"x-two", b"1"), (b"accept", b"*/*"), (b"x-two", b"2"), (b"x-odd", "é".encode()), (b"x-empty", b"")]

    async def scenario() -> None:
        async with RawServer(OK) as server, Calling(kind, server) as calling:
            assert (await calling.send(method, headers, body))[0] == 200
            (heard,) = server.heard
            host = f"127.0.0.1:{server.port}" if kind == "wire" else "upstream.test"
            target = PATH if kind == "wire" else calling.url
            expected = [b"host: " + host.encode(), *(b"%b: %b" % header for header in headers)]
            if method == "POST":
                expected.append(b"content-length: %d" % len(body))
            assert heard.head[0] == f"{method} {target} HTTP/1.1".encode()
            lines = [name.lower() + colon + rest for name, colon, rest in (line.partition(b":") for line in heard.head)]
            assert sorted(lines[1:]) == sorted(expected)
            assert [line for line in lines if line.startswith(b"x-two")] == [b"x-two: 1", b"x-two: 2"]
            assert heard.body == body

    run(scenario())


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_a_server_is_spoken_to_at_an_address_of_ipv6() -> None:
    async def scenario() -> None:
        client = make_client(30.0, "")
        if has_ipv6():
            async with RawServer(OK, host="::1") as server:
                async with client.request("GET", f"http://[::1]:{server.port}/models", [], b"") as answer:
                    assert (answer.status, await whole(answer)) == (200, b"ok")
                (heard,) = server.heard
                assert f"host: [::1]:{server.port}".encode() in heard.head
        else:  # Then it says so.
            with pytest.raises(UpstreamGone, match="address"):
                await client.request("GET", "http://[::1]:8000/models", [], b"").__aenter__()
        await client.close()

    run(scenario())


def test_a_name_and_password_in_the_address_go_as_a_header() -> None:
    async def scenario() -> None:
        async with RawServer(OK) as server:
            client = make_client(30.0, "")
            address = f"http://gateway:p%40ss%3Aword@127.0.0.1:{server.port}/models"
            async with client.request("GET", address, [], b"") as answer:
                assert await whole(answer) == b"ok"
            await client.close()
            (heard,) = server.heard
            assert heard.head[0] == b"GET /models HTTP/1.1"
            assert f"host: 127.0.0.1:{server.port}".encode() in heard.head
            assert b"authorization: Basic " + base64.b64encode(b"gateway:p@ss:word") in heard.head

    run(scenario())


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;ext=1\r\nab\r\n3\r\ncde\r\n0\r\nX-Trailer: 1\r\n\r\n"
ANSWERS = {
    "a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", 200, b"abcde", True),
    "chunks": (CHUNKED, 200, b"abcde", True),
    "nothing": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b"", True),
    "after 100 and 103": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n" + CHUNKED,
        200,
        b"abcde",
        True,
    ),
    "connection: close": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcde",
        200,
        b"abcde",
        False,
    ),
    "HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nabcde",
        200,
        b"abcde",
        False,
    ),
}


@pytest.mark.parametrize("cut", [False, True], ids=["in one", "byte by byte"])
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_ends_where_it_says(name: str, cut: bool) -> None:
    """And its connection carries another call, unless it says otherwise."""
    raw, status, body, kept = ANSWERS[name]

    async def scenario() -> None:
        async with RawServer(byte_by_byte(raw) if cut else raw) as server, Calling("wire", server) as calling:
            for _ in range(3):
                got = await calling.send()
                assert (got[0], got[2]) == (status, body)
                assert not {b"X-Early", b"X-Trailer"} & {name for name, _ in got[1]}
            assert server.connections == (1 if kept else 3)

    run(scenario())


@BOTH
@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip"]
)
def test_an_answer_without_a_length_ends_with_its_connection(kind: Kind, head: bytes) -> None:
    async def scenario() -> None:
        body = b"x" * 3_000_000
        async with RawServer(then_close(head + b"\r\n\r\n" + body)) as server, Calling(kind, server) as calling:
            assert (await calling.send())[2] == body
            assert (await calling.send())[2] == body
            assert server.connections == 2

    run(scenario())


def test_an_answer_to_head_has_no_body_whatever_it_says() -> None:
    async def scenario() -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        async with RawServer(head, chunks, OK) as server, Calling("wire", server) as calling:
            for expected in (b"", b""):
                assert (await calling.send("HEAD", body=b""))[2] == expected
            assert (await calling.send())[2] == b"ok"
            assert server.connections == 1

    run(scenario())


@BOTH
def test_headers_come_as_they_are(kind: Kind) -> None:
    async def scenario() -> None:
        raw = b"HTTP/1.1 200 OK\r\nX-B:  1 \r\nx-Empty:\r\nX-b: \xff2\r\nContent-Length: 0\r\n\r\n"
        async with RawServer(byte_by_byte(raw)) as server, Calling(kind, server) as calling:
            assert (await calling.send())[1] == [
                (b"X-B", b"1"), (b"x-Empty", b""), (b"X-b", b"\xff2"), (b"Content-Length", b"0"),
            ]  # fmt: skip

    run(scenario())


BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"
BROKEN: dict[str, tuple[Reply, bytes | None]] = {
    "no answer": (then_close(b""), None),
    "half a head": (then_close(b"HTTP/1.1 200 OK\r\nContent-"), None),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", None),
    "another protocol": (b"HTTP/1.1 101 Whatever\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", None),
    "two ways of a length": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        None,
    ),
    "a header without an end": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * (HEADER_LIMIT + 2**18), None),
    "too many headers": (b"HTTP/1.1 200 OK\r\n" + b"X: 0123456789\r\n" * (HEADER_LIMIT // 8) + b"\r\n", None),
    "short of its length": (then_close(BEGUN), b"ab"),
    "short of its length on the last call": (
        then_close(BEGUN.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")),
        b"ab",
    ),
    "a chunk too few on the last call": (
        then_close(b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"),
        b"ab",
    ),
    "a chunk too few": (then_close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"), b"ab"),
    "half a chunk": (then_close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), b"ab"),
    "a chunk that is none": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n", b"ab"),
    "a trailer without an end": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: " + b"a" * 2**21,
        b"ab",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_off_or_is_no_http_is_an_error(name: str) -> None:
    """After what had come of it in order; and its connection is cut."""
    reply, before = BROKEN[name]

    async def scenario() -> None:
        async with RawServer(reply, OK) as server, Calling("wire", server) as calling:
            got: list[bytes] = []
            entered = False
            with pytest.raises(UpstreamGone):
                async with calling.client.request("POST", calling.url, [], b"{}") as answer:
                    entered = True
                    async for piece in answer.pieces():
                        got.append(piece)
            assert entered == (before is not None)
            assert b"".join(got) == (before or b"")
            await until(lambda: not server.open)
            assert (await calling.send())[2] == b"ok"

    run(scenario())


@pytest.mark.parametrize("name", ["no answer", "no HTTP", "short of its length", "half a chunk"])
def test_through_a_proxy_it_is_the_same_error(name: str) -> None:
    async def scenario() -> None:
        async with RawServer(BROKEN[name][0]) as server, Calling("proxied", server) as calling:
            with pytest.raises(UpstreamGone):
                await calling.send()

    run(scenario())


@BOTH
def test_nobody_listening_is_an_error(kind: Kind) -> None:
    async def scenario() -> None:
        async with RawServer(OK) as server:
            calling = Calling(kind, server)
        async with calling:
            with pytest.raises(UpstreamGone, match="Connect"):
                await calling.send()

    run(scenario())


@BOTH
def test_a_server_that_hangs_up_at_once_is_an_error(kind: Kind) -> None:
    async def scenario() -> None:
        server = RawServer()
        listening = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0)
        server.port = listening.sockets[0].getsockname()[1]
        async with listening, Calling(kind, server) as calling:
            for _ in range(20):
                with pytest.raises(UpstreamGone):
                    await calling.send()

    run(scenario())


@BOTH
def test_each_piece_is_there_as_soon_as_it_comes(kind: Kind) -> None:
    async def scenario() -> None:
        goes_on = asyncio.Event()

        async def slowly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in (b"one", b"two", b"six"):
                await goes_on.wait()
                goes_on.clear()
                writer.write(b"3\r\n%b\r\n" % piece)
            writer.write(b"0\r\n\r\n")

        async with (
            RawServer(slowly) as server,
            Calling(kind, server) as calling,
            calling.client.request("POST", calling.url, [], b"{}") as answer,
        ):
            goes_on.set()
            got = []
            async for piece in answer.pieces():
                got.append(piece)
                goes_on.set()
            assert got == [b"one", b"two", b"six"]

    run(scenario())


@BOTH
def test_calls_one_after_another_share_a_connection_and_calls_at_once_do_not(kind: Kind) -> None:
    async def scenario() -> None:
        together = asyncio.Barrier(60)

        async def one(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(server.heard) > 3:
                await together.wait()
            writer.write(OK)

        async with RawServer(one) as server, Calling(kind, server) as calling:
            for _ in range(3):
                await calling.send()
            assert server.connections == 1
            assert [got[2] for got in await asyncio.gather(*(calling.send() for _ in range(60)))] == [b"ok"] * 60
            assert server.connections == 60

    run(scenario())


@pytest.mark.parametrize("surplus", [b"x", OK, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
@pytest.mark.parametrize("late", [False, True], ids=["with the answer", "after it"])
def test_a_connection_on_which_bytes_came_unasked_is_not_used_again(surplus: bytes, late: bool) -> None:
    async def scenario() -> None:
        async with RawServer(OK if late else OK + surplus, OK) as server, Calling("wire", server) as calling:
            assert (await calling.send())[2] == b"ok"
            for writer in server.open if late else ():
                writer.write(surplus)
            if late:
                await until(lambda: not server.open)
            assert (await calling.send())[2] == b"ok"
            assert server.connections == 2

    run(scenario())


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "not yet noticed"])
def test_a_connection_that_the_server_closed_is_not_used_again(noticed: bool) -> None:
    async def scenario() -> None:
        async with RawServer(OK) as server, Calling("wire", server) as calling:
            assert (await calling.send())[2] == b"ok"
            (writer,) = server.open
            if noticed:
                writer.close()
                await until(lambda: not server.open)
            else:  # past the event loop, which therefore has no chance to tell the client
                shut(writer)
            assert (await calling.send())[2] == b"ok"
            assert [heard.connection for heard in server.heard] == [1, 2]

    run(scenario())


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_what_a_used_connection_swallows_is_sent_again_only_if_that_is_harmless(method: str) -> None:
    async def scenario() -> None:
        async with RawServer(OK, then_close(b""), OK) as server, Calling("wire", server) as calling:
            await calling.send()
            if method == "GET":
                assert (await calling.send("GET", body=b""))[2] == b"ok"
                assert [heard.connection for heard in server.heard] == [1, 1, 2]
            else:
                with pytest.raises(UpstreamGone):
                    await calling.send()
                assert len(server.heard) == 2

    run(scenario())


def test_what_a_new_connection_swallows_is_never_sent_again() -> None:
    async def scenario() -> None:
        async with RawServer(then_close(b""), OK) as server, Calling("wire", server) as calling:
            with pytest.raises(UpstreamGone):
                await calling.send("GET", body=b"")
            assert len(server.heard) == 1

    run(scenario())


@BOTH
@pytest.mark.parametrize("begun", [b"", BEGUN], ids=["before the answer", "in the middle"])
def test_a_call_that_is_cancelled_cuts_its_connection(kind: Kind, begun: bytes) -> None:
    async def scenario() -> None:
        async with RawServer(begun, OK) as server, Calling(kind, server) as calling:
            call = asyncio.create_task(calling.send())
            await until(lambda: server.heard)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await until(lambda: not server.open)
            assert (await calling.send())[2] == b"ok"

    run(scenario())


@BOTH
def test_a_call_that_is_left_before_its_end_cuts_its_connection(kind: Kind) -> None:
    async def scenario() -> None:
        async with RawServer(BEGUN, OK) as server, Calling(kind, server) as calling:
            async with calling.client.request("POST", calling.url, [], b"{}") as answer:
                assert answer.status == 200
            await until(lambda: not server.open)
            assert (await calling.send())[2] == b"ok"

    run(scenario())


def test_connections_that_nobody_uses_are_closed() -> None:
    async def scenario() -> None:
        async with RawServer(OK) as server:
            client = WireClient(30, keep_idle_s=0.05)
            for _ in range(2):
                async with client.request("GET", f"http://127.0.0.1:{server.port}/", [], b"") as answer:
                    assert await whole(answer) == b"ok"
                assert server.open
                await until(lambda: not server.open)
            await client.close()

    run(scenario())


@BOTH
def test_closing_the_client_closes_its_connections(kind: Kind) -> None:
    async def scenario() -> None:
        async with RawServer(OK) as server:
            async with Calling(kind, server) as calling:
                await asyncio.gather(*(calling.send() for _ in range(5)))
                assert server.open
            await until(lambda: not server.open)

    run(scenario())


def test_closing_the_client_ends_what_is_under_way() -> None:
    async def scenario() -> None:
        async with RawServer(BEGUN) as server, Calling("wire", server) as calling:
            call = asyncio.create_task(calling.send())
            await until(lambda: server.heard)
            await calling.client.close()
            with pytest.raises(UpstreamGone):
                await call

    run(scenario())


@BOTH
def test_a_slow_reader_makes_the_server_wait(kind: Kind) -> None:
    async def scenario() -> None:
        pieces, piece = 2000, b"x" * READ_BUFFER
        sent = 0

        async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (pieces * len(piece)))
            for _ in range(pieces):
                writer.write(piece)
                await writer.drain()
                sent += 1

        async with RawServer(pour) as server, Calling(kind, server) as calling:
            async with calling.client.request("POST", calling.url, [], b"{}") as answer:
                before, still = -1, 0
                while still < 20 and sent < pieces:  # until it has come to a stand
                    still = still + 1 if sent == before else 0
                    before = sent
                    await asyncio.sleep(0.01)
                assert sent < pieces, "all of it was taken in, for a reader who takes none"
                size = 0
                async for each in answer.pieces():
                    size += len(each)
                assert size == pieces * len(piece)
            if kind == "wire":
                assert (server.connections, len(server.open)) == (1, 1)

    run(scenario())


def test_an_answer_before_the_request_is_sent_is_taken_and_its_connection_is_not_used_again() -> None:
    async def scenario() -> None:
        async with (
            RawServer(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n", reads_bodies=False) as server,
            Calling("wire", server) as calling,
        ):
            for number in (1, 2):
                assert (await calling.send(body=b"x" * 64_000_000))[0] == 413
                assert server.connections == number

    run(scenario())


@pytest.mark.parametrize(
    "header",
    [(b"x", b"1\r\nx-api-key: 2"), (b"x", b"1\n2"), (b"x", b"1\r2"), (b"x\r\ny", b"1"), (b"x", b"\0"), (b"x\n", b"1")],
)
def test_a_header_with_a_lines_end_does_not_get_out(header: tuple[bytes, bytes]) -> None:
    async def scenario() -> None:
        async with RawServer(OK) as server, Calling("wire", server) as calling:
            with pytest.raises(ValueError, match="header"):
                await calling.send(headers=[(b"a", b"b"), header])
            calling.url += " HTTP/1.1\r\nx: y\r\n"
            with pytest.raises(ValueError, match="address"):
                await calling.send()
            assert server.connections == 0

    run(scenario())


def test_no_limit_but_that_on_connecting_ends_a_call() -> None:
    async def scenario() -> None:
        async def late(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(5)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            await asyncio.sleep(5)
            writer.write(b"ok")

        async def one(kind: Kind) -> bytes:
            async with RawServer(late) as server, Calling(kind, server, connect_timeout_s=4) as calling:
                return (await calling.send())[2]

        assert await asyncio.gather(one("wire"), one("proxied")) == [b"ok", b"ok"]

    run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's table of connections")
@BOTH
def test_tcp_looks_whether_a_silent_server_is_still_there(kind: Kind) -> None:
    """proc_net_tcp in the kernel's documentation: the timer that runs is 2 for keep-alive."""

    async def scenario() -> None:
        async with (
            RawServer(BEGUN) as server,
            Calling(kind, server) as calling,
            calling.client.request("POST", calling.url, [], b"{}"),
        ):
            (writer,) = server.open
            ends = [f"0100007F:{port:04X}" for port in (writer.get_extra_info("peername")[1], server.port)]

            def timers() -> list[str]:
                rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
                return [row[5][:2] for row in rows if row[1:3] == ends]

            await until(lambda: timers() == ["02"])

    run(scenario())


class TestHTTPS:
    async def fetch(self, server: RawServer, host: str, timeout_s: float = 30.0) -> tuple[list[bytes], int]:
        client = make_client(timeout_s, "")
        bodies = []
        try:
            for _ in range(3):
                async with client.request("POST", f"https://{host}:{server.port}/", [], b"x" * 300_000) as answer:
                    bodies.append(await whole(answer))
        finally:
            await client.close()
        return bodies, server.connections

    def test_a_server_of_an_authority_that_the_system_trusts_is_spoken_to(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authority = Authority(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        context = authority.server("localhost")
        called: list[str | None] = []
        context.sni_callback = lambda _, name, __: called.append(name)
        big = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"y" * 1_000_000

        async def scenario() -> None:
            async with RawServer(big, tls=context) as server:
                bodies, connections = await self.fetch(server, "localhost")
                assert [len(body) for body in bodies] == [1_000_000] * 3
                assert connections == 1
                assert all(heard.body == b"x" * 300_000 for heard in server.heard)

        run(scenario())
        assert called == ["localhost"]

    @pytest.mark.parametrize("why", ["an authority that nobody trusts", "a name that is another's"])
    def test_one_that_does_not_show_who_it_is_gets_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
    ) -> None:
        authority = Authority(tmp_path)
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        if "name" in why:
            monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        context = authority.server("elsewhere.test" if "name" in why else "localhost")

        async def scenario() -> None:
            async with RawServer(OK, tls=context) as server:
                with pytest.raises(UpstreamGone, match="certificate verify failed") as refused:
                    await self.fetch(server, "localhost")
                assert isinstance(refused.value.__cause__, ssl.SSLCertVerificationError)
                assert server.heard == []

        run(scenario())

    @pytest.mark.parametrize("in_order", [True, False])
    def test_an_answer_without_a_length_is_whole_only_when_the_server_says_goodbye(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_order: bool
    ) -> None:
        """Anyone on the way can close a connection; TLS's own end (RFC 8446, section 6.1) only the server."""
        authority = Authority(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))

        async def scenario() -> None:
            arrived = asyncio.Event()

            async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\nab")
                await arrived.wait()
                if in_order:
                    writer.close()
                else:
                    shut(writer)

            async with RawServer(say, tls=authority.server("localhost")) as server:
                client = make_client(30, "")
                try:
                    async with client.request("POST", f"https://localhost:{server.port}/", [], b"{}") as answer:
                        pieces = answer.pieces()
                        assert await anext(pieces) == b"ab"
                        arrived.set()
                        with pytest.raises(StopAsyncIteration if in_order else UpstreamGone):
                            await anext(pieces)
                finally:
                    await client.close()

        run(scenario())

    def test_one_that_does_not_answer_the_greeting_is_given_up(self) -> None:
        async def scenario() -> None:
            async with RawServer(OK) as server:
                with pytest.raises(UpstreamGone, match="TimeoutError"):
                    await self.fetch(server, "127.0.0.1", timeout_s=0.2)

        run(scenario())


def test_https_goes_through_a_proxy_by_connect_with_its_credentials() -> None:
    async def scenario() -> None:
        async with RawServer(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n") as server:
            client = make_client(30, f"http://name:secret@127.0.0.1:{server.port}")
            with pytest.raises(UpstreamGone, match="403") as refused:
                async with client.request("POST", "https://upstream.test/v1/messages", [], b"{}"):
                    pass
            await client.close()
            (heard,) = server.heard
            assert heard.head[0] == b"CONNECT upstream.test:443 HTTP/1.1"
            credential = base64.b64encode(b"name:secret")
            assert b"Proxy-Authorization: Basic " + credential in heard.head
            assert "secret" not in str(refused.value)

    run(scenario())
