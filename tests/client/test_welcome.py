"""The Welcome notebook: placed once, and every cell of it works."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from jupyterhub_agents.models import Trigger
from jupyterhub_agents.server.welcome import place
from jupyterhub_agents.testing.demo_model import DEMO_NOTICE, DemoModel

from .conftest import Server

SHIPPED = files("jupyterhub_agents.server.welcome") / "Welcome.ipynb"


def notebook_of(text: str) -> Any:
    return nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]  # nbformat's


@pytest.fixture(scope="module")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A workspace of a hub without an API key."""
    with DemoModel() as model:
        server = Server(tmp_path_factory.mktemp("welcome"), model, notice=DEMO_NOTICE)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def text_of(cell: Any) -> str:
    """What a cell shows, in the form that JupyterLab would choose."""
    text = ""
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        text += output.get("text", "") + (data.get("text/html") or data.get("text/plain", ""))
    return text


def execute(notebook: Any, server: Server) -> None:
    NotebookClient(notebook, timeout=90, resources={"metadata": {"path": str(server.home)}}).execute(env=server.env)


@pytest.fixture(scope="module")
def executed(demo_server: Server) -> Any:
    """The notebook that was placed in that home, executed for the first time."""
    path = place(demo_server.home)
    assert path == demo_server.home / "Welcome.ipynb"
    notebook = notebook_of(path.read_text())
    execute(notebook, demo_server)
    return notebook


def test_a_newcomer_sees_an_agent_work(demo_server: Server, executed: Any) -> None:
    said = {cell["id"]: text_of(cell) for cell in executed.cells}
    assert DEMO_NOTICE in said["client"]
    assert "first-steps" in said["make"]
    assert "● Write hello.py" in said["run"]
    assert "● Bash " in said["run"]
    assert "[succeeded · " in said["run"]
    assert f"! {DEMO_NOTICE}" in said["run"]
    assert 'print("Hello from my first agent")' in said["files"]
    assert "message assistant" in said["steps"]
    assert "Hello from my second agent" in said["reply"]
    assert said["runs"].count("succeeded") == 2
    with demo_server.client() as client:
        assert {run.record.trigger for run in client.runs()} == {Trigger.NOTEBOOK}
    hello = demo_server.home / "agents" / "first-steps" / "hello.py"
    assert "second" in hello.read_text()


def test_it_can_be_run_a_second_time(demo_server: Server, executed: Any) -> None:
    execute(notebook_of(SHIPPED.read_text()), demo_server)


def test_it_is_shipped_without_outputs() -> None:
    notebook = notebook_of(SHIPPED.read_text())
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook.cells)


def test_a_notebook_that_was_deleted_does_not_come_back(tmp_path: Path) -> None:
    path = place(tmp_path)
    assert path is not None
    path.unlink()
    assert place(tmp_path) is None
    assert not path.exists()


def test_a_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "Welcome.ipynb").write_text("mine")
    assert place(tmp_path) is None
    assert (tmp_path / "Welcome.ipynb").read_text() == "mine"


def test_a_link_of_that_name_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "Welcome.ipynb").symlink_to(tmp_path / "elsewhere")
    assert place(tmp_path) is None
    assert not (tmp_path / "elsewhere").exists()


def test_a_home_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("a file in its place")
    assert place(home) is None
