"""A real Jupyter server with the terminal, and a client that speaks ttyd's protocol as its page does."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx
import psutil
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests import jupyter_process

TOKEN = "token-of-the-test"
SECRETS = {
    "JUPYTERHUB_API_TOKEN": "secret-of-the-hub",
    "JPY_API_TOKEN": "old-secret-of-the-hub",
    "CONFIGPROXY_AUTH_TOKEN": "secret-of-the-proxy",
    "JUPYTERHUB_COOKIE_SECRET": "secret-of-the-cookies",
}
T = TypeVar("T")
NOTICE = "A scripted model {answers} here."
ESCAPES = re.compile(
    rb"\x1b(\[[0-9;:?<>=!]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][0-9A-Z]|[=>78cDEHM]|P[^\x1b]*\x1b\\)"
)


def until(what: str, look: Callable[[], T], limit_s: float = 60) -> T:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + limit_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not within {limit_s} s"
        time.sleep(0.1)
    return found


class Workspace:
    """One Jupyter server, under the base URL that a hub would give it."""

    def __init__(self, process: subprocess.Popen[bytes], home: Path, url: str) -> None:
        self.process = process
        self.home = home
        self.url = url
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"token {TOKEN}"}, timeout=30)

    def terminal(self, **headers: str) -> Terminal:
        address = self.url.replace("http://", "ws://") + "claude-code/ws"
        return Terminal(address, headers or {"Authorization": f"token {TOKEN}"})

    @property
    def folder(self) -> Path:
        (folder,) = self.folders()
        return folder

    def folders(self) -> list[Path]:
        return list(Path(tempfile.gettempdir()).glob(f"agents-terminal-{self.process.pid}-*"))

    def running(self) -> set[str]:
        """The names of all programs under the server."""
        names = set()
        for process in self.below().values():
            with suppress(psutil.NoSuchProcess):
                names.add(process.name())
        return names

    def is_at_shell(self) -> bool:
        """Whether Claude Code was left in a session of the terminal, for an interactive shell."""
        for process in self.below().values():
            with suppress(psutil.NoSuchProcess):
                if process.cmdline()[1:] == ["-i"]:
                    return True
        return False

    def below(self) -> dict[int, psutil.Process]:
        """Every process under the server, by its id."""
        return {each.pid: each for each in psutil.Process(self.process.pid).children(recursive=True)}


class Terminal:
    """A connection as ttyd's page makes it: subprotocol `tty`, a JSON message with the size, then a command byte
    before each message; `0` is input one way and output the other."""

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        protocol = Subprotocol("tty")
        self.connecting = connect(
            address,
            subprotocols=[protocol],
            additional_headers=headers,
            max_size=None,
            proxy=None,
            open_timeout=60,
            close_timeout=1,
        )
        self.output = b""

    def __enter__(self) -> Self:
        self.socket = self.connecting.__enter__()
        self.socket.send(json.dumps({"AuthToken": "", "columns": 100, "rows": 30}).encode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connecting.__exit__(kind, error, trace)

    def type(self, text: str) -> None:
        self.socket.send(b"0" + text.encode())

    def text(self) -> str:
        """What came so far, without escape sequences and blanks: a full-screen program moves the cursor instead."""
        return "".join(ESCAPES.sub(b"", self.output).decode(errors="replace").split())

    def read_until(self, text: str, limit_s: float = 60) -> None:
        deadline = time.monotonic() + limit_s
        while "".join(text.split()) not in self.text():
            assert time.monotonic() < deadline, f"{text!r} did not come within {limit_s} s: {self.text()[-2000:]}"
            with suppress(TimeoutError):
                message = self.socket.recv(timeout=0.2)
                if isinstance(message, bytes) and message[:1] == b"0":
                    self.output += message[1:]


@contextmanager
def workspace(
    place: Path, path: str, environ: Mapping[str, str] | None = None, *, with_agents: bool = False
) -> Iterator[Workspace]:
    home = place / "home"
    settings = place / "settings"
    for folder in (home, settings, place / "runtime"):
        folder.mkdir()
    extensions = dict.fromkeys(jupyter_process.OTHERS, False)
    extensions |= {"jupyter_server_proxy": True, "jupyterhub_agents": with_agents}
    config = {"ServerApp": {"jpserver_extensions": extensions}}
    (settings / "jupyter_server_config.json").write_text(json.dumps(config))
    log = place / "server.log"
    process = jupyter_process.start(
        home,
        log=log,
        environment={
            **{"PATH": path, "HOME": str(home), "SHELL": "/bin/sh", "JUPYTER_TOKEN": TOKEN},
            **{"JUPYTER_CONFIG_DIR": str(settings), "JUPYTER_RUNTIME_DIR": str(place / "runtime")},
            **{"TMPDIR": tempfile.gettempdir(), "JUPYTERHUB_AGENTS_NOTICE": NOTICE, "IS_SANDBOX": "1"},
            **SECRETS,
            **(environ or {}),
        },
    )
    server: Workspace | None = None
    try:
        server = Workspace(process, home, jupyter_process.url_of(process, place / "runtime", log))
        yield server
    finally:
        if server is not None:
            server.http.close()
        jupyter_process.end(process)


def screen(server: Workspace) -> str:
    """What the session shows now."""
    command = ["tmux", "-S", str(server.folder / "tmux.sock"), "capture-pane", "-p", "-t", "=claude:", "-S", "-"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
