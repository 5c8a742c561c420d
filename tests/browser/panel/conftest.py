"""JupyterLab with the Agents panel, in a real browser, before a real hub, with a model that answers by script.

    SCRIPT = {"count": [say("one two three").paced(0.1)]}     # in the module; see ScriptedModel

    def test_something(ada, lab):
        agent = make_agent(ada, name="Counter")        # by the API
        lab.get_by_role("button", name="Run Counter").click()

The hub, the person and the page are the same for all modules here; `SCRIPT` of a module is what the model says to it.
Each test closes in `lab` what it opened (`close_documents`), or asks for a page of its own with `open_lab`. A module's
agents go with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from jupyterhub_agents.testing import ScriptedModel
from tests.browser.conftest import SHORT, new_context, start
from tests.hub.people import Person, RunningHub, running_hub

READY_MS = 60_000
"""A JupyterLab that starts on a busy machine."""

EFFECT_MS = 15_000
"""What a key does, on a busy machine."""

CONFIG = """
from hub_config import configure
configure(c)
apps = ("LabApp", "JupyterNotebookApp")
c.Spawner.args = [*c.Spawner.get("args", []), *(f"--{app}.expose_app_in_browser=True" for app in apps)]
"""
"""`window.jupyterapp` is there: the tests know by it when JupyterLab is ready, and run commands."""

OpenLab = Callable[..., Page]


@pytest.fixture(scope="package")
def model() -> Iterator[ScriptedModel]:
    """Says what SCRIPT has of the module that asks for `ada`."""
    with ScriptedModel() as running:
        yield running


@pytest.fixture(scope="package")
def hub(tmp_path_factory: pytest.TempPathFactory, model: ScriptedModel) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("panel")
    config = folder / "jupyterhub_config.py"
    config.write_text(CONFIG)
    with running_hub(folder / "state", config=config, environment=model.env()) as running:
        yield running


@pytest.fixture(scope="package")
def browser(hub: RunningHub) -> Iterator[Browser]:
    with sync_playwright() as playwright, start(playwright, SHORT) as running:
        yield running


@pytest.fixture(scope="package")
def workspace(hub: RunningHub) -> Person:
    """Ada, whose workspace runs."""
    person = hub.person("ada").spawn()
    # JupyterLab's question about news would cover what is to be clicked.
    news = "lab/api/settings/@jupyterlab/apputils-extension:notification"
    assert person.workspace.put(news, json={"raw": '{"fetchNews": "false"}'}).status_code == 204
    return person


@pytest.fixture(scope="module")
def ada(request: pytest.FixtureRequest, workspace: Person, model: ScriptedModel) -> Iterator[Person]:
    """Whose workspace runs, where the model says what the module's SCRIPT has."""
    model.script = getattr(request.module, "SCRIPT", ())
    yield workspace
    for run in workspace.workspace.get("api/runs?limit=100").json()["items"]:
        if run["status"] in ("queued", "running", "waiting"):
            workspace.workspace.post(f"api/runs/{run['id']}/cancel")
    delete_agents(workspace)


@pytest.fixture(scope="package")
def open_lab(hub: RunningHub, browser: Browser, workspace: Person) -> Iterator[OpenLab]:
    """Opens JupyterLab as Ada, in a browser of its own, with the panel shown: `open_lab(locale=..., color_scheme=...)`.
    `path` is the page below her workspace."""
    contexts = []

    def open_(path: str = "lab?reset", **wishes: Any) -> Page:
        context = new_context(browser, hub, "ada", **{"viewport": {"width": 1280, "height": 860}, **wishes})
        contexts.append(context)
        page = context.new_page()
        page.goto(f"/user/ada/{path}")
        show_panel(page)
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="package")
def first_lab(open_lab: OpenLab) -> Page:
    return open_lab()


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest, first_lab: Page) -> Iterator[Page]:
    """The same page for all modules, loaded anew after one in which a test failed."""
    failed = request.session.testsfailed
    yield first_lab
    if request.session.testsfailed > failed:
        first_lab.goto("/user/ada/lab?reset")
        show_panel(first_lab)
    run_command(first_lab, "apputils:dismiss-notification")


def show_panel(page: Page) -> None:
    """Wait for JupyterLab, and open the panel."""
    ready = "() => window.jupyterapp?.commands.hasCommand('agents:show-panel')"
    page.wait_for_function(ready, timeout=READY_MS)
    page.evaluate("() => window.jupyterapp.restored.then(() => null)")
    run_command(page, "agents:show-panel")
    expect(page.locator("#jp-agents-sidebar")).to_be_visible()


def run_command(page: Page, command: str, **arguments: Any) -> None:
    """Run a command of JupyterLab's by its id, and wait for its end. Keys and clicks are better where there are any."""
    page.evaluate(
        "([command, args]) => window.jupyterapp.commands.execute(command, args).then(() => null)",
        [command, arguments],
    )


def press_both(page: Page, first: str, second: str, effect: Callable[[float], None]) -> None:
    """Press two keys that are one shortcut, until `effect`, which waits so many milliseconds at most, raises no more.
    JupyterLab forgets the first key after a second, and a busy machine may press the other later than that."""
    for attempt in range(3):
        page.keyboard.press(first)
        page.keyboard.press(second)
        try:
            effect(EFFECT_MS)
        except AssertionError:
            if attempt == 2:
                raise
        else:
            return


def close_documents(page: Page) -> None:
    """Close all that is open in the main area, and the notifications that lie over it."""
    run_command(page, "application:close-all")
    run_command(page, "apputils:dismiss-notification")


def make_agent(person: Person, name: str, **fields: Any) -> dict[str, Any]:
    """An agent, made by the API."""
    answer = person.workspace.post("api/agents", json={"name": name, **fields})
    assert answer.status_code == 201, answer.text
    agent: dict[str, Any] = answer.json()
    return agent


def delete_agents(person: Person) -> None:
    """All of them, by the API."""
    for agent in person.workspace.get("api/agents").json()["items"]:
        person.workspace.delete(f"api/agents/{agent['id']}?revision={agent['revision']}")


def start_run(person: Person, agent_id: str, prompt: str) -> str:
    """The id of a run, started by the API."""
    answer = person.workspace.post(f"api/agents/{agent_id}/runs", json={"prompt": prompt})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])
