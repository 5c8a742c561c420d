"""What a new workspace opens on."""

from __future__ import annotations

from tests.workspace import Server


def test_a_new_workspace_opens_on_the_notebook_once_and_then_as_it_was_left(server: Server) -> None:
    first = server.get("agents-welcome", follow_redirects=False)
    assert (first.status_code, first.headers["location"]) == (302, "/user/ana/lab/tree/Welcome.ipynb")
    notebook = server.home / "Welcome.ipynb"
    notebook.unlink()
    assert server.get("agents-welcome").headers["location"] == "/user/ana/lab"
    assert not notebook.exists()
