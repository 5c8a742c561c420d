"""Starts a hub for a person at a terminal, says how to use it, and leaves no process behind.

    python -m hub_config.launch --port 8000 --state .local

The hub is a child in a session of its own, so that Ctrl-C reaches this process alone, which then stops all in
order: the hub stops workspaces, services and proxy; what is left after that is stopped here. When this process
is killed, the hub stops by itself; when the hub is killed, this process stops the rest; when both are, the next
start does.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType
from typing import TextIO
from urllib.parse import urlsplit

import psutil
from traitlets import TraitError
from traitlets.config.loader import PyFileConfigLoader

from . import processes
from .hub import AgentHub
from .ports import free_ports
from .state import LAUNCH_MARK, StateFolder

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 40.0
"""The hub's own limit for a workspace that does not stop: 10 s for SIGINT, 5 s for SIGTERM, 5 s for SIGKILL
(jupyterhub.spawner.LocalProcessSpawner)."""

_HUB_ERROR = re.compile(r"\[[EC] \S+ \S+ JupyterHub ")
"""A line of the log worth a look: the hub's own errors, not those of the programs that people run."""
_ENTRY = re.compile(r"\[([A-Z]) \d{4}-|\d{4}-\d\d-\d\dT\S+ \[ConfigProxy\]")
"""Where a program's next entry in the log begins, with its level, but for the proxy's; what follows, such as a
traceback, belongs to it."""


class CannotStart(Exception):
    """Why there is no hub, in one line that says what to do."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hub_config.launch", description="Start a hub on this machine.")
    parser.add_argument("--port", type=int, default=8000, help="where people sign in; 0 takes a free one")
    parser.add_argument("--state", type=Path, default=Path(".local"), help="the folder that keeps everything")
    parser.add_argument(
        "--config", type=Path, default=Path("jupyterhub_config.py"), help="JupyterHub's configuration file"
    )
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.port <= 65535:
        parser.error(f"port {arguments.port}: give a number from 1 to 65535, or 0 for a free one")
    os.umask(0o077)
    signals = _Signals()
    # The hub reads its choices once more, from the same place: its environment.
    os.environ["JUPYTERHUB_AGENTS_STATE"] = str(arguments.state.resolve())
    os.environ["JUPYTERHUB_AGENTS_PORT"] = str(arguments.port or free_ports(1)[0])
    try:
        return _run(arguments.config, signals)
    except CannotStart as refusal:
        _say(f"jupyterhub-agents: {refusal}", sys.stderr)
        return 1


def _run(config: Path, signals: _Signals) -> int:
    hub = _read_choices(config)
    with _held(hub.state):
        processes.adopt_orphans()
        processes.stop(processes.marked(LAUNCH_MARK, hub.state_dir))
        _check_proxy(hub.proxy_command)
        _check_port(hub.ip, hub.port)
        if hub.state.log.exists():
            hub.state.log.replace(hub.state.log.with_suffix(".log.1"))
        with hub.state.log.open("x", encoding="utf-8") as log:
            child = _start_hub(config, hub, log)
        try:
            return _attend(hub, child, signals)
        finally:
            _stop(hub, child, signals)


def _read_choices(config: Path) -> AgentHub:
    if not config.exists():
        raise CannotStart(f"there is no {config}: start in the project's folder, or name a file with --config.")
    try:
        return AgentHub.from_config(PyFileConfigLoader(config.name, str(config.resolve().parent)).load_config())
    except TraitError as error:
        raise CannotStart(" ".join(str(error).split())) from error
    except OSError as error:
        raise CannotStart(f"{error.filename or config}: {error.strerror}.") from error


@contextmanager
def _held(state: StateFolder) -> Iterator[None]:
    """This process holds the state folder, and no other can meanwhile."""
    with state.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotStart(
                f"a hub already runs on {state.path}{_where_it_runs(state)}. Stop that one first (Ctrl-C where it"
                " was started), or take another folder: make run STATE=..."
            ) from error
        yield


def _where_it_runs(state: StateFolder) -> str:
    try:
        running = json.loads(state.running.read_text())
        return f", at {running['url']} (process {running['pid']})"
    except (OSError, ValueError, KeyError):
        return ""


def _check_proxy(command: list[str]) -> None:
    if not shutil.which(command[0]):
        raise CannotStart(
            f"{command[0]} is missing, without which nobody reaches the hub."
            " `make run` installs it; else: npm install -g configurable-http-proxy@5.3."
        )


def _check_port(ip: str, port: int) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(ip, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the proxy does
            attempt.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"port {port} is in use{_user_of(port)}. Stop that program, or take another port:"
                f" make run PORT={_next(port)}"
            ) from error
        if error.errno == errno.EACCES:
            raise CannotStart(f"port {port} is for root only. Take one from 1024: make run PORT=8000") from error
        raise CannotStart(
            f"cannot listen on {ip}: {error.strerror}. Set JUPYTERHUB_AGENTS_IP or leave it out."
        ) from error


def _user_of(port: int) -> str:
    """Which program listens on `port`, where that can be seen."""
    try:
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr  # an empty tuple for a socket that is not bound
            if address and address.port == port and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass
    return ""


def _next(port: int) -> int:
    return port + 1 if port < 65535 else 8000


def _start_hub(config: Path, hub: AgentHub, log: TextIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own words, no shell
        [sys.executable, "-m", "jupyterhub", "-f", str(config.resolve())],
        env=os.environ | {LAUNCH_MARK: hub.state_dir},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=processes.end_with_parent,
    )


def _attend(hub: AgentHub, child: subprocess.Popen[bytes], signals: _Signals) -> int:
    """See the hub start, tell the person, and watch until a signal or its end. Returns the exit code."""
    _say("Starting the hub ...")
    if not _answers(hub, child, signals):
        if signals.count:
            return 0
        ended = child.poll()
        how = f"it did not answer within {START_TIMEOUT_S:g} s" if ended is None else _how_it_ended(ended)
        raise CannotStart(f"the hub did not start ({how}). {_why(hub.state.log)}")
    hub.state.running.write_text(json.dumps({"pid": os.getpid(), "url": hub.local_url}) + "\n")
    _say(_how_to_use(hub))
    with hub.state.log.open(encoding="utf-8", errors="replace") as log:
        while not signals.wait(0.5) and child.poll() is None:
            processes.reap_orphans(keep=child.pid)
            for line in log:
                if _HUB_ERROR.match(line):
                    _say(line.rstrip())
    if signals.count:
        return 0
    raise CannotStart(
        f"the hub ended by itself ({_how_it_ended(child.wait())}). Start it again with make run; people's files are"
        f" untouched. {_end_of(hub.state.log)}"
    )


def _answers(hub: AgentHub, child: subprocess.Popen[bytes], signals: _Signals) -> bool:
    """Wait until the hub answers through its proxy; False when it ends or is told to stop first, or takes too
    long."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and child.poll() is None and not signals.wait(0.1):
        connection = HTTPConnection(urlsplit(hub.local_url).hostname or "", hub.port, timeout=5)
        try:
            connection.request("GET", "/hub/health")
            if connection.getresponse().status == 200:
                return True
        except (OSError, HTTPException):
            continue
        finally:
            connection.close()
    return False


def _how_to_use(hub: AgentHub) -> str:
    if hub.uses_demo_model:
        model = (
            "a scripted demo model, not an AI: it only shows how things work.\n"
            "                For the real one: ANTHROPIC_API_KEY=... make run"
        )
    elif hub.service_url:
        model = f"what the service at {hub.service_url} is set to"
    elif not hub.anthropic_api_key:
        model = f"Claude on Vertex AI, in the project {hub.vertex_project}"
    else:
        model = f"the real API, at {hub.anthropic_base_url or 'Anthropic'}, with the key in ANTHROPIC_API_KEY"
    if hub.by_provider:
        people = f"  As yourself   by {hub.oidc_name if hub.sign_in == 'oidc' else hub.sign_in}"
    else:
        people = (
            f"  As yourself   any name you like   password: {hub.user_password}\n"
            f"  As admin      {hub.admin_user:<19} password: {hub.admin_password}"
        )
    return f"""
jupyterhub-agents is running.

  Sign in at    {hub.local_url}
{people}
  Model         {model}
  Kept in       {hub.state.path}   (the log is {hub.state.log.name})
  Stop          Ctrl-C

Everyone's workspace runs under your own account on this machine: for trying things out, with people you trust.
"""


def _how_it_ended(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _why(log: Path, most: int = 30) -> str:
    """What the log of a start has to say of its end: the errors; without any, how it ends."""
    errors: list[str] = []
    is_error = False
    for line in _lines(log):
        if entry := _ENTRY.match(line):
            is_error = entry[1] in ("E", "C")
        if is_error:
            errors.append(line)
    return f"The errors in {log}:\n" + "\n".join(errors[-most:]) if errors else _end_of(log)


def _end_of(log: Path, most: int = 12) -> str:
    return f"The end of {log}:\n" + "\n".join(_lines(log)[-most:])


def _lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()


def _stop(hub: AgentHub, child: subprocess.Popen[bytes], signals: _Signals) -> None:
    """End the hub and all under it. A second signal cuts the waiting short."""
    if child.poll() is None:
        _say("\nStopping the hub and all workspaces ... (Ctrl-C again: at once)")
        child.terminate()
        asked, deadline = signals.count, time.monotonic() + STOP_TIMEOUT_S
        while child.poll() is None and time.monotonic() < deadline and signals.count == asked:
            time.sleep(0.1)
    processes.stop(processes.descendants() | processes.marked(LAUNCH_MARK, hub.state_dir))
    child.wait(timeout=5)
    for leftover in (hub.state.running, hub.state.hub / "proxy.pid", hub.state.hub / "jupyterhub.pid"):
        leftover.unlink(missing_ok=True)
    _say("Stopped.")


class _Signals:
    """Counts the wishes to stop: Ctrl-C, kill, and the terminal that goes away."""

    def __init__(self) -> None:
        self.count = 0
        self._asked = threading.Event()
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, self._note)

    def _note(self, _sign: int, _frame: FrameType | None) -> None:
        self.count += 1
        self._asked.set()

    def wait(self, seconds: float) -> bool:
        """Whether to stop, asked within `seconds` from now or before."""
        return self._asked.wait(seconds)


def _say(text: str, stream: TextIO | None = None) -> None:
    """To the person at the terminal, who may have closed it."""
    with suppress(OSError):
        print(text, file=stream or sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main())
