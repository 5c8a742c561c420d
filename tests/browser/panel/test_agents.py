"""A person makes, changes, shares out and runs agents in the panel, by pointer and by keyboard alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from jupyterhub_agents.testing.replies import say, use
from tests.browser.panel.conftest import OpenLab, delete_agents, make_agent, press_both, run_command, show_panel
from tests.hub.people import Person, RunningHub, eventually

POET = {"id": "poet", "name": "Poet", "instructions": "Write short poems.", "tools": []}
SCRIPT = {
    "I want a poet": [
        say("I make **it** at once, as you wish.").paced(0.6) + use("mcp__agents__create_agent", POET),
        say("Your *poet* is ready."),
    ],
    "say hello": say("Hello from the model."),
    "what is in it": say("I have looked at it."),
}
NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "execution_count": 1,
            "id": "a1",
            "metadata": {},
            "outputs": [
                {
                    "output_type": "error",
                    "ename": "ZeroDivisionError",
                    "evalue": "division by zero",
                    "traceback": ["\u001b[31mZeroDivisionError\u001b[0m: division by zero"],
                }
            ],
            "source": "1 / 0",
        }
    ],
    "metadata": {"language_info": {"name": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}
SERIOUS = {"serious", "critical"}
REMEMBER = """() => {
    const drawn = window.drawn = new Set();
    const look = () => document.querySelectorAll(".jp-AgentsChat-live").forEach(one => drawn.add(one.textContent));
    window.look = new MutationObserver(look);
    window.look.observe(document.body, { childList: true, characterData: true, subtree: true });
}"""
"""Keeps every text that an answer had while it came."""


@pytest.fixture(autouse=True)
def nothing_is_left(lab: Page, ada: Person) -> Iterator[None]:
    yield
    lab.evaluate("() => [...window.jupyterapp.shell.widgets('main')].forEach(one => one.dispose())")
    delete_agents(ada)
    run_command(lab, "agents:refresh")


def agents(page: Page) -> Locator:
    return page.get_by_role("list", name="Agents", exact=True)


def menu(page: Page, agent: str, item: str) -> None:
    """Choose from what there is to do with an agent."""
    page.get_by_role("button", name=f"More about {agent}", exact=True).click()
    page.get_by_role("menuitem", name=item, exact=True).click()


def stored(person: Person, agent_id: str) -> dict[str, Any]:
    answer = person.workspace.get(f"api/agents/{agent_id}")
    assert answer.status_code == 200, answer.text
    agent: dict[str, Any] = answer.json()
    return agent


def test_an_agent_is_made_by_a_form_that_says_what_is_wrong_beside_the_fields(ada: Person, lab: Page) -> None:
    lab.locator("#jp-agents-sidebar").get_by_role("button", name="New agent").click()
    lab.get_by_role("menuitem", name="By a form…").click()
    form = lab.get_by_role("form", name="New agent")
    form.get_by_label("Turns").fill("0")
    form.get_by_label("Folder").fill("../elsewhere")
    form.get_by_label("Model").fill("not a model!")
    form.get_by_role("button", name="Make agent").click()
    name = form.get_by_role("textbox", name="Name", exact=True)
    expect(name).to_be_focused()
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(name).to_have_accessible_description(re.compile("This cannot be empty."))
    expect(form.get_by_text("Give a number of at least 1.")).to_be_visible()
    expect(form.get_by_text("This form is not taken.")).to_be_visible()

    name.fill("Code reviewer")
    form.get_by_label("Turns").fill("12")
    form.get_by_label("Minutes").fill("1.5")
    form.get_by_label("Model").fill("haiku")
    form.get_by_label("Instructions").fill("Be kind.")
    form.get_by_label("Only these").check()
    form.get_by_label("Read", exact=True).check()
    form.get_by_label("As rules, one a line").fill("Read\nBash(git diff:*)")
    form.get_by_role("button", name="Add a server").click()
    form.get_by_label("Server name").fill("clock")
    form.get_by_label("Command", exact=True).fill("python3")
    form.get_by_label("Arguments, one a line").fill("-m\nclock")
    form.get_by_label("Environment, one a line").fill("ZONE=${TZ}")
    form.get_by_role("button", name="Make agent").click()
    # The server's own objection, which no limit in its document tells, stands beside its field too.
    expect(form.get_by_label("Folder")).to_have_accessible_description(re.compile("is not a folder under the home"))
    form.get_by_label("Folder").fill("reviews")
    form.get_by_role("button", name="Make agent").click()
    expect(lab.get_by_text("Saved as revision 1.")).to_be_visible()
    expect(agents(lab).get_by_text("Code reviewer")).to_be_visible()
    made = stored(ada, "code-reviewer")
    assert (made["max_turns"], made["timeout_s"], made["directory"]) == (12, 90, "reviews")
    assert (made["model"], made["tools"]) == ("haiku", ["Read", "Bash(git diff:*)"])
    server = {"command": "python3", "args": ["-m", "clock"], "env": {"ZONE": "${TZ}"}}
    assert made["mcp_servers"] == {"clock": server}


def test_an_agent_is_made_by_saying_what_is_wanted(ada: Person, lab: Page) -> None:
    run_command(lab, "agents:converse")
    wanted = lab.get_by_role("textbox", name="What you want")
    expect(wanted).to_be_focused()
    wanted.fill("I want a poet")
    lab.evaluate(REMEMBER)
    lab.get_by_role("button", name="Send").click()
    made = lab.get_by_role("group", name="Agent Poet")
    expect(made).to_be_visible()
    drawn: list[str] = lab.evaluate("() => (window.look.disconnect(), [...window.drawn])")
    assert any("I make" in text and "wish" not in text for text in drawn), f"it came as a whole: {drawn}"
    expect(lab.get_by_role("log").locator("em", has_text="poet")).to_be_visible()
    expect(agents(lab).get_by_text("Poet")).to_be_visible()
    made.get_by_role("button", name="Open the agent").click()
    expect(lab.get_by_role("form", name="Agent Poet").get_by_label("Instructions")).to_have_value("Write short poems.")


def test_a_conversation_is_there_again_after_a_reload(ada: Person, lab: Page) -> None:
    run_command(lab, "agents:converse")
    lab.get_by_role("textbox", name="What you want").fill("please say hello")
    lab.keyboard.press("Enter")
    expect(lab.get_by_role("log").get_by_text("Hello from the model.")).to_be_visible()
    (run,) = ada.workspace.get("api/runs?agent=assistant&limit=1").json()["items"]
    assert run["prompt"] == "please say hello"
    conversation = run["conversation_id"]
    eventually(lambda: conversation in saved_layout(ada), within=30, what="JupyterLab keeps which conversation is open")
    lab.goto("/user/ada/lab")
    expect(lab.get_by_role("log").get_by_text("Hello from the model.")).to_be_visible(timeout=60_000)
    expect(lab.get_by_role("log").get_by_text("please say hello")).to_be_visible()
    show_panel(lab)


def saved_layout(person: Person) -> str:
    """What JupyterLab keeps of its windows, as text."""
    return json.dumps(person.workspace.get("lab/api/workspaces").json())


def test_what_somebody_else_saved_meanwhile_is_shown_before_it_is_overwritten(ada: Person, lab: Page) -> None:
    make_agent(ada, "Novelist", instructions="Write.", description="first")
    run_command(lab, "agents:edit", agentId="novelist")
    form = lab.get_by_role("form", name="Agent Novelist")
    form.get_by_label("Instructions").fill("Write well.")
    theirs = {"revision": 1, "instructions": "Write fast.", "description": "theirs"}
    assert ada.workspace.patch("api/agents/novelist", json=theirs).status_code == 200
    form.get_by_role("button", name="Save").click()
    conflict = form.get_by_role("alert").filter(has_text="at revision 2 now")
    expect(conflict).to_contain_text("Write fast.")
    conflict.get_by_role("button", name="Save mine over it").click()
    expect(lab.get_by_text("Saved as revision 3.")).to_be_visible()
    now = stored(ada, "novelist")
    assert (now["instructions"], now["description"]) == ("Write well.", "theirs")

    form.get_by_label("Instructions").fill("Write slowly.")
    assert ada.workspace.patch("api/agents/novelist", json={"revision": 3, "instructions": "Stop."}).status_code == 200
    lab.keyboard.press("Control+s")
    form.get_by_role("button", name="Drop mine, load theirs").click()
    expect(form.get_by_label("Instructions")).to_have_value("Stop.")
    assert stored(ada, "novelist")["revision"] == 4


def test_a_form_is_not_closed_over_what_was_not_saved(ada: Person, lab: Page) -> None:
    make_agent(ada, "Diarist")
    run_command(lab, "agents:edit", agentId="diarist")
    form = lab.get_by_role("form", name="Agent Diarist")
    form.get_by_label("Description").fill("Half a thought")
    lab.evaluate("() => window.jupyterapp.shell.currentWidget.close()")
    lab.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(form.get_by_label("Description")).to_have_value("Half a thought")
    lab.evaluate("() => window.jupyterapp.shell.currentWidget.close()")
    lab.get_by_role("dialog").get_by_role("button", name="Close without saving").click()
    expect(form).to_have_count(0)
    assert stored(ada, "diarist")["description"] == ""


def test_an_old_revision_is_compared_and_restored(ada: Person, lab: Page) -> None:
    make_agent(ada, "Essayist", instructions="Write well.")
    ada.workspace.patch("api/agents/essayist", json={"revision": 1, "instructions": "Write badly."})
    run_command(lab, "agents:refresh")
    menu(lab, "Essayist", "Revisions…")
    changed = lab.get_by_role("region", name="What changed")
    expect(changed.locator("[data-kind=added]", has_text="Write badly.")).to_be_visible()
    expect(changed.locator("[data-kind=removed]", has_text="Write well.")).to_be_visible()
    revisions = lab.get_by_role("navigation", name="Revisions")
    expect(revisions.get_by_role("button", name="Revision 2")).to_be_focused()
    revisions.get_by_role("button", name="Revision 1").click()
    lab.get_by_role("button", name="Restore revision 1").click()
    expect(lab.get_by_role("heading", name="Essayist, revision 3")).to_be_visible()
    now = stored(ada, "essayist")
    assert (now["revision"], now["instructions"]) == (3, "Write well.")


def test_a_deleted_agent_is_had_back_by_undo(ada: Person, lab: Page) -> None:
    make_agent(ada, "Precious", instructions="Keep me.", max_turns=7)
    run_command(lab, "agents:refresh")
    menu(lab, "Precious", "Delete")
    expect(agents(lab).get_by_text("Precious")).to_have_count(0)
    assert ada.workspace.get("api/agents/precious").status_code == 404
    lab.get_by_role("button", name="Undo").click()
    expect(agents(lab).get_by_text("Precious")).to_be_visible()
    now = stored(ada, "precious")
    assert (now["instructions"], now["max_turns"]) == ("Keep me.", 7)


def test_an_agent_is_found_duplicated_exported_and_imported(ada: Person, lab: Page, tmp_path: Path) -> None:
    make_agent(ada, "Reviewer", description="reads Python", instructions="Be kind.", front_matter={"color": "blue"})
    make_agent(ada, "Writer")
    run_command(lab, "agents:refresh")
    lab.get_by_role("searchbox", name="Search agents").fill("python read")
    expect(agents(lab).get_by_role("listitem")).to_have_count(1)
    menu(lab, "Reviewer", "Duplicate")
    duplicate = lab.get_by_role("form", name="Agent Reviewer (copy)")
    expect(duplicate.get_by_role("textbox", name="Name", exact=True)).to_be_focused()
    lab.get_by_role("searchbox", name="Search agents").fill("")
    assert stored(ada, "reviewer-copy")["front_matter"] == {"color": "blue"}

    files = []
    for kind in ("Export as Subagent File", "Export as JSON"):
        with lab.expect_download() as download:
            menu(lab, "Reviewer", kind)
        files.append(tmp_path / download.value.suggested_filename)
        download.value.save_as(files[-1])
    assert [file.name for file in files] == ["reviewer.md", "reviewer.json"]
    assert "color: blue" in files[0].read_text()
    wrong = tmp_path / "wrong.md"
    wrong.write_text("no front matter")
    lab.locator("#jp-agents-sidebar").get_by_role("button", name="New agent").click()
    with lab.expect_file_chooser() as chooser:
        lab.get_by_role("menuitem", name="From files…").click()
    chooser.value.set_files([*files, wrong])
    expect(agents(lab).get_by_role("button", name="Edit Reviewer", exact=True)).to_have_count(3)
    expect(lab.get_by_text("wrong.md: line 1:").first).to_be_visible()
    for copy in ("reviewer-2", "reviewer-3"):
        assert {**stored(ada, copy), **SAME} == {**stored(ada, "reviewer"), **SAME}
    lab.get_by_role("button", name="Hide notification").first.click()


SAME = dict.fromkeys(("id", "created_at", "updated_at"))
"""What differs between two agents that say the same."""


def test_an_agent_runs_on_the_file_that_is_selected(ada: Person, lab: Page) -> None:
    make_agent(ada, "Reader")
    (ada.home / "figures.csv").write_text("1,2\n")
    run_command(lab, "filebrowser:activate")
    run_command(lab, "filebrowser:refresh")
    try:
        lab.locator(".jp-DirListing-item", has_text="figures.csv").click(button="right")
        lab.get_by_role("menuitem", name="Run Agent on Selection…").click()
        dialog = lab.get_by_role("dialog")
        dialog.get_by_role("textbox").fill("what is in it?")
        lab.keyboard.press("Control+Enter")
        expect(lab.get_by_role("log").get_by_text("I have looked at it.")).to_be_visible()
        (run,) = ada.workspace.get("api/runs?agent=reader").json()["items"]
        told = run["prompt"].split("\n")
        assert told[0] == "what is in it?" and told[-1].startswith("- "), run["prompt"]
        path = Path(told[-1].removeprefix("- ").replace("~", str(ada.home), 1))
        assert path.resolve() == (ada.home / "figures.csv").resolve()
    finally:
        run_command(lab, "agents:show-panel")


def test_an_agent_runs_on_a_cell_and_on_its_error(ada: Person, lab: Page) -> None:
    make_agent(ada, "Helper")
    (ada.home / "broken.ipynb").write_text(json.dumps(NOTEBOOK))
    run_command(lab, "docmanager:open", path="broken.ipynb", kernelPreference={"shouldStart": False})
    cell = lab.locator(".jp-Notebook .jp-CodeCell").first
    cell.locator(".jp-InputArea-editor").click(button="right")
    lab.get_by_role("menuitem", name="Run Agent on Error…").click()
    lab.get_by_role("dialog").get_by_role("textbox").fill("what is in it?")
    lab.get_by_role("dialog").get_by_role("button", name="Run", exact=True).click()
    expect(lab.get_by_role("log").get_by_text("I have looked at it.")).to_be_visible()
    (run,) = ada.workspace.get("api/runs?agent=helper").json()["items"]
    assert "broken.ipynb" in run["prompt"]
    assert "1 / 0" in run["prompt"] and "ZeroDivisionError: division by zero" in run["prompt"]
    assert "\u001b" not in run["prompt"]


def test_agents_are_shared_and_what_is_shared_is_run_and_copied(hub: RunningHub, ada: Person, lab: Page) -> None:
    bob = hub.person("bob").spawn()
    make_agent(ada, "Gift")
    make_agent(bob, "Loan", instructions="Say it.")
    access = bob.workspace.put("api/agents/loan/shares/person/ada", json={"access": "copy"})
    assert access.status_code == 200, access.text
    lab.reload()
    show_panel(lab)
    shared = lab.get_by_role("list", name="Shared with me")
    expect(shared.get_by_text("from bob")).to_be_visible()
    menu(lab, "Gift", "Share…")
    dialog = lab.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Their name on the hub").fill("nobody-of-this-name")
    lab.keyboard.press("Enter")
    expect(dialog.get_by_role("status")).to_contain_text("nobody-of-this-name")
    dialog.get_by_role("textbox", name="Their name on the hub").fill("bob")
    lab.keyboard.press("Enter")
    expect(dialog.get_by_role("list", name="Shared with").get_by_text("bob")).to_be_visible()
    assert [one["agent"]["id"] for one in bob.workspace.get("api/shared").json()["items"]] == ["gift"]
    dialog.get_by_role("button", name="Share no more with bob").press("Enter")
    expect(dialog.get_by_text("It is shared with nobody.")).to_be_visible()
    dialog.get_by_role("button", name="Done").click()

    shared.get_by_role("button", name="Run Loan of bob").click()
    lab.get_by_role("dialog").get_by_role("textbox").fill("say hello")
    lab.keyboard.press("Control+Enter")
    expect(lab.get_by_role("log").get_by_text("Hello from the model.")).to_be_visible()
    shared.get_by_role("button", name="Copy Loan of bob").click()
    expect(lab.get_by_role("form", name="Agent Loan")).to_be_visible()
    assert stored(ada, "loan")["instructions"] == "Say it."


def test_the_launcher_has_what_ran_last(ada: Person, lab: Page) -> None:
    make_agent(ada, "Greeter")
    ada.workspace.post("api/agents/greeter/runs", json={"prompt": "say hello"})
    run_command(lab, "agents:refresh")
    run_command(lab, "launcher:create")
    section = lab.locator(".jp-Launcher:visible .jp-Launcher-section", has_text="Agents")
    expect(section.locator(".jp-LauncherCard", has_text="Greeter")).to_be_visible()
    section.locator(".jp-LauncherCard", has_text="New agent").click()
    expect(lab.get_by_role("form", name="New agent")).to_be_visible()


def test_notebook_7_has_the_panel_beside_its_files_and_its_notebooks(ada: Person, open_lab: OpenLab) -> None:
    pytest.importorskip("notebook", reason="make test installs Notebook 7")
    make_agent(ada, "Companion")
    (ada.home / "beside.ipynb").write_text(json.dumps(NOTEBOOK))
    page = open_lab("tree")
    page.get_by_role("button", name="Run Companion").click()
    page.get_by_role("dialog").get_by_role("textbox").fill("say hello")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("log").get_by_text("Hello from the model.")).to_be_visible()
    page.goto("/user/ada/notebooks/beside.ipynb")
    page.get_by_role("menuitem", name="View", exact=True).click()
    page.get_by_role("menuitem", name="Show Agents").click()
    expect(agents(page).get_by_text("Companion")).to_be_visible()
    page.locator(".jp-Notebook .jp-CodeCell .jp-InputArea-editor").first.click(button="right")
    page.get_by_role("menuitem", name="Run Agent on Error…").click()
    page.get_by_role("dialog").get_by_role("textbox").fill("what is in it?")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("log").get_by_text("I have looked at it.")).to_be_visible()
    page.context.close()


def test_an_agent_is_made_and_run_by_keyboard_alone(ada: Person, lab: Page) -> None:
    lab.keyboard.press("Control+Shift+y")
    name = lab.get_by_role("form", name="New agent").get_by_role("textbox", name="Name", exact=True)
    press_both(lab, "Alt+y", "n", lambda most: expect(name).to_be_focused(timeout=most))
    lab.keyboard.type("Typist")
    lab.keyboard.press("Tab")
    lab.keyboard.press("Tab")
    lab.keyboard.type("made by keys")
    lab.keyboard.press("Control+s")
    expect(lab.get_by_text("Saved as revision 1.")).to_be_visible()
    assert stored(ada, "typist")["description"] == "made by keys"
    lab.keyboard.press("Control+Shift+y")
    expect(lab.get_by_role("searchbox", name="Search agents")).to_be_focused()
    lab.keyboard.press("Control+a")  # of keys that came too late for their shortcut
    lab.keyboard.press("Delete")
    run = agents(lab).get_by_role("button", name="Run Typist")
    for _ in range(6):
        if run.evaluate("one => one === document.activeElement"):
            break
        lab.keyboard.press("Tab")
    expect(run).to_be_focused()
    lab.keyboard.press("Enter")
    expect(lab.get_by_role("dialog").get_by_role("textbox")).to_be_focused()
    lab.keyboard.type("say hello")
    lab.keyboard.press("Control+Enter")
    expect(lab.get_by_role("log").get_by_text("Hello from the model.")).to_be_visible()


def test_nothing_serious_is_in_the_way_of_people_with_disabilities(ada: Person, lab: Page) -> None:
    agent = make_agent(ada, "Plain", description="Writes things", instructions="Write.", tools=["Read"])["id"]
    ada.workspace.patch(f"api/agents/{agent}", json={"revision": 1, "mcp_servers": {"clock": {"command": "x"}}})
    ada.workspace.post(f"api/agents/{agent}/runs", json={"prompt": "say hello"})
    run_command(lab, "agents:refresh")
    run_command(lab, "agents:edit", agentId=agent)
    form = lab.get_by_role("form", name="Agent Plain")
    form.get_by_label("Turns").fill("0")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_text("Give a number of at least 1.")).to_be_visible()
    in_both_themes(lab, ".jp-AgentsForm", ".jp-AgentsList")
    lab.get_by_role("button", name="Run Plain").click()
    expect(lab.get_by_role("dialog")).to_be_visible()
    in_both_themes(lab, ".jp-AgentsTask")
    lab.keyboard.press("Escape")
    run_command(lab, "agents:revisions", agentId=agent)
    expect(lab.get_by_role("region", name="What changed")).to_be_visible()
    in_both_themes(lab, ".jp-AgentsRevisions")
    run_command(lab, "agents:converse")
    lab.get_by_role("textbox", name="What you want").fill("please say hello")
    lab.keyboard.press("Enter")
    expect(lab.get_by_role("log").get_by_text("Hello from the model.")).to_be_visible()
    in_both_themes(lab, ".jp-AgentsChat")


def in_both_themes(page: Page, *places: str) -> None:
    """The theme that is there, and the other, in which it is left until the next are looked at."""
    now = page.locator("body").get_attribute("data-jp-theme-name")
    other = "JupyterLab Light" if now == "JupyterLab Dark" else "JupyterLab Dark"
    for theme in (now, other):
        run_command(page, "apputils:change-theme", theme=theme)
        expect(page.locator(f"body[data-jp-theme-name='{theme}']")).to_be_attached()
        for place in places:
            no_faults(page, place)


def no_faults(page: Page, place: str) -> None:
    answer = Axe().run(page, context=place).response
    assert "color-contrast" in {one["id"] for one in answer["passes"]}
    found = [one for one in answer["violations"] if one["impact"] in SERIOUS]
    assert not found, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found]
