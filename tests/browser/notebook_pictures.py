"""Takes the pictures of docs/notebooks.md: `python -m tests.browser.notebook_pictures [FOLDER]`.

JupyterLab in a browser, on a real workspace with the real CLI, with the example that calls functions and one cell more,
whose tool call waits for the person.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Page, sync_playwright

from jupyterhub_agents.testing.scripted_model import ScriptedModel, say, think, use
from tests.browser.conftest import start
from tests.client.conftest import Server
from tests.docs.test_examples import EXAMPLES, script

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
ASKS = """\
%%agent clerk
Put the months into a file."""


def notebook(home: Path) -> None:
    found = nbformat.reads((EXAMPLES / "functions.ipynb").read_text(), as_version=4)  # type: ignore[no-untyped-call]  # nbformat's
    kept = [cell for cell in found.cells if cell["id"] in ("data", "functions", "agent", "load", "run")]
    kept[3].source += "\n_ = client.save_agent('clerk', name='Clerk', tools=['Bash'])"
    for cell in kept[:-1]:
        cell.metadata["jupyter"] = {"source_hidden": True}
    found.cells = [*kept, nbformat.v4.new_code_cell(ASKS, id="asks")]  # type: ignore[no-untyped-call]  # nbformat's
    (home / "orders.ipynb").write_text(nbformat.writes(found))  # type: ignore[no-untyped-call]  # nbformat's


def picture(page: Page, server: Server, path: Path) -> None:
    page.goto(f"{server.url}doc/tree/orders.ipynb?reset&token={server.token}")
    page.locator(".jp-Notebook").wait_for(timeout=60_000)
    page.locator(".jp-Notebook .jp-CodeCell").first.click()
    page.get_by_text("| Idle").first.wait_for(timeout=60_000)
    page.keyboard.press("Escape")
    for _ in range(6):
        page.keyboard.press("Shift+Enter")
    page.locator(".jp-Stdin-input").wait_for(timeout=120_000)
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    cells.nth(4).locator("summary", has_text="query").first.click()
    cells.nth(4).scroll_into_view_if_needed()
    page.locator(".jp-Stdin-input").scroll_into_view_if_needed()
    page.wait_for_timeout(800)
    page.screenshot(path=path)
    page.locator(".jp-Stdin-input").fill("n use the notebook instead")
    page.keyboard.press("Enter")
    page.get_by_text("denied by").wait_for(timeout=60_000)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        replies: dict[str, Any] = {
            "brought in most": [
                think("The takings are pieces times price, by product.") + say("I ask the database."),
                *script(place)["brought in most"],
            ],
            "Put the months": [
                say("I write them with a command.")
                + use("Bash", {"command": "cut -c 1-7 days.txt | sort -u > months.txt"}),
                say("Then not."),
            ],
        }
        replies["brought in most"][0] = replies["brought in most"][0] + replies["brought in most"].pop(1)
        with ScriptedModel(replies) as model:
            server = Server(place, model, whole=True)
            server.start()
            try:
                with sync_playwright() as playwright, start(playwright) as browser:
                    for theme, named in THEMES.items():
                        settings = server.home / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension"
                        settings.mkdir(parents=True, exist_ok=True)
                        (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": named}))
                        (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
                        notebook(server.home)
                        context = browser.new_context(viewport={"width": 1000, "height": 940})
                        picture(context.new_page(), server, folder / f"notebook-{theme}.png")
                        context.close()
            finally:
                server.stop()


if __name__ == "__main__":
    main()
