"""What the gateway adds to a call, beside a direct one and LiteLLM's proxy: at 1, 20 and 100 requests a second, and
with 200 open streams. The scripted model is the upstream of all; requests are of 60 kB, as Claude Code's are.

`run()` is direct and the gateway. `with_litellm()` is LiteLLM's proxy as well, in an environment of its own that is
made for the benchmark and removed after it; it takes some minutes to install.

Each way is measured in turns, so that what else the machine does meets all of them alike. The load comes from this
process, on uvloop, with connections that are kept.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httptools
import httpx
import psutil
import uvloop

from hub_config.ports import free_ports
from tests.service.conftest import hub_with_service, service_process, service_url

KEY = "key-of-the-benchmark"
MODEL = "claude-sonnet-4-5"
RATES = ((1, 10.0), (20, 10.0), (100, 8.0))
"""Requests a second, and for how many seconds in all."""
TURNS = 2
STREAMS = 200
START_S = 120.0
BODY = b'{"model":"%s","max_tokens":64,"stream":%s,"messages":[{"role":"user","content":"%s %s"}]}'
SERVE = """
import signal, sys
from jupyterhub_agents.testing import ScriptedModel
from jupyterhub_agents.testing.replies import say
words = say("word " * 40).chunks(20)
script = {"slowly": words.paced(0.1), "now": words}
with ScriptedModel(script, port=int(sys.argv[1]), api_key=sys.argv[2]) as model:
    model.keep_requests = False
    signal.sigwait({signal.SIGTERM})
"""
LITELLM = """
model_list:
  - model_name: {model}
    litellm_params: {{model: anthropic/{model}, api_base: "{upstream}", api_key: {key}}}
general_settings: {{master_key: sk-{key}}}
"""


@dataclass(frozen=True)
class Way:
    """Where the calls go, and with which credential."""

    url: str
    key: str
    process: psutil.Process | None = None


def run(with_litellm: bool = False) -> dict[str, float]:
    """The figures, by stable names such as `gateway.20_per_s.added_p50_ms`."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(scripted_upstream())
        ways = {"direct": Way(upstream, KEY)}
        environment = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": upstream}
        hub = stack.enter_context(hub_with_service(folder, environment=environment))
        ways["gateway"] = Way(f"{service_url(hub)}anthropic", hub.person("ada").token, service_process(hub))
        if with_litellm:
            ways["litellm"] = stack.enter_context(_litellm(folder, upstream))
        return uvloop.run(_measure(ways))


def with_litellm() -> dict[str, float]:
    """The same with LiteLLM's proxy. Raises CalledProcessError when it cannot be installed."""
    return run(with_litellm=True)


async def _measure(ways: dict[str, Way]) -> dict[str, float]:
    figures: dict[str, float] = {}
    load = {name: Load(way) for name, way in ways.items()}
    for each in load.values():
        await each.at_rate(5, 2.0)  # connections, caches, the hub's answer
    for rate, seconds in RATES:
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(TURNS):
            for name, each in load.items():
                times[name] += await each.at_rate(rate, seconds / TURNS)
        for name, taken in times.items():
            figures[f"{name}.{rate}_per_s.p50_ms"] = _quantile(taken, 0.5)
            figures[f"{name}.{rate}_per_s.p99_ms"] = _quantile(taken, 0.99)
            if name != "direct":
                for share, label in ((0.5, "p50"), (0.99, "p99")):
                    added = _quantile(taken, share) - _quantile(times["direct"], share)
                    figures[f"{name}.{rate}_per_s.added_{label}_ms"] = added
    for name, each in load.items():
        before = _cpu_s(ways[name])
        taken, first = await each.streams(STREAMS)
        figures[f"{name}.{STREAMS}_streams.p50_s"] = _quantile(taken, 0.5) / 1000
        figures[f"{name}.{STREAMS}_streams.first_byte_p50_ms"] = _quantile(first, 0.5)
        figures[f"{name}.{STREAMS}_streams.first_byte_p99_ms"] = _quantile(first, 0.99)
        if name != "direct":
            for what in ("first_byte_p50_ms", "first_byte_p99_ms"):
                key = f"{STREAMS}_streams.{what}"
                figures[f"{name}.{STREAMS}_streams.added_{what}"] = figures[f"{name}.{key}"] - figures[f"direct.{key}"]
        if (process := ways[name].process) is not None:
            figures[f"{name}.{STREAMS}_streams.cpu_s"] = _cpu_s(ways[name]) - before
            figures[f"{name}.memory_mb"] = process.memory_info().rss / 1e6
    for each in load.values():
        each.close()
    if "litellm" in ways:
        for rate, _ in RATES:
            key = f"{rate}_per_s.added_p50_ms"
            figures[f"gateway.{rate}_per_s.added_p50_to_litellm"] = (
                figures[f"gateway.{key}"] / figures[f"litellm.{key}"]
            )
    return figures


def _cpu_s(way: Way) -> float:
    if way.process is None:
        return 0.0
    times = way.process.cpu_times()
    return float(times.user + times.system)


def _quantile(taken: list[float], share: float) -> float:
    """In milliseconds."""
    return sorted(taken)[min(len(taken) - 1, int(len(taken) * share))] * 1000


class Load:
    """Calls on one way."""

    def __init__(self, way: Way) -> None:
        self._address = urlsplit(way.url)
        self._head = (
            f"POST {self._address.path}/v1/messages?beta=true HTTP/1.1\r\nHost: {self._address.netloc}\r\n"
            f"Authorization: Bearer {way.key}\r\nx-api-key: {way.key}\r\nanthropic-version: 2023-06-01\r\n"
            "Content-Type: application/json\r\n"
        )
        self._free: list[Connection] = []

    async def at_rate(self, rate: float, seconds: float) -> list[float]:
        """Seconds from each request, made when its time has come, to the end of its answer."""
        begin = time.perf_counter()
        calls = []
        for number in range(max(1, int(rate * seconds))):
            if (wait := begin + number / rate - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            calls.append(asyncio.create_task(self._call("now")))
        return [whole for whole, _ in await asyncio.gather(*calls)]

    async def streams(self, count: int) -> tuple[list[float], list[float]]:
        """Seconds to the end and to the first byte, of so many slow streams at once."""
        done = await asyncio.gather(*(self._call("slowly") for _ in range(count)))
        return [whole for whole, _ in done], [first for _, first in done]

    async def _call(self, prompt: str) -> tuple[float, float]:
        body = BODY % (MODEL.encode(), b"true", prompt.encode(), b"a" * 60_000)
        begin = time.perf_counter()
        while self._free and self._free[-1].gone:
            self._free.pop()
        if self._free:
            connection = self._free.pop()
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(Connection, self._address.hostname, self._address.port)
        await connection.send(f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self._free.append(connection)
        return time.perf_counter() - begin, connection.first_at - begin

    def close(self) -> None:
        for connection in self._free:
            connection.close()


class Connection(asyncio.Protocol):
    """One connection, with one call at a time."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._status = 0
        self._transport: asyncio.Transport | None = None
        self._answered: asyncio.Future[None] | None = None
        self.first_at = 0.0
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's is one by its methods

    def connection_lost(self, error: Exception | None) -> None:
        self.gone = True
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionError("cut"))

    async def send(self, request: bytes) -> None:
        """Send, and wait for the whole answer. Raises RuntimeError for one that is no whole stream."""
        self._parser = httptools.HttpResponseParser(self)
        self._body.clear()
        self.first_at = 0.0
        self._answered = asyncio.get_running_loop().create_future()
        assert self._transport is not None
        self._transport.write(request)
        await self._answered
        if self._status != 200 or b"message_stop" not in self._body:
            raise RuntimeError(f"{self._status}: {bytes(self._body[:500])!r}")

    def data_received(self, data: bytes) -> None:
        self.first_at = self.first_at or time.perf_counter()
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self._status = self._parser.get_status_code()
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@contextmanager
def scripted_upstream() -> Iterator[str]:
    """The scripted model in a process of its own."""
    (port,) = free_ports(1)
    with subprocess.Popen([sys.executable, "-c", SERVE, str(port), KEY]) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _until_answers(process, lambda http: http.get(f"{url}/api/hello"))
            yield url
        finally:
            process.terminate()


@contextmanager
def _litellm(folder: Path, upstream: str) -> Iterator[Way]:
    """LiteLLM's proxy, as its documentation starts it ("Quick Start")."""
    venv = folder / "litellm"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    install = [str(venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "litellm[proxy]"]
    subprocess.run(install, check=True)
    config = folder / "litellm.yaml"
    config.write_text(LITELLM.format(model=MODEL, upstream=upstream, key=KEY))
    (port,) = free_ports(1)
    command = [str(venv / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "HOME": str(folder)}
    with (
        (folder / "litellm.log").open("w") as log,
        subprocess.Popen([*command, "--num_workers", "1"], stdout=log, stderr=log, env=environment) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            _until_answers(process, lambda http: http.get(f"{url}/health/liveliness"))
            yield Way(url, f"sk-{KEY}", psutil.Process(process.pid))
        finally:
            process.terminate()


def _until_answers(process: subprocess.Popen[bytes], ask: Callable[[httpx.Client], httpx.Response]) -> None:
    deadline = time.monotonic() + START_S
    with httpx.Client(timeout=5, trust_env=False) as http:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if ask(http).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise RuntimeError("it did not start")


if __name__ == "__main__":
    for name, value in (with_litellm() if "--litellm" in sys.argv else run()).items():
        print(f"{name:44} {value:10.3f}")
