"""Takes the pictures of agents in docs/panel.md: `python -m tests.browser.panel.pictures_agents [FOLDER]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from jupyterhub_agents.testing import ScriptedModel
from jupyterhub_agents.testing.replies import say, use
from tests.browser.conftest import sign_in, start
from tests.browser.panel.conftest import CONFIG, make_agent, run_command, show_panel
from tests.hub.people import Person, RunningHub, eventually, running_hub

WISH = "An agent that reviews my Python files and names each problem with its line"
REVIEWER = {
    "id": "reviewer", "name": "Reviewer", "description": "Reviews Python files and names each problem.",
    "instructions": "You review Python code.\n\nName each problem with its file and line. Say what to do about it.",
    "tools": ["Read", "Glob", "Grep", "Bash(git diff:*)"],
}  # fmt: skip
SCRIPT = {
    WISH: [
        use("mcp__agents__create_agent", REVIEWER),
        say(
            "**Reviewer** is ready. It reads files and the changes that are not committed yet, and changes nothing "
            "itself. Say what it should look at, or open it to change its instructions."
        ),
    ],
    "figures": say("The figures are in order."),
}
SETTINGS = "lab/api/settings/@jupyterlab"


def settings(ada: Person, plugin: str, raw: str) -> None:
    assert ada.workspace.put(f"{SETTINGS}/{plugin}", json={"raw": raw}).status_code == 204


def fill(ada: Person) -> None:
    make_agent(ada, "Data checker", description="Finds gaps and doubles in tables.", model="haiku")
    make_agent(ada, "Note taker", description="Writes down what a notebook does.")
    run = ada.workspace.post("api/agents/data-checker/runs", json={"prompt": "figures"}).json()["id"]
    ended = ("succeeded", "failed")
    eventually(lambda: ada.workspace.get(f"api/runs/{run}").json()["status"] in ended, within=60, what="it has ended")


def open_page(browser: Browser, hub: RunningHub) -> Page:
    size = {"width": 1280, "height": 820}
    page = browser.new_context(base_url=hub.url, viewport=size, locale="en-US").new_page()  # type: ignore[arg-type]  # Playwright's own dictionary
    page.set_default_timeout(60_000)
    page.goto("/hub/login?next=/user/ada/lab%3Freset")
    sign_in(page, hub, "ada")
    show_panel(page)
    return page


def take(hub: RunningHub, folder: Path) -> None:
    ada = hub.person("ada").spawn()
    settings(ada, "apputils-extension:notification", '{"fetchNews": "false"}')
    fill(ada)
    with sync_playwright() as playwright, start(playwright) as browser:
        page = open_page(browser, hub)
        run_command(page, "apputils:change-theme", theme="JupyterLab Dark")
        run_command(page, "agents:converse")
        page.get_by_role("textbox", name="What you want").fill(WISH)
        page.keyboard.press("Enter")
        expect(page.get_by_role("group", name="Agent Reviewer")).to_be_visible(timeout=60_000)
        expect(page.get_by_role("log").get_by_text("to change its instructions.")).to_be_visible(timeout=60_000)
        expect(page.get_by_role("button", name="Run Reviewer")).to_be_visible(timeout=60_000)
        page.screenshot(path=folder / "panel-conversation-dark.png")

        run_command(page, "apputils:change-theme", theme="JupyterLab Light")
        run_command(page, "agents:edit", agentId="reviewer")
        page.get_by_role("button", name="More about Reviewer").click()
        page.screenshot(path=folder / "panel-agents-light.png")
        page.context.close()

        settings(ada, "translation-extension:plugin", '{"locale": "ko_KR"}')
        page = open_page(browser, hub)
        changed = {
            "revision": 1,
            "instructions": REVIEWER["instructions"] + "\n\n한국어로 답하세요.",
            "model": "sonnet",
        }
        assert ada.workspace.patch("api/agents/reviewer", json=changed).status_code == 200
        run_command(page, "agents:revisions", agentId="reviewer")
        expect(page.locator(".jp-AgentsDiff")).to_be_visible(timeout=60_000)
        page.screenshot(path=folder / "panel-revisions-ko.png")


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    with tempfile.TemporaryDirectory() as name, ScriptedModel(SCRIPT) as model:
        config = Path(name) / "jupyterhub_config.py"
        config.write_text(CONFIG)
        with running_hub(Path(name) / "state", config=config, environment=model.env()) as hub:
            take(hub, folder)


if __name__ == "__main__":
    main()
