"""The inbox of approvals, the history of runs and the budget, as a person uses them in JupyterLab."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from jupyterhub_agents.testing import ScriptedModel
from jupyterhub_agents.testing.replies import say, use
from tests.browser.panel.conftest import OpenLab, close_documents, make_agent, press_both, run_command, start_run
from tests.hub.people import Person, RunningHub, eventually

COMMAND = "mkdir first \\\n  second"
STAY = "python3 -c 'import time; time.sleep(600)'"
DISKS = {
    "question": "Which disk?", "header": "Disk", "multiSelect": False,
    "options": [{"label": "The fast one", "description": "Small"}, {"label": "The large one", "description": "Slow"}],
}  # fmt: skip
SCRIPT = {
    "make folders": [use("Bash", {"command": COMMAND, "description": "Two folders"}), say("They are made.")],
    "remove it all": [use("Bash", {"command": "rm -r first"}), say("I leave it.")],
    "make one always": [use("Bash", {"command": "mkdir third"}), say("Made.")],
    "make another": [use("Bash", {"command": "mkdir third fourth"}), say("Made without asking.")],
    "replace the notes": [use("Read", {"file_path": "notes.txt"}),
                          use("Write", {"file_path": "notes.txt", "content": "one\ntwo, mended\n"}), say("Mended.")],
    "ask me": [use("AskUserQuestion", {"questions": [DISKS]}), say("Thanks.")],
    "be brief": say("Brief."),
    "spend it all": say("Spent.").usage(output_tokens=400_000),
    "touch and stay": [use("Bash", {"command": "touch by-keys"}), use("Bash", {"command": STAY}), say("Never said.")],
}  # fmt: skip
SERIOUS = ("serious", "critical")
WAIT_MS = 60_000


@pytest.fixture(autouse=True)
def nothing_open(lab: Page, ada: Person) -> Iterator[None]:
    """Afterwards: neither a document, nor a call that waits."""
    yield
    close_documents(lab)
    for approval in ada.workspace.get("api/approvals?waiting=true").json()["items"]:
        ada.workspace.post(f"api/runs/{approval['run_id']}/cancel")


@pytest.fixture(scope="module")
def maker(ada: Person) -> str:
    return str(make_agent(ada, "Maker")["id"])


@pytest.fixture
def inbox(lab: Page) -> Locator:
    return lab.locator("#jp-agents-approvals")


def ended(person: Person, run_id: str) -> dict[str, Any]:
    """The run, when it has ended."""
    final = ("succeeded", "failed", "cancelled", "interrupted")
    path = f"api/runs/{run_id}"
    eventually(lambda: person.workspace.get(path).json()["status"] in final, within=60, what="the run ended")
    run: dict[str, Any] = person.workspace.get(path).json()
    return run


def waiting(person: Person, run_id: str) -> dict[str, Any]:
    """What the run waits for."""
    path = f"api/approvals?waiting=true&run={run_id}"
    eventually(lambda: person.workspace.get(path).json()["items"], within=60, what="a call waits")
    approval: dict[str, Any] = person.workspace.get(path).json()["items"][0]
    return approval


def begun(person: Person, run_id: str) -> int:
    """How often the run began to work."""
    events = person.workspace.get(f"api/runs/{run_id}/events?limit=1000").json()["items"]
    return sum(event["type"] == "status" and event["payload"]["status"] == "running" for event in events)


def focus(page: Page, inbox: Locator) -> Locator:
    """Bring the person's keys to the inbox as its command does; gives the head of the call that is shown."""
    expect(inbox.locator("[aria-expanded=true]")).to_be_visible(timeout=WAIT_MS)
    run_command(page, "agents:show-approvals")
    head = inbox.locator("[aria-expanded=true]")
    expect(head).to_be_focused()
    return head


def test_a_command_is_read_in_full_and_approved_by_a_key(ada: Person, maker: str, lab: Page, inbox: Locator) -> None:
    run = start_run(ada, maker, "make folders")
    head = focus(lab, inbox)
    expect(head).to_contain_text("Maker wants to use Bash")
    expect(inbox.get_by_role("region", name="The command")).to_have_text(COMMAND)
    expect(inbox.get_by_text("It was asked: “make folders”")).to_be_visible()
    tab = lab.get_by_role("tab", name=re.compile("^Agents"))
    expect(tab).to_have_accessible_name("Agents: 1 call waits for you")
    expect(tab).to_have_attribute("data-agents-badge", "1")
    expect(lab.get_by_role("button", name=re.compile("^Agents: 1 waits for you"))).to_be_visible()
    lab.keyboard.press("a")
    expect(inbox.get_by_text("Nothing waits for you.")).to_be_focused(timeout=WAIT_MS)
    expect(tab).not_to_have_attribute("data-agents-badge", re.compile("."))
    assert ended(ada, run)["result"] == "They are made."
    assert (ada.home / "agents" / maker / "second").is_dir()


def test_a_denial_reaches_the_model_in_the_persons_words(
    ada: Person, maker: str, lab: Page, inbox: Locator, model: ScriptedModel
) -> None:
    run = start_run(ada, maker, "remove it all")
    focus(lab, inbox)
    lab.keyboard.press("d")
    words = inbox.get_by_label("What shall the agent know?")
    expect(words).to_be_focused()
    lab.keyboard.type("a real jarl keeps his folders")  # letters that are keys of the inbox elsewhere
    lab.keyboard.press("Enter")
    assert ended(ada, run)["result"] == "I leave it."
    assert (ada.home / "agents" / maker / "first").is_dir()
    assert any("a real jarl keeps his folders" in str(request.body) for request in model.messages)


def test_always_is_for_the_agent_and_says_before_what_it_allows(
    ada: Person, maker: str, lab: Page, inbox: Locator
) -> None:
    run = start_run(ada, maker, "make one always")
    focus(lab, inbox)
    expect(inbox.get_by_text("commands that begin with “mkdir third”")).to_be_visible()
    rules = waiting(ada, run)["rules"]
    lab.keyboard.press("l")
    assert ended(ada, run)["status"] == "succeeded"
    assert ada.workspace.get(f"api/agents/{maker}").json()["allowed_tools"] == rules
    assert ended(ada, start_run(ada, maker, "make another"))["result"] == "Made without asking."


def test_what_another_tab_decides_leaves_the_inbox_and_is_said(
    ada: Person, maker: str, lab: Page, inbox: Locator
) -> None:
    run = start_run(ada, maker, "remove it all")
    focus(lab, inbox)
    decide = f"api/approvals/{waiting(ada, run)['id']}/decide"
    assert ada.workspace.post(decide, json={"decision": "deny"}).status_code == 200
    lab.keyboard.press("a")  # before the panel has asked again, as a rule: the server then says 409
    expect(inbox.get_by_role("status").get_by_text("settled elsewhere")).to_be_visible()
    expect(inbox.get_by_text("Nothing waits for you.")).to_be_visible()
    assert ended(ada, run)["result"] == "I leave it."


def test_a_change_is_shown_against_the_file_and_a_question_is_answered_in_the_large_inbox(
    ada: Person, maker: str, lab: Page, model: ScriptedModel
) -> None:
    (ada.home / "agents" / maker / "notes.txt").write_text("one\ntwo\n")
    change = start_run(ada, maker, "replace the notes")
    question = start_run(ada, maker, "ask me")
    first, second = sorted((waiting(ada, one) for one in (change, question)), key=lambda one: str(one["id"]))
    run_command(lab, "agents:open-inbox")
    large = lab.locator("#jp-agents-inbox")
    for approval in (first, second):
        if approval["tool"] == "Write":
            large.get_by_role("button", name=re.compile("Maker wants to use Write")).click()
            shown = large.get_by_role("region", name="The change")
            expect(shown.get_by_role("deletion")).to_have_text(re.compile("- two\n"))
            expect(shown.get_by_role("insertion")).to_have_text(re.compile("two, mended"))
            expect(large.get_by_text("It replaces the file that is there.")).to_be_visible()
            large.get_by_role("button", name="Approve once").click()
        else:
            large.get_by_role("button", name=re.compile("Maker asks you")).click()
            expect(large.get_by_role("button", name="Answer", exact=True)).to_be_disabled()
            large.get_by_role("radio", name=re.compile("The large one")).check()
            large.get_by_role("button", name="Answer", exact=True).click()
    assert ended(ada, change)["status"] == ended(ada, question)["status"] == "succeeded"
    assert (ada.home / "agents" / maker / "notes.txt").read_text() == "one\ntwo, mended\n"
    assert any("The large one" in str(request.body["messages"][-1]) for request in model.messages)


def test_who_does_not_see_the_inbox_is_told_by_a_toast_that_leads_there(ada: Person, maker: str, lab: Page) -> None:
    run_command(lab, "filebrowser:activate")
    run = start_run(ada, maker, "remove it all")
    toast = lab.get_by_role("alert").filter(has_text="Maker is waiting for you: rm -r first")
    toast.get_by_role("button", name="Show", exact=True).click()
    inbox = lab.locator("#jp-agents-approvals")
    expect(inbox.locator("[aria-expanded=true]")).to_be_focused()
    inbox.get_by_role("button", name=re.compile("^Deny")).click()
    inbox.get_by_role("button", name="Deny", exact=True).click()
    assert ended(ada, run)["result"] == "I leave it."
    expect(toast).to_have_count(0)


def test_a_spent_budget_says_so_and_whom_to_ask(ada: Person, hub: RunningHub, lab: Page) -> None:
    spender = str(make_agent(ada, "Spender")["id"])
    admin = hub.person("admin")
    budget, token = "/services/agents/api/budgets/person/ada", {"Authorization": f"Bearer {admin.token}"}
    footer = lab.locator("#jp-agents-budget")
    expect(footer.get_by_role("button", name=re.compile("spent today, no limit"))).to_be_visible()
    answer = admin.browser.put(budget, headers=token, json={"day_usd": "5.00", "month_usd": "20.00"})
    assert answer.status_code == 200, answer.text
    try:
        assert ended(ada, start_run(ada, spender, "spend it all"))["status"] == "succeeded"
        run = start_run(ada, spender, "be brief")
        assert ended(ada, run)["status"] == "failed"
        contact = ada.workspace.get("api/budget").json()["contact"]
        told = re.compile(
            rf"The budget of ada for today is used up: .* of \$5\.00 is spent\..*Ask {re.escape(contact)}"
        )
        toast = f"The budget of ada for today is used up. Ask {contact}."
        expect(lab.get_by_role("alert").filter(has_text=toast)).to_be_visible()
        row = lab.get_by_role("list", name="Runs").get_by_role("listitem").filter(has_text="Spender: be brief").first
        expect(row.get_by_text(told)).to_be_visible()
        run_command(lab, "agents:open-run", runId=run)
        expect(lab.get_by_role("log").locator(".jp-AgentsRun-error").get_by_text(told)).to_be_visible()
        run_command(lab, "agents:refresh")
        footer.get_by_role("button", name="$0.00 left today").click()
        expect(footer.get_by_role("meter", name="You, today").first).to_have_attribute("aria-valuenow", "0")
        expect(footer.get_by_text("An administrator has set it.").first).to_be_visible()
        expect(footer.get_by_text(f"Whom to ask: {contact}")).to_be_visible()
    finally:
        admin.browser.delete(budget, headers=token)
    row.get_by_role("button", name="More for this run of Spender").click()
    lab.get_by_role("menuitem", name="Resume").click()
    eventually(lambda: begun(ada, run) == 2, within=60, what="the run goes on")


def test_an_agent_is_found_run_read_allowed_and_stopped_by_keyboard_alone(
    ada: Person, lab: Page, inbox: Locator
) -> None:
    keys = lab.keyboard
    run_command(lab, "filebrowser:activate")
    make_agent(ada, "Stenographer", allowed_tools=["Bash(python3:*)"])  # elsewhere: the panel finds it by itself
    keys.press("Control+Shift+y")
    expect(lab.get_by_role("searchbox", name="Search agents")).to_be_focused()
    keys.type("sten")
    found = lab.get_by_role("list", name="Agents", exact=True).get_by_role("listitem")
    expect(found).to_have_count(1)
    tab_to(lab, found.get_by_role("button", name="Run Stenographer"))
    keys.press("Enter")
    expect(lab.get_by_role("dialog").get_by_role("textbox")).to_be_focused()
    keys.type("touch and stay")
    keys.press("Control+Enter")
    log = lab.get_by_role("log")
    expect(log.locator("[data-tool=Bash]")).to_contain_text("touch by-keys")
    expect(log).to_be_focused()  # arrows and PageUp scroll it
    opened = inbox.locator("[aria-expanded=true]")
    press_both(lab, "Alt+y", "a", lambda most: expect(opened).to_be_focused(timeout=most))
    keys.press("a")
    expect(inbox.get_by_text("Nothing waits for you.")).to_be_focused()
    expect(log.locator("[data-tool=Bash]").last).to_contain_text("time.sleep")
    assert (ada.home / "agents" / "stenographer" / "by-keys").is_file()
    status = lab.locator(".jp-AgentsRun-facts").get_by_role("status")
    press_both(lab, "Alt+y", "s", lambda most: expect(status).to_have_text("stopped", timeout=most))
    keys.press("Control+Shift+y")
    expect(lab.get_by_role("searchbox", name="Search agents")).to_be_focused()
    keys.press("Control+a")
    keys.press("Delete")


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until it has the focus."""
    for _ in range(8):
        if target.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Tab")
    expect(target).to_be_focused()


def test_runs_are_found_by_agent_status_and_words(ada: Person, maker: str, lab: Page) -> None:
    make_agent(ada, "Finder")
    ended(ada, start_run(ada, "finder", "be brief about needles"))
    ended(ada, start_run(ada, "finder", "be brief about hay"))
    search = lab.get_by_role("search", name="Find runs")
    runs = lab.get_by_role("list", name="Runs").get_by_role("listitem")
    search.get_by_role("combobox", name="Agent").select_option(label="Finder")
    expect(runs).to_have_count(2)
    search.get_by_role("searchbox").fill("NEEDLES")
    expect(runs).to_have_count(1)
    expect(runs).to_contain_text("Finder: be brief about needles")
    search.get_by_role("combobox", name="Status").select_option(label="failed")
    expect(lab.get_by_text("0 found.")).to_be_visible()
    search.get_by_role("button", name="Show all").click()
    expect(runs.nth(2)).to_be_visible()


def test_nothing_serious_is_in_the_way_of_people_with_disabilities(
    ada: Person, maker: str, lab: Page, inbox: Locator
) -> None:
    run = start_run(ada, maker, "remove it all")
    focus(lab, inbox)
    lab.locator("#jp-agents-budget").get_by_role("button").first.focus()
    try:
        for theme in ("JupyterLab Light", "JupyterLab Dark"):
            run_command(lab, "apputils:change-theme", theme=theme)
            body = lab.locator(f"body[data-jp-theme-name='{theme}']")
            expect(body).to_be_attached()
            # The panel's toolbar button is JupyterLab's own, and its own fault: aria-pressed on a button that is none.
            within = {"include": ["#jp-agents-sidebar"], "exclude": ["jp-button"]}
            answer = Axe().run(lab, context=within).response
            assert {"color-contrast", "button-name"} <= {one["id"] for one in answer["passes"]}
            found = [one for one in answer["violations"] if one["impact"] in SERIOUS]
            assert not found, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found]
    finally:
        run_command(lab, "apputils:change-theme", theme="JupyterLab Light")
    decide = f"api/approvals/{waiting(ada, run)['id']}/decide"
    assert ada.workspace.post(decide, json={"decision": "deny"}).status_code == 200
    ended(ada, run)


def test_a_korean_reads_korean(ada: Person, open_lab: OpenLab) -> None:
    settings = "lab/api/settings/@jupyterlab/translation-extension:plugin"
    assert ada.workspace.put(settings, json={"raw": '{"locale": "ko_KR"}'}).status_code == 204
    try:
        page = open_lab()
        expect(page.locator("#jp-agents-sidebar").get_by_text("승인을 기다리는 항목이 없습니다.")).to_be_visible()
        expect(page.get_by_role("button", name=re.compile("^에이전트: [0-9]+개 실행 중"))).to_be_visible()
        page.context.close()
    finally:
        ada.workspace.put(settings, json={"raw": "{}"})
