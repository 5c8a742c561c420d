"""A hub as a person would start it, and the people who use it, as their browsers would."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import urlsplit

import httpx
import psutil

from tests.processes import commands

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 150.0
SPAWN_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 60.0
TLS = ssl.create_default_context()
"""One for all clients: to read the certificates is most of what it takes to make a client."""

T = TypeVar("T")


def eventually(check: Callable[[], T], *, within: float, what: str, every: float = 0.1) -> T:
    """The first true answer of `check`. Fails with `what` when there is none `within` so many seconds."""
    deadline = time.monotonic() + within
    while not (answer := check()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(every)
    return answer


class Person:
    """Somebody with a browser, whose cookies are in `browser`. Close it, or use it in a `with`."""

    def __init__(self, hub: RunningHub, name: str) -> None:
        self.hub = hub
        self.name = name
        self.browser = httpx.Client(base_url=hub.url, follow_redirects=True, timeout=30, trust_env=False, verify=TLS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.browser.close()
        if "workspace" in self.__dict__:
            self.workspace.close()

    def sign_in(self, password: str | None = None) -> httpx.Response:
        """Send the sign-in form, with the right password unless another is given. The answer is the page after."""
        if password is None:
            password = self.hub.admin_password if self.name == "admin" else self.hub.user_password
        self.browser.get("/hub/login")
        form = {"username": self.name, "password": password}
        return self.browser.post("/hub/login?next=/hub/home", data=form | {"_xsrf": self.xsrf("/hub/")})

    def xsrf(self, path: str) -> str:
        """The XSRF token of the pages under `path`."""
        found = [c.value for c in self.browser.cookies.jar if c.name == "_xsrf" and c.path == path]
        assert found, f"{self.name} has no _xsrf cookie for {path}"
        return str(found[0])

    def new_token(self, **wishes: object) -> str:
        """A new API token of the hub, made with the cookies, as the token page does."""
        answer = self.browser.post(
            f"/hub/api/users/{self.name}/tokens",
            json=wishes,
            headers={"X-XSRFToken": self.xsrf("/hub/"), "Referer": f"{self.hub.url}/hub/token"},
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    @cached_property
    def token(self) -> str:
        """An API token that may do all that this person may."""
        return self.new_token(note="tests")

    @property
    def base_url(self) -> str:
        """Where the workspace is, with a slash at the end."""
        return f"{self.hub.url}/user/{self.name}/"

    @property
    def home(self) -> Path:
        return self.hub.state / "homes" / self.name

    @cached_property
    def workspace(self) -> httpx.Client:
        """A program that talks to the workspace with the token: `person.workspace.get("api/agents")`."""
        return httpx.Client(
            base_url=self.base_url,
            headers={"Authorization": f"token {self.token}"},
            timeout=30,
            trust_env=False,
            verify=TLS,
        )

    def is_ready(self) -> bool:
        """Whether the workspace runs and answers."""
        model = self.api("GET", f"users/{self.name}").json()
        return bool(model.get("servers", {}).get("", {}).get("ready"))

    def spawn(self) -> Self:
        """Start the workspace as the button does, unless it runs, and wait until it is ready."""
        if not self.is_ready():
            answer = self.browser.get("/hub/spawn")
            assert answer.status_code == 200, answer.text
            eventually(self.is_ready, within=SPAWN_TIMEOUT_S, what=f"{self.name}'s workspace is ready")
        return self

    def stop(self) -> None:
        """Stop the workspace, and wait until it has stopped."""
        answer = self.api("DELETE", f"users/{self.name}/server")
        assert answer.status_code in (202, 204), answer.text
        eventually(
            lambda: "" not in self.api("GET", f"users/{self.name}").json().get("servers", {}),
            within=60, what=f"{self.name}'s workspace has stopped",
        )  # fmt: skip

    def api(self, method: str, path: str, **more: object) -> httpx.Response:
        """A request to the hub's API with the token."""
        headers = {"Authorization": f"token {self.token}"}
        return self.browser.request(method, f"/hub/api/{path}", headers=headers, **more)  # type: ignore[arg-type]  # httpx's own words


class RunningHub:
    """A hub that runs, and the folder that keeps it."""

    def __init__(self, launcher: subprocess.Popen[bytes], state: Path, console: Path) -> None:
        self.launcher = launcher
        self.state = state
        self.console = console
        self.url = ""
        self._people: dict[str, Person] = {}

    @property
    def said(self) -> str:
        """What it has said at the terminal."""
        return self.console.read_text()

    @property
    def user_password(self) -> str:
        return (self.state / "secrets" / "user-password").read_text().strip()

    @property
    def admin_password(self) -> str:
        return (self.state / "secrets" / "admin-password").read_text().strip()

    def person(self, name: str) -> Person:
        """`name`, signed in; the same person when asked again."""
        if name not in self._people:
            person = self._people[name] = Person(self, name)
            answer = person.sign_in()
            assert answer.status_code == 200 and answer.url.path == "/hub/home", answer.text
        return self._people[name]

    def processes(self) -> list[psutil.Process]:
        """The launcher and all that it started, directly or not."""
        parent = psutil.Process(self.launcher.pid)
        return [parent, *parent.children(recursive=True)]

    def commands(self) -> list[str]:
        """Of all processes."""
        return commands(self.processes())

    def processes_of(self, word: str) -> list[psutil.Process]:
        """Those with `word` as a part of their command, or as the name of a file there. Some may end while this looks,
        and what one of them is about to start looks like it for a moment: that is not counted.
        """
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                if any(word in (part, Path(part).name) for part in process.cmdline()):
                    found.append((process, process.parent()))
        those = [process for process, _ in found]
        return [process for process, parent in found if parent not in those]

    def process(self, word: str) -> psutil.Process:
        """The only one of `processes_of`."""
        (process,) = self.processes_of(word)
        return process

    def wait_until_ready(self) -> Self:
        def address() -> str:
            assert self.launcher.poll() is None, f"the hub did not start:\n{self.said}"
            found = re.search(r"Sign in at +(http://\S+)/\n(.*\n)+", self.said)
            return found[1] if found else ""

        self.url = eventually(address, within=START_TIMEOUT_S, what="the hub says where to sign in")
        return self

    def stop(self, sign: signal.Signals = signal.SIGINT) -> int:
        """Press Ctrl-C, or send another signal, and wait for the end. Returns the exit code."""
        for person in self._people.values():
            person.close()
        self._people.clear()
        if self.launcher.poll() is None:
            self.launcher.send_signal(sign)
        return self.launcher.wait(timeout=STOP_TIMEOUT_S)

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0


def launch(
    state: Path, *, port: int = 0, config: Path | None = None, environment: Mapping[str, str] | None = None
) -> RunningHub:
    """Start a hub the way `make run` does, and do not wait. Without an API key: the demo model answers."""
    console = state.with_name(f"{state.name}.console")
    command = [sys.executable, "-m", "hub_config.launch", "--port", str(port), "--state", str(state)]
    command += ["--config", str(config or ROOT / "jupyterhub_config.py")]
    secrets = ("ANTHROPIC_", "JUPYTERHUB_AGENTS_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(secrets)}
    with console.open("w") as output:
        launcher = subprocess.Popen(
            command, cwd=ROOT, env=own | dict(environment or {}), stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    return RunningHub(launcher, state, console)


@contextmanager
def running_hub(
    state: Path, *, port: int = 0, config: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[RunningHub]:
    """A hub that answers; stopped at the end, with a check that nothing of it is left."""
    hub = launch(state, port=port, config=config, environment=environment)
    try:
        yield hub.wait_until_ready()
    finally:
        before = hub.processes() if hub.launcher.poll() is None else []
        hub.stop()
        left = [process for process in before if process.is_running()]
        assert not left, f"still there after the hub was stopped: {left}"
