"""Takes the pictures of the inbox in docs/panel.md: `python -m tests.browser.panel.inbox_pictures [FOLDER]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from jupyterhub_agents.testing import ScriptedModel
from jupyterhub_agents.testing.replies import say, use
from tests.browser.conftest import sign_in, start
from tests.browser.panel.conftest import CONFIG, make_agent, run_command, show_panel, start_run
from tests.hub.people import Person, RunningHub, eventually, running_hub

STATS = '''def mean(values):
    """The arithmetic mean; nan of nothing."""
    if not values:
        return float('nan')
    return sum(values) / len(values)
'''
QUESTION = {
    "question": "Which figures shall the report have?", "header": "Figures", "multiSelect": True,
    "options": [{"label": "Medians", "description": "One a month"}, {"label": "Spread", "description": "As boxes"}],
}  # fmt: skip
SCRIPT = {
    "mean of nothing": [use("Write", {"file_path": "/srv/data/stats.py", "content": STATS}), say("Mended.")],
    "tidy the data folder": [
        use("Bash", {"command": "find data -name '*.tmp' -mtime +30 -print0 \\\n  | xargs -0 rm --verbose"}),
        say("Tidied."),
    ],
    "choose the figures": [use("AskUserQuestion", {"questions": [QUESTION]}), say("Thanks.")],
    "hello there": say("Hello.").usage(output_tokens=14_000),
}
TASKS = {
    "Statistician": "mend the mean of nothing", "Tidier": "tidy the data folder", "Reporter": "choose the figures",
}  # fmt: skip


def waiting(person: Person) -> int:
    return len(person.workspace.get("api/approvals?waiting=true").json()["items"])


def fill(hub: RunningHub, ada: Person) -> None:
    admin = hub.person("admin")
    answer = admin.browser.put(
        "/services/agents/api/budgets/person/ada", headers={"Authorization": f"Bearer {admin.token}"},
        json={"day_usd": "5.00", "month_usd": "60.00"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    for number, (name, prompt) in enumerate(TASKS.items(), 1):
        agent = make_agent(ada, name)["id"]
        start_run(ada, agent, prompt)
        eventually(lambda n=number: waiting(ada) == n, within=60, what="a call waits")  # type: ignore[misc]  # of the loop
    run = start_run(ada, "tidier", "hello there")
    eventually(
        lambda: ada.workspace.get(f"api/runs/{run}").json()["status"] == "succeeded", within=60, what="it has ended"
    )


def open_page(browser: Browser, hub: RunningHub, ada: Person, theme: str, locale: str) -> Page:
    settings = "lab/api/settings/@jupyterlab/translation-extension:plugin"
    ada.workspace.put(settings, json={"raw": f'{{"locale": "{locale}"}}'})
    page = browser.new_context(base_url=hub.url, viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(60_000)
    page.goto("/hub/login?next=/user/ada/lab%3Freset")
    sign_in(page, hub, "ada")
    show_panel(page)
    run_command(page, "apputils:change-theme", theme=theme)
    expect(page.locator("#jp-agents-approvals [aria-expanded=true]")).to_be_visible()
    expect(page.locator("#jp-agents-budget button").first).to_be_visible()
    return page


def take(hub: RunningHub, ada: Person, folder: Path) -> None:
    with sync_playwright() as playwright, start(playwright) as browser:
        page = open_page(browser, hub, ada, "JupyterLab Light", "en")
        run_command(page, "agents:show-approvals")
        page.wait_for_timeout(1_000)  # what is drawn late
        page.screenshot(path=folder / "panel-inbox.png")
        run_command(page, "agents:show-panel")
        page.locator("#jp-agents-budget button").first.click()
        expect(page.locator("#jp-agents-budget").get_by_role("meter").first).to_be_visible()
        page.wait_for_timeout(1_000)
        page.screenshot(path=folder / "panel-budget.png")
        page.context.close()
        page = open_page(browser, hub, ada, "JupyterLab Dark", "ko_KR")
        run_command(page, "agents:open-inbox")
        page.wait_for_timeout(1_000)
        page.screenshot(path=folder / "panel-inbox-dark-ko.png")
        page.context.close()


def main() -> None:
    into = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    with tempfile.TemporaryDirectory() as name, ScriptedModel(SCRIPT) as model:
        folder = Path(name)
        config = folder / "jupyterhub_config.py"
        config.write_text(CONFIG)
        with running_hub(folder / "state", config=config, environment=model.env()) as hub:
            ada = hub.person("ada").spawn()
            news = "lab/api/settings/@jupyterlab/apputils-extension:notification"
            ada.workspace.put(news, json={"raw": '{"fetchNews": "false"}'})
            fill(hub, ada)
            take(hub, ada, into)


if __name__ == "__main__":
    main()
