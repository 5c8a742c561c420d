"""The panel is there, shows what the workspace has, and a run as it goes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from jupyterhub_agents.server.openapi import document
from jupyterhub_agents.testing.replies import say
from tests.browser.panel.conftest import OpenLab, close_documents, make_agent, run_command, start_run
from tests.hub.people import ROOT, Person, eventually

WORDS = [f"word{number}" for number in range(60)]
SCRIPT = {
    "count slowly": say(" ".join(WORDS)).paced(0.4),
    "say hello": say("Hello from the model."),
}
PANEL = ROOT / "extensions" / "labextension"


@pytest.fixture(autouse=True)
def nothing_open(lab: Page) -> Iterator[None]:
    yield
    close_documents(lab)


def test_an_agent_that_was_made_elsewhere_appears_and_is_run_from_the_panel(ada: Person, lab: Page) -> None:
    make_agent(ada, "Greeter")
    lab.get_by_role("button", name="Run Greeter").click()
    lab.get_by_role("dialog").get_by_role("textbox").fill("say hello")
    lab.get_by_role("dialog").get_by_role("button", name="Run").click()
    expect(lab.get_by_role("log").get_by_text("Hello from the model.")).to_be_visible()
    expect(lab.locator(".jp-AgentsRun").get_by_role("status").get_by_text("succeeded")).to_be_visible()
    expect(lab.get_by_role("list", name="Runs").get_by_text("greeter: say hello")).to_be_visible()


def test_a_run_is_read_while_it_is_written_and_is_there_after_a_reload(ada: Person, open_lab: OpenLab) -> None:
    make_agent(ada, "Counter")
    page = open_lab()
    run = start_run(ada, "counter", "count slowly")
    run_command(page, "agents:open-run", runId=run)
    log = page.get_by_role("log")
    expect(log).to_contain_text("word3")
    assert WORDS[-1] not in log.inner_text(), "it came as a whole"
    eventually(lambda: "agents-run" in saved_layout(ada), within=60, what="JupyterLab keeps its layout")
    page.goto("/user/ada/lab")
    expect(page.get_by_role("log")).to_contain_text(" ".join(WORDS), timeout=60_000)
    expect(page.get_by_role("log").get_by_text("word7 ")).to_have_count(1)


def saved_layout(person: Person) -> str:
    """What JupyterLab keeps of its windows, as text."""
    return json.dumps(person.workspace.get("lab/api/workspaces").json())


def test_a_korean_reads_korean(ada: Person, open_lab: OpenLab) -> None:
    settings = "lab/api/settings/@jupyterlab/translation-extension:plugin"
    assert ada.workspace.put(settings, json={"raw": '{"locale": "ko_KR"}'}).status_code == 204
    try:
        page = open_lab()
        expect(page.locator("#jp-agents-sidebar").get_by_text("승인을 기다리는 항목이 없습니다.")).to_be_visible()
        expect(page.get_by_role("button", name=re.compile("^에이전트: [0-9]+개 실행 중"))).to_be_visible()
    finally:
        ada.workspace.put(settings, json={"raw": "{}"})


def test_the_panels_types_are_the_servers(tmp_path: Path) -> None:
    """When this fails: `python tools/install.py panel-types` makes them anew."""
    source = tmp_path / "openapi.json"
    source.write_text(json.dumps(document("/")))
    node = shutil.which("node")
    assert node is not None
    program = PANEL / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
    made = tmp_path / "openapi.ts"
    command = [node, str(program), str(source), "--output", str(made), "--default-non-nullable=false"]
    subprocess.run(command, check=True, capture_output=True, env={"PATH": os.environ["PATH"]}, timeout=60)
    assert made.read_text() == (PANEL / "src" / "openapi.ts").read_text()
