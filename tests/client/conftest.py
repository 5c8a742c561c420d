"""The client against a real Jupyter server with the extension, the real CLI, and a scripted model behind it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hub_config.ports import free_ports
from jupyterhub_agents.client import AgentClient
from jupyterhub_agents.client.cli import main
from jupyterhub_agents.testing.model_server import ModelServer
from jupyterhub_agents.testing.scripted_model import ScriptedModel, say, use
from tests import jupyter_process

SCRIPT: dict[str, Any] = {
    "greet": [say("Hello from the script.")],
    "write hello": [
        say("I write it first.") + use("Write", {"file_path": "hello.py", "content": "print('hello')\n"}),
        use("Bash", {"command": "python3 hello.py"}),
        say("It prints hello."),
    ],
    "ask first": [use("Bash", {"command": "git init asked-for"}), say("After that.")],
    "very slow": [say(" ".join(f"word{number}" for number in range(60))).paced(0.2)],
    "slow": [say(" ".join(f"word{number}" for number in range(60))).paced(0.05)],
    "endless": [use("Bash", {"command": "python3 -c 'import time; time.sleep(300)'"}), say("Never said.")],
    "again": [say("Once more, then.")],
    "separators": [say("a\u2028b\u0085c \x1b[31mred\x1b[0m")],
}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def until(what: Callable[[], Any], within_s: float = 60) -> Any:
    """Wait until `what()` is true, and give its value."""
    deadline = time.monotonic() + within_s
    while not (value := what()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s:g} s")
        time.sleep(0.1)
    return value


class Server:
    """A person's Jupyter server with a home of its own, a lean one or with `whole` as people have it. It can be stopped
    and started again."""

    def __init__(self, folder: Path, model: ModelServer, *, notice: str = "", whole: bool = False) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.runtime = folder / "runtime"
        self.token = secrets.token_hex(16)
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}/user/ana/"
        self.log = folder / "server.log"
        kept = ("PATH", "LANG", "VIRTUAL_ENV", "BUN_JSC_useDFGJIT")
        self.env = {name: os.environ[name] for name in kept if name in os.environ} | {
            **({} if whole else jupyter_process.lean(folder / "settings")),
            **model.env(),
            "HOME": str(self.home),
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "JUPYTER_TOKEN": self.token,
            "JUPYTERHUB_AGENTS_NOTICE": notice,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        self.arguments: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = jupyter_process.start(
            self.home, *self.arguments, environment=self.env, log=self.log, port=self.port
        )
        jupyter_process.url_of(self._process, self.runtime, self.log)

    def stop(self, *, kill: bool = False) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        jupyter_process.end(process, signal.SIGKILL if kill else signal.SIGTERM)

    def client(self, **options: Any) -> AgentClient:
        return AgentClient(**{"workspace_url": self.url, "token": self.token, **options})

    def program(self, *arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
        """Run `jupyter agents ...` as a person does in the workspace's terminal."""
        return subprocess.run(
            [sys.executable, "-m", "jupyterhub_agents.client", *arguments],
            env=self.env | {"COLUMNS": "100"}, cwd=self.home, input=input, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def command(self, *arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
        """The same within this process: the start of a program takes more than what most commands do."""
        out, errors = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as terminal, contextlib.chdir(self.home):
            for name in os.environ:
                terminal.delenv(name)
            for name, value in {**self.env, "COLUMNS": "100"}.items():
                terminal.setenv(name, value)
            terminal.setattr(sys, "argv", ["jupyter-agents", *arguments])
            terminal.setattr(sys, "stdin", io.StringIO(input))
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors), pytest.raises(SystemExit) as left:
                main()
        return subprocess.CompletedProcess(arguments, left.value.code, out.getvalue(), errors.getvalue())


@pytest.fixture(scope="session")
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel(SCRIPT) as model:
        yield model


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, model: ScriptedModel) -> Iterator[Server]:
    """One workspace for all tests; each makes agents of its own."""
    server = Server(tmp_path_factory.mktemp("workspace"), model)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(server: Server) -> Iterator[AgentClient]:
    with server.client() as client:
        yield client


@pytest.fixture
def agent_id(client: AgentClient) -> str:
    """An agent that may write and run Python."""
    name = f"helper-{secrets.token_hex(4)}"
    client.create_agent(name, tools=["Read", "Write", "Edit", "Bash(python3 *)"], permission_mode="acceptEdits")
    return name


class Network:
    """The way to a server: a TCP relay that can be cut. `cut_after` bytes of answers every connection breaks."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cut_after: int | None = None
        self.up = True
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._spawn(self._accept)

    def _spawn(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self.up:
                near.close()
                continue
            self.connections += 1
            far = socket.create_connection(("127.0.0.1", self._to))
            self._open |= {near, far}
            self._spawn(self._pump, near, far, None)
            self._spawn(self._pump, far, near, self.cut_after)

    def _pump(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                target.sendall(data[:limit])
                if limit is not None and (limit := limit - len(data)) <= 0:
                    break
        self._break(source, target)

    def _break(self, *ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)

    def cut(self) -> None:
        """Break all connections there are."""
        self._break(*list(self._open))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def network(server: Server) -> Iterator[Network]:
    network = Network(server.port)
    yield network
    network.close()


def lines(text: str) -> list[dict[str, Any]]:
    """JSON lines."""
    return [json.loads(line) for line in text.splitlines()]
