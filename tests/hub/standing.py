"""A hub whose parts are started each on its own, as on a site: proxy, service and hub can be stopped one by one, and
nothing else ends with them. docs/front-door.md, "Restarts", has the same settings."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from hub_config import processes
from hub_config.node import find_proxy_command
from hub_config.ports import free_ports
from hub_config.state import LAUNCH_MARK
from tests.hub.people import ROOT, TLS, Person, eventually

CONFIG = """
from hub_config import configure

c.AgentHub.service_url = "{service}"
c.AgentHub.cull_timeout = 0
configure(c)
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.last_activity_interval = 2
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
"""


class StandingHub:
    """Stands for a RunningHub towards Person, whose workspaces it has too."""

    def __init__(self, folder: Path, model: Mapping[str, str]) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        self._log = folder / "log"
        port, hub_port, api_port, service_port = free_ports(4)
        self.url = f"http://127.0.0.1:{port}"
        service = f"http://127.0.0.1:{service_port}"
        token = secrets.token_hex(32)
        config = folder / "jupyterhub_config.py"
        config.write_text(CONFIG.format(service=service, hub_port=hub_port, api_port=api_port))
        own = {name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC_", "JUPYTERHUB_"))}
        routes_token = secrets.token_hex(32)
        own |= {LAUNCH_MARK: str(self.state), "CONFIGPROXY_AUTH_TOKEN": routes_token}
        self._routes = httpx.Client(
            base_url=f"http://127.0.0.1:{api_port}/api/routes", headers={"Authorization": f"token {routes_token}"},
            trust_env=False, verify=TLS, timeout=60,
        )  # fmt: skip
        self._commands = {
            "proxy": [
                *find_proxy_command(), "--ip", "127.0.0.1", "--port", str(port), "--api-ip", "127.0.0.1",
                "--api-port", str(api_port), "--log-level", "warn",
            ],
            "service": [sys.executable, "-m", "jupyterhub_agents.service.app"],
            "hub": [sys.executable, "-m", "jupyterhub", "-f", str(config)],
        }  # fmt: skip
        self._environments = {
            "proxy": own,
            "service": own | {
                "JUPYTERHUB_SERVICE_URL": service, "JUPYTERHUB_API_TOKEN": token,
                "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub_port}/hub/api", "JUPYTERHUB_AGENTS_HUB_URL": self.url,
                "JUPYTERHUB_AGENTS_SERVICE_STATE": str(folder / "service"), **model,
            },
            "hub": own | {
                "JUPYTERHUB_AGENTS_STATE": str(self.state), "JUPYTERHUB_AGENTS_PORT": str(port),
                "JUPYTERHUB_AGENTS_SERVICE_TOKEN": token,
            },
        }  # fmt: skip
        self._answers = {
            "proxy": self.url,
            "service": f"{service}/services/agents/health",
            "hub": f"{self.url}/hub/health",
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.people: list[Person] = []

    @property
    def user_password(self) -> str:
        return (self.state / "secrets" / "user-password").read_text().strip()

    def start(self, part: str) -> None:
        """Start a part, and wait until it answers."""
        with self._log.open("ab") as log:
            self._running[part] = subprocess.Popen(
                self._commands[part], env=self._environments[part], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip

        def answers() -> bool:
            assert self._running[part].poll() is None, f"the {part} ended:\n{self._log.read_text()[-3000:]}"
            try:
                status = httpx.get(self._answers[part], trust_env=False, verify=TLS).status_code
            except httpx.TransportError:
                return False
            return part == "proxy" or status == 200

        eventually(answers, within=60, what=f"the {part} answers")

    def end(self, part: str, sign: int) -> None:
        """Send a part a signal, and wait for its end."""
        process = self._running.pop(part)
        process.send_signal(sign)
        process.wait(timeout=60)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def forget_route(self, path: str) -> None:
        """Have the proxy forget a route, if it has it, until the hub tells it again."""
        assert self._routes.delete(path).status_code in (204, 404)

    def person(self, name: str) -> Person:
        person = Person(self, name)  # type: ignore[arg-type]  # it has what a Person needs
        self.people.append(person)
        assert person.sign_in().status_code == 200
        return person

    def close(self) -> None:
        self._routes.close()
        for person in self.people:
            person.close()
        for process in self._running.values():
            process.terminate()
        processes.stop(processes.marked(LAUNCH_MARK, str(self.state)))
        for process in self._running.values():
            process.wait(timeout=60)

    def processes(self) -> list[psutil.Process]:
        return list(processes.marked(LAUNCH_MARK, str(self.state)))


@contextmanager
def standing_hub(folder: Path, model: Mapping[str, str]) -> Iterator[StandingHub]:
    hub = StandingHub(folder, model)
    try:
        for part in ("proxy", "service", "hub"):
            hub.start(part)
        yield hub
    finally:
        hub.close()
        assert not hub.processes()
