"""The example notebooks work from top to bottom, in a real workspace with the real CLI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from jupyterhub_agents.testing.scripted_model import Request, ScriptedModel, fail, say, use
from tests.client.conftest import Server

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
FINDINGS = """\
Two things break:

- prices.py, line 2: `discounts` is shared by all calls that give none, so it grows.
- prices.py, line 7: `average([])` divides by zero.
"""
KINDS = {"hours": "praise", "crashes": "fault", "invite": "question", "update": "fault", "Lovely": "praise"}


def sort(request: Request) -> Any:
    said = request.prompt.partition("A customer says: ")[2]
    return next(
        (say(kind) for word, kind in KINDS.items() if word in said), fail(400, message="Not this one.").always()
    )


def script(home: Path) -> dict[str, Any]:
    shop = home / "examples" / "shop"
    return {
        "Review all Python": [
            use("Glob", {"pattern": "*.py"}),
            use("Read", {"file_path": str(shop / "prices.py")}) + use("Read", {"file_path": str(shop / "report.py")}),
            say(FINDINGS),
        ],
        "mend first": [say("The default of `discounts`: it makes every later total wrong.")],
        "A customer says": sort,
        "brought in most": [
            use(
                "mcp__notebook__query",
                {"sql": "select product, sum(pieces * price) as sum from orders group by product order by sum desc"},
            ),
            use("mcp__notebook__chart", {"title": "Takings", "values": {"cup": 43, "tea": 42.5, "pot": 30}}),
            say("**Cups**, with 43.0, just before tea with 42.5."),
        ],
        "Delete the orders": [
            use("mcp__notebook__query", {"sql": "delete from orders where product = 'tea'"}),
            say("I cannot: only SELECT is possible here."),
        ],
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("examples")
    with ScriptedModel(script(folder / "home")) as model:
        server = Server(folder, model)
        server.start()
        yield server
        server.stop()


def executed(server: Server, name: str) -> dict[str, str]:
    """What the cells of an example show, by their ids."""
    notebook = nbformat.reads((EXAMPLES / f"{name}.ipynb").read_text(), as_version=4)  # type: ignore[no-untyped-call]  # nbformat's
    folder = {"metadata": {"path": str(server.home)}}
    NotebookClient(notebook, timeout=120, resources=folder).execute(env=server.env)
    return {cell["id"]: shown(cell) for cell in notebook.cells}


def shown(cell: Any) -> str:
    text = ""
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        text += output.get("text", "") + (data.get("text/html") or data.get("text/plain", ""))
    return text


def test_the_reviewer_reads_the_folder_and_goes_on_talking(server: Server) -> None:
    said = executed(server, "code-review")
    assert "<b>Glob</b>" in said["run"]
    assert "return total(prices) / len(prices)" in said["run"]
    assert "<li>prices.py, line 7" in said["run"]
    assert said["result"].startswith("2 findings, for $")
    assert "every later total" in said["reply"]
    assert said["runs"].count("succeeded") == 2


def test_the_batch_fills_the_table_and_keeps_what_failed(server: Server) -> None:
    said = executed(server, "batch")
    assert "6/6" in said["run"]
    assert "1 failed" in said["run"]
    assert said["frame"].count("<td>praise</td>") == 2
    assert "1 failed" in said["count"]
    assert "Not this one." in said["again"]


def test_the_analyst_calls_the_notebooks_functions(server: Server) -> None:
    said = executed(server, "functions")
    assert "asked: select product" in said["run"]
    assert "<strong>Cups</strong>" in said["run"]
    assert "cup   █████" in said["chart"]
    assert said["python"].splitlines() == ["I cannot: only SELECT is possible here.", "6 orders are still there"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_examples_are_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.reads(path.read_text(), as_version=4)  # type: ignore[no-untyped-call]  # nbformat's
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook.cells)
