"""A real Jupyter server with the extension, as a person's workspace runs it, on a scripted model."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from jupyterhub_agents.testing import ScriptedModel
from tests import jupyter_process


@dataclass
class Server:
    """A running workspace server, and a client that may use it."""

    process: subprocess.Popen[bytes]
    url: str
    token: str
    home: Path
    model: ScriptedModel
    log: Path
    http: httpx.Client = field(repr=False)

    def get(self, path: str, **kw: Any) -> httpx.Response:
        return self.http.get(path, **kw)

    def post(self, path: str, body: Any = None, **kw: Any) -> httpx.Response:
        return self.http.post(path, json={} if body is None else body, **kw)

    def agent(self, id: str = "helper", **fields: Any) -> dict[str, Any]:
        answer = self.post("api/agents", {"id": id, "name": id, **fields})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def start(self, prompt: str, agent: str = "helper", **fields: Any) -> dict[str, Any]:
        answer = self.post(f"api/agents/{agent}/runs", {"prompt": prompt, **fields})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def run(self, run_id: str) -> dict[str, Any]:
        return dict(self.get(f"api/runs/{run_id}").json())

    def until(self, run_id: str, *statuses: str, within: float = 60) -> dict[str, Any]:
        deadline = time.monotonic() + within
        while (run := self.run(run_id))["status"] not in statuses:
            assert time.monotonic() < deadline, run
            time.sleep(0.1)
        return run

    def finish(self, run_id: str) -> dict[str, Any]:
        return self.until(run_id, "succeeded", "failed", "cancelled", "interrupted")

    def seen(self, run_id: str, text: str, within: float = 60) -> None:
        deadline = time.monotonic() + within
        while text not in self.get(f"api/runs/{run_id}/events").text:
            assert time.monotonic() < deadline, f"{text} was not seen"
            time.sleep(0.1)

    def waits(self, run_id: str, *, after: str | None = None, within: float = 60) -> str:
        """Wait until a call of the run waits for a person, other than the one `after`; gives the approval's id."""
        deadline = time.monotonic() + within
        while True:
            waiting = self.get(f"api/approvals?run={run_id}&waiting=true").json()["items"]
            found = [approval["id"] for approval in waiting if approval["id"] != after]
            if found:
                return str(found[0])
            assert time.monotonic() < deadline, self.run(run_id)
            time.sleep(0.1)

    def kill(self) -> None:
        """As the kernel does when memory is short."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


StartServer = Callable[..., AbstractContextManager[Server]]


class Place:
    """A home, and the model that its server is given: both outlive restarts of the server. The server is a lean one,
    or with `whole` as people have it."""

    def __init__(self, folder: Path, *, whole: bool = False) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.model: ScriptedModel | None = None
        own = {"JUPYTER_CONFIG_DIR": str(self.home / ".jupyter")}
        self.settings = own if whole else jupyter_process.lean(folder / "settings")

    def close(self) -> None:
        if self.model is not None:
            self.model.stop()
            self.model = None

    @contextmanager
    def start(self, script: Any = None, *arguments: str, env: dict[str, str] | None = None) -> Iterator[Server]:
        """A server in this home. With a script, on a new model. It must leave no process behind."""
        if script is not None:
            self.close()
            self.model = ScriptedModel(script)
            self.model.start()
        assert self.model is not None
        token = secrets.token_hex(16)
        log = self.folder / "server.log"
        runtime = self.folder / "runtime"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "JPY"))},
            **self.model.env(),
            "HOME": str(self.home),
            "XDG_DATA_HOME": str(self.home / ".local" / "share"),
            "CLAUDE_CONFIG_DIR": str(self.home / ".claude"),
            "JUPYTER_RUNTIME_DIR": str(runtime),
            **self.settings,
            "JUPYTER_TOKEN": token,
            "JUPYTERHUB_USER": "ana",
            **(env or {}),
        }
        with jupyter_process.start(self.home, *arguments, environment=environment, log=log) as process:
            try:
                url = jupyter_process.url_of(process, runtime, log)
                with httpx.Client(base_url=url, headers={"Authorization": f"token {token}"}, timeout=30) as http:
                    yield Server(process, url, token, self.home, self.model, log, http)
            finally:
                jupyter_process.end(process)
