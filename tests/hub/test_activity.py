"""What a workspace reports as activity."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from tests.hub.kernel import Kernel
from tests.hub.people import Person, RunningHub, eventually


@pytest.fixture(scope="module")
def quiet(hub: RunningHub) -> Iterator[Person]:
    """A person whose workspace nobody else uses."""
    person = hub.person("quiet").spawn()
    yield person
    person.stop()


def last_activity(person: Person) -> str:
    """As the workspace reports it to the hub: a time in ISO 8601, in UTC."""
    return str(person.workspace.get("api/status").json()["last_activity"])


@pytest.mark.parametrize(
    "path",
    ["api/contents", "api/kernels", "api/sessions", "api/terminals", "api/me", "lab/api/workspaces", "api/kernelspecs"],
)
def test_looking_is_no_activity(quiet: Person, path: str) -> None:
    before = last_activity(quiet)
    assert quiet.workspace.get(path).status_code == 200
    assert last_activity(quiet) == before


def test_jupyterlab_noting_its_layout_is_no_activity(quiet: Person) -> None:
    before = last_activity(quiet)
    layout = json.dumps({"data": {}, "metadata": {"id": "default"}})
    assert quiet.workspace.put("lab/api/workspaces/default", content=layout).status_code == 204
    assert last_activity(quiet) == before


def test_a_change_is_activity(quiet: Person) -> None:
    before = last_activity(quiet)
    file = {"type": "file", "format": "text", "content": "changed"}
    assert quiet.workspace.put("api/contents/changed.txt", json=file).status_code == 201
    assert last_activity(quiet) > before


def test_typing_in_a_terminal_is_activity(quiet: Person) -> None:
    name = quiet.workspace.post("api/terminals", json={}).json()["name"]
    address = quiet.base_url.replace("http://", "ws://", 1)
    headers = {"Authorization": f"token {quiet.token}"}
    with connect(
        f"{address}terminals/websocket/{name}", additional_headers=headers, proxy=None, open_timeout=60
    ) as terminal:
        before = last_activity(quiet)
        terminal.send(json.dumps(["stdin", "true\r"]))
        eventually(lambda: last_activity(quiet) > before, within=60, what="typing counts")
    assert quiet.workspace.delete(f"api/terminals/{name}").status_code == 204


def test_a_kernel_that_says_nothing_is_active_as_long_as_it_executes(quiet: Person) -> None:
    with Kernel(quiet) as kernel:
        kernel.begin("import time; time.sleep(600)")
        eventually(
            lambda: quiet.workspace.get(f"api/kernels/{kernel.id}").json()["execution_state"] == "busy",
            within=60, what="the kernel is at work",
        )  # fmt: skip
        before = last_activity(quiet)
        time.sleep(0.01)
        assert last_activity(quiet) > before
        assert quiet.workspace.delete(f"api/kernels/{kernel.id}").status_code == 204
    before = last_activity(quiet)
    time.sleep(0.01)
    assert last_activity(quiet) == before
