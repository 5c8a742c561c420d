"""The store's API in a real uvicorn process: `python -m tests.service.store_service FOLDER PORT BACKEND`.

One process serves many stores, each under a first segment of its own (`http://127.0.0.1:PORT/NAME`) and in a file or a
Firestore project of that name, because a process for each test takes too long. A person's token is `token-of-NAME`;
`admin` is the admin.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

import uvicorn
from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from hub_config.ports import free_ports
from jupyterhub_agents.errors import NotAllowed
from jupyterhub_agents.service.identity import Person
from jupyterhub_agents.service.store_api import store_app
from jupyterhub_agents.store import AgentStore
from jupyterhub_agents.store.remote import RemoteStore
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.testing.store_contract.samples import OTHERS_GROUPS

ROOT = Path(__file__).parents[2]


async def token_of(owner: str) -> str:
    """What a person's workspace sends."""
    return f"token-of-{owner or 'admin'}"


def remote_store(url: str, **kw: float) -> RemoteStore:
    return RemoteStore(url, token_of, **kw)


class Service:
    """A process that can be killed and started again, at the same address and with the same data."""

    def __init__(self, folder: Path, backend: str = "sqlite") -> None:
        self._folder = folder
        self._backend = backend
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "service.log"
        (self.port,) = free_ports(1)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        command = [sys.executable, "-m", __name__, str(self._folder), str(self.port), self._backend]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "PYTHONWARNINGS": "error"}
            )
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(90)
        finally:
            self._process.kill()


@contextlib.contextmanager
def running_service(folder: Path, backend: str = "sqlite") -> Iterator[Service]:
    folder.mkdir(parents=True, exist_ok=True)
    service = Service(folder, backend)
    service.start()
    try:
        yield service
    finally:
        service.stop()


# In the process


async def authenticate(request: Request) -> Person:
    name = request.headers.get("authorization", "").removeprefix("Bearer token-of-")
    if not name or " " in name:
        raise NotAllowed("This token is none of this hub's. Sign in again.")
    kind = "run" if name.startswith("run-") else "server"
    groups = OTHERS_GROUPS if name == "grace" else ()
    return Person(name.removeprefix("run-"), admin=name == "admin", groups=groups, kind=kind)  # type: ignore[arg-type]


_named: ContextVar[AgentStore] = ContextVar("named")


class NamedStore:
    """The store that the request names. So one app does for all: making one takes longer than most tests."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_named.get(), name)


class Many:
    """Gives each request to the app, with the store that its first segment names."""

    def __init__(self, folder: Path, backend: str) -> None:
        self._folder = folder
        self._backend = backend
        self._stores: dict[str, AgentStore] = {}
        self._app: ASGIApp = store_app(cast(AgentStore, NamedStore()), authenticate)
        self._opening = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, name, rest = scope["path"].split("/", 2)
        async with self._opening:
            if name not in self._stores:
                store = self._make(name)
                await store.open()
                self._stores[name] = store
        _named.set(self._stores[name])
        await self._app({**scope, "path": "/" + rest}, receive, send)

    def _make(self, name: str) -> AgentStore:
        if self._backend == "firestore":
            # Google's packages take seconds to import.
            from jupyterhub_agents.store.firestore import FirestoreStore

            return FirestoreStore(name)
        return SQLiteStore(self._folder / f"{name}.db")

    async def close(self) -> None:
        for store in self._stores.values():
            await store.close()


async def serve(folder: Path, port: int, backend: str) -> None:
    many = Many(folder, backend)
    # Not a socket of Python's `create_server`: asyncio leaves Nagle's algorithm on for those, which is 40 ms an answer.
    config = uvicorn.Config(
        many, port=port, lifespan="off", log_level="warning", access_log=False, timeout_graceful_shutdown=3
    )
    try:
        await uvicorn.Server(config).serve()
    finally:
        await many.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
