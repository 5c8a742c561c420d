"""The culler stops who is idle and spares who is at work: with the real culler, proxy and reports."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.hub.kernel import Kernel
from tests.hub.people import Person, RunningHub, eventually, running_hub

CULL_TIMEOUT_S = 12

CONFIG = f"""
from hub_config import configure

c.AgentHub.cull_timeout = {CULL_TIMEOUT_S}
c.AgentHub.cull_interval = 1
c.AgentHub.activity_interval = 1
c.JupyterHub.last_activity_interval = 1
configure(c)
"""
"""Seconds. With the last one the hub asks the proxy as often, so that the proxy's word would count if it could."""

POLLS = (
    "api/contents?content=1&hash=0",
    "api/kernels",
    "api/sessions",
    "api/terminals",
    "lab/api/workspaces",
    "api/me",
)


@pytest.fixture(scope="module")
def strict_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub that stops workspaces after a few seconds without activity."""
    folder = tmp_path_factory.mktemp("strict")
    config = folder / "jupyterhub_config.py"
    config.write_text(CONFIG)
    with running_hub(folder / "state", config=config) as hub:
        yield hub


class IdleTab:
    """A JupyterLab tab with a notebook open that nobody looks at, as version 4.6 behaves (seen in a browser):
    it holds the WebSockets of its kernel, terminal and events open, polls, and writes its layout down."""

    def __init__(self, person: Person) -> None:
        self.person = person
        answer = person.workspace.post("api/sessions", json={
            "path": "Untitled.ipynb", "name": "", "type": "notebook", "kernel": {"name": "python3"},
        })  # fmt: skip
        assert answer.status_code == 201, answer.text
        self.kernel_id = answer.json()["kernel"]["id"]
        self.terminal = person.workspace.post("api/terminals", json={}).json()["name"]

    def websocket(self, path: str) -> AbstractContextManager[ClientConnection]:
        address = self.person.base_url.replace("http://", "ws://", 1)
        headers = {"Authorization": f"token {self.person.token}"}
        return connect(f"{address}{path}", additional_headers=headers, proxy=None, open_timeout=60, ping_interval=1)

    def stay_open_until_culled(self, within: float) -> float:
        """Behave like the tab until the workspace is gone. Returns the seconds that took."""
        start = time.monotonic()
        with (
            self.websocket(f"api/kernels/{self.kernel_id}/channels?session_id=tab"),
            self.websocket(f"terminals/websocket/{self.terminal}"),
            self.websocket("api/events/subscribe"),
        ):
            eventually(self.is_gone_after_a_poll, within=within, every=1, what="the idle workspace is culled")
        return time.monotonic() - start

    def is_gone_after_a_poll(self) -> bool:
        statuses = [self.person.workspace.get(path).status_code for path in POLLS]
        layout = {"data": {}, "metadata": {"id": "default"}}
        statuses.append(self.person.workspace.put("lab/api/workspaces/default", content=json.dumps(layout)).status_code)
        if self.person.is_ready():
            assert set(statuses) <= {200, 204}, statuses
        return not self.person.is_ready()


def test_an_open_tab_that_nobody_uses_is_culled_and_a_kernel_at_work_is_spared(strict_hub: RunningHub) -> None:
    busy = strict_hub.person("busy").spawn()
    with Kernel(busy) as kernel:
        kernel.begin("import time; time.sleep(600)")
        idle = strict_hub.person("idle").spawn()
        seconds = IdleTab(idle).stay_open_until_culled(within=CULL_TIMEOUT_S + 60)
        assert seconds > CULL_TIMEOUT_S - 2
        assert busy.is_ready()
        assert idle.home.is_dir()
    busy.stop()
