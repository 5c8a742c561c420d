"""Google's Firestore emulator as a child process, and a relay in front of it that can be cut or held up.

There is no second choice: @firestore-emulator/server of npm (0.3.15) failed 17 of the 171 tests of the contract: it
does not hold a write to the time that it saw the document, knows no ListDocuments, and orders and cuts out fields in
its own way.

A store takes the emulator from FIRESTORE_EMULATOR_HOST, as Google's clients do. Each test uses a project of its own,
which the emulator keeps apart from all others.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from hub_config.ports import free_ports
from jupyterhub_agents.runtime import reaper

RULES = Path(__file__).parents[2] / "firestore.rules"

START_SECONDS = 60
ATTEMPTS = 3
STOP_SECONDS = 15


class Emulator:
    """A running emulator; its data is in its memory."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @staticmethod
    def new_project() -> str:
        """The id of a project in which there is nothing yet."""
        return f"test-{uuid4().hex[:12]}"


class NoEmulator(RuntimeError):
    """It cannot be run here; the message says what to install."""


@contextlib.contextmanager
def running_emulator(folder: Path, host: str = "127.0.0.1") -> Iterator[Emulator]:
    """An emulator that has started, with its log and gcloud's in `folder`. It holds browsers, but not clients with an
    identity, to our rules. `host` is the address it listens at; its `address` is that of this machine for itself."""
    output = folder / "firestore-emulator.log"
    for attempt in range(ATTEMPTS):
        (port,) = free_ports(1)
        process = _start(folder, port, output, host)
        try:
            if _answers(process, port):
                yield Emulator(port)
                return
            if attempt == ATTEMPTS - 1:
                raise RuntimeError(f"The Firestore emulator did not start:\n{output.read_text(errors='replace')}")
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


@contextlib.contextmanager
def shared_emulator(folder: Path) -> Iterator[Emulator]:
    """The emulator of all processes that say the same `folder`. The first starts it, and waits at its end for those
    that still use it."""
    port, used = folder / "firestore.port", folder / "firestore.used"
    with contextlib.ExitStack() as started, contextlib.ExitStack() as using:
        with _locked(folder / "firestore.lock", fcntl.LOCK_EX):
            if port.exists():
                emulator = Emulator(int(port.read_text()))
            else:
                emulator = started.enter_context(running_emulator(folder))
                started.enter_context(_unused(folder / "firestore.lock", port, used))
                port.write_text(str(emulator.port))
            using.enter_context(_locked(used, fcntl.LOCK_SH))
        yield emulator


@contextlib.contextmanager
def _unused(lock: Path, port: Path, used: Path) -> Iterator[None]:
    """At its end: let nobody else come, and wait until all have gone."""
    try:
        yield
    finally:
        with _locked(lock, fcntl.LOCK_EX):
            port.unlink(missing_ok=True)
        with _locked(used, fcntl.LOCK_EX):
            pass


@contextlib.contextmanager
def _locked(file: Path, how: int) -> Iterator[None]:
    with file.open("a") as held:
        fcntl.flock(held, how)
        yield


def _start(folder: Path, port: int, output: Path, host: str) -> subprocess.Popen[bytes]:
    with output.open("wb") as log:
        # gcloud starts a shell, which starts Java: the reaper takes all along, also when this process is killed.
        return subprocess.Popen(
            [sys.executable, "-IS", reaper.__file__, *_command(port, host)],
            env={
                **os.environ,
                "CLOUDSDK_CONFIG": str(folder / "gcloud"),
                "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
                "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
                "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _command(port: int, host: str) -> list[str]:
    gcloud = shutil.which("gcloud")
    if gcloud is None or shutil.which("java") is None:
        raise NoEmulator(
            "The Firestore emulator needs gcloud and Java: see https://cloud.google.com/sdk/docs/install, then "
            "`gcloud components install cloud-firestore-emulator`."
        )
    return [gcloud, "emulators", "firestore", "start", f"--host-port={host}:{port}", f"--rules={RULES}"]


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until it does; False when it ended instead, or does not in time."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if connection.recv(12).startswith(b"HTTP/1."):
                return True
        time.sleep(0.1)
    return False


class Relay:
    """A TCP relay on loopback, which can be cut and mended. It works in a thread of its own, so that it goes on
    whatever the test does."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._is_cut = False
        self._loses_answers = False
        self._flows = asyncio.Event()
        self._flows.set()
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Relay:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS)
        self._loop.close()

    def cut(self) -> None:
        """Close all connections, and new ones as soon as they come."""
        # The port stays open: asyncio loses a connection that arrives while a server closes.
        self._do(self._cut())

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    @contextlib.contextmanager
    def losing_answers(self) -> Iterator[None]:
        """Requests arrive, but no answer comes back. Connections that lost some are cut at the end."""
        self._loses_answers = True
        try:
            yield
        finally:
            self.cut()
            self._loses_answers = False
            self.mend()

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Connections stay open and nothing comes through, as with a network that swallows packets. What was sent
        arrives at the end, unless its sender has closed the connection."""
        self._loop.call_soon_threadsafe(self._flows.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._flows.set)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(STOP_SECONDS)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._link, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        self._is_cut = True
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def _end(self) -> None:
        await self._cut()
        if self._server is not None:
            self._server.close()
        # Connections that were accepted at the last moment find the relay cut, and close.
        while rest := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(rest)
        # A transport closes its socket in the loop's next turn.
        await asyncio.sleep(0.01)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._is_cut:
            writer.transport.abort()
            return
        self._links.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                async with asyncio.TaskGroup() as pumps:
                    pumps.create_task(self._pump(reader, far_writer))
                    pumps.create_task(self._pump(far_reader, writer, answers=True))
            finally:
                far_writer.transport.abort()
        except* (OSError, asyncio.CancelledError):
            # Cut, or an end that went away.
            pass
        finally:
            writer.transport.abort()
            self._links.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False) -> None:
        while data := await reader.read(1 << 16):
            await self._flows.wait()
            if not (answers and self._loses_answers):
                writer.write(data)
                await writer.drain()
        # One direction has ended: so has the link.
        raise ConnectionResetError
