"""A run as a document, in a real browser: what it shows, what can be done with it, and what it survives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from jupyterhub_agents.testing.replies import Entry, Reply, fail, say, think, use
from tests.browser.panel.conftest import close_documents, make_agent, run_command, show_panel, start_run
from tests.browser.panel.long_run import FIRST_WORDS, LAST_WORDS, make_long_run
from tests.hub.people import Person, RunningHub, eventually

WORDS = [f"word{number}" for number in range(120)]
COUNT = WORDS[:40]
LOOP = "python3 -c 'import time; time.sleep(600)'"
AT_WORK = re.compile(r"^(0:0[2-9]|0:[1-5]\d|[1-9]\d*:\d\d)$")
"""Two seconds or more. It counts from before the CLI starts, which takes its time on a slow machine."""
REFUSAL = "The month's budget of ada is used up: $0.00 of $50.00 are left. Ask your admin, ops@example.org."
TOOLS: list[Reply] = [
    think("A look around first.") + say("I look **around**.") + use("Bash", {"command": "echo from-the-shell"}),
    use("Write", {"file_path": "HOME/desk/fib.py", "content": "def fib(n):\n    return n\n"}),
    use("Edit", {"file_path": "HOME/desk/fib.py", "old_string": "return n", "new_string": "return n * 2"}),
    say("# Finished\n\nSee `fib.py`. <script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"),
]
SCRIPT: dict[str, Sequence[Entry] | Entry] = {
    "count slowly": say(" ".join(WORDS)).paced(0.2),
    "show your tools": TOOLS,
    "ask first": [use("Bash", {"command": "touch asked-first"}), say("It was allowed.")],
    "count and ask": [say(" ".join(COUNT)).paced(0.2) + use("Bash", {"command": "touch counted"}), say("All is said.")],
    "work for ever": [use("Bash", {"command": LOOP}), say("It never ends.")],
    "Continue": say("Finished after the break."),
    "never mind": say("I leave it then."),
    "and then": say("That was said after it."),
    "use it up": fail(429, "billing_error", REFUSAL, headers={"x-should-retry": "false"}).always(),
}


@pytest.fixture(scope="module", autouse=True)
def agent(ada: Person) -> None:
    SCRIPT["show your tools"] = [_at_home(reply, str(ada.home)) for reply in TOOLS]
    allowed = ["Bash(echo:*)", "Bash(python3:*)", "Write", "Edit"]
    make_agent(ada, "Worker", directory="desk", allowed_tools=allowed)


@pytest.fixture(scope="module")
def tools(ada: Person) -> str:
    """A run in which tools were called. More than one test looks at it."""
    return start_run(ada, "worker", "show your tools")


@pytest.fixture(autouse=True)
def nothing_open(lab: Page) -> Iterator[None]:
    yield
    close_documents(lab)


def test_text_is_read_as_it_comes_and_time_goes_on(ada: Person, lab: Page) -> None:
    run = show(lab, ada, "count slowly")
    expect(log(lab)).to_contain_text("word3 ")
    assert WORDS[-1] not in log(lab).inner_text(), "it came as a whole"
    header = lab.locator(".jp-AgentsRun-header")
    expect(header).to_contain_text("running")
    clock = header.locator("time")
    expect(clock).to_have_text(AT_WORK)
    first = clock.inner_text()
    expect(clock).not_to_have_text(first)
    ada.workspace.post(f"api/runs/{run}/cancel", json={})
    expect(header).to_contain_text("stopped")


def test_tool_calls_are_cards_and_a_change_opens_the_file(tools: str, lab: Page) -> None:
    run_command(lab, "agents:open-run", runId=tools)
    expect(log(lab).get_by_role("heading", name="Finished")).to_be_visible()
    assert lab.evaluate("() => window.hacked") is None, "what the model writes ran as a program"
    expect(log(lab).locator("strong", has_text="around")).to_be_visible()
    bash = log(lab).locator("[data-tool=Bash]")
    expect(bash).to_contain_text("echo from-the-shell")
    expect(bash.get_by_label("Output of Bash")).to_have_text("from-the-shell")
    thinking = log(lab).locator(".jp-AgentsRun-thinking")
    expect(thinking.get_by_text("A look around first.")).to_have_count(0)
    thinking.locator("summary").click()
    expect(thinking.get_by_text("A look around first.")).to_be_visible()
    edit = log(lab).locator("[data-tool=Edit]")
    expect(edit.locator("[data-mark='-']")).to_contain_text("return n")
    edit.locator("[data-mark='+']").click()
    editor = lab.locator(".jp-FileEditor .cm-content")
    expect(editor).to_contain_text("return n * 2")
    expect(lab.get_by_role("dialog")).to_have_count(0)


def test_a_call_is_approved_in_the_run_itself(ada: Person, lab: Page) -> None:
    show(lab, ada, "ask first")
    card = log(lab).locator("[data-tool=Bash]")
    expect(card).to_contain_text("touch asked-first")
    expect(lab.get_by_role("list", name="Approvals")).to_be_visible()
    card.get_by_role("button", name="Approve once").press("Enter")
    expect(log(lab).get_by_text("It was allowed.")).to_be_visible()
    expect(card).to_contain_text("Approved once")
    assert (ada.home / "desk" / "asked-first").exists()
    expect(lab.get_by_text("Nothing waits for you.")).to_be_visible()


def test_a_run_is_stopped_resumed_and_continued(ada: Person, lab: Page) -> None:
    first = show(lab, ada, "work for ever")
    expect(log(lab).locator("[data-tool=Bash]")).to_contain_text("time.sleep")
    lab.get_by_role("button", name="Stop", exact=True).click()
    status = lab.locator(".jp-AgentsRun-facts").get_by_role("status")
    expect(status).to_have_text("stopped")
    message = lab.get_by_label("Message to the agent")
    message.fill("never mind")
    message.press("Enter")
    expect(log(lab).get_by_text("I leave it then.")).to_be_visible()
    expect(status).to_have_text("succeeded")
    assert ada.workspace.get(f"api/runs/{first}").json()["status"] == "succeeded", "another run was made"
    message.fill("and then")
    lab.get_by_role("button", name="Send").click()
    expect(log(lab).get_by_text("That was said after it.")).to_be_visible()
    expect(log(lab).get_by_text("I leave it then.")).to_be_visible()
    (newest, *_) = ada.workspace.get("api/runs").json()["items"]
    assert newest["continues"] == first


def test_nothing_is_missing_or_twice_after_twenty_seconds_without_a_network(ada: Person, lab: Page) -> None:
    show(lab, ada, "count slowly")
    expect(log(lab)).to_contain_text("word3 ")
    lab.context.set_offline(True)
    try:
        expect(lab.get_by_text("The connection is lost.")).to_be_visible()
        lab.wait_for_timeout(20_000)  # the outage itself
    finally:
        lab.context.set_offline(False)
    expect(log(lab).get_by_text(" ".join(WORDS))).to_have_count(1)
    expect(lab.get_by_text("The connection is lost.")).to_have_count(0)
    assert log(lab).inner_text().count("word7 ") == 1


def test_a_reload_in_the_middle_finds_the_run(ada: Person, lab: Page) -> None:
    run = show(lab, ada, "count and ask")
    expect(log(lab)).to_contain_text("word3 ")
    layouts = lambda: json.dumps(ada.workspace.get("lab/api/workspaces").json())  # noqa: E731 - polled
    eventually(lambda: run in layouts(), within=60, what="JupyterLab keeps its layout")
    lab.goto("/user/ada/lab")
    expect(lab.locator(".jp-AgentsRun-facts")).to_contain_text(re.compile("running|waits for you"))
    expect(log(lab).get_by_text(" ".join(COUNT))).to_have_count(1)
    log(lab).get_by_role("button", name="Approve once").click()
    expect(log(lab).get_by_text("All is said.")).to_be_visible()
    assert log(lab).inner_text().count("word7 ") == 1
    show_panel(lab)


def test_its_session_goes_on_in_the_terminal(ada: Person, lab: Page) -> None:
    show(lab, ada, "never mind")
    expect(log(lab).get_by_text("I leave it then.")).to_be_visible()
    lab.get_by_role("button", name="Open in terminal").click()
    frame = lab.frame_locator("iframe[src*='claude-code/?arg=']")
    expect(frame.locator(".xterm")).to_be_visible(timeout=60_000)
    shown = "() => [...Array(window.term.buffer.active.length).keys()].map(n => window.term.buffer.active.getLine(n)"
    shown += ".translateToString()).join(' ')"
    page = next(one for one in lab.frames if "claude-code/?arg=" in one.url)
    eventually(lambda: "I leave it then." in page.evaluate(shown), within=60, what="the terminal shows the session")


def test_it_is_copied_as_markdown(tools: str, lab: Page) -> None:
    run_command(lab, "agents:open-run", runId=tools)
    expect(log(lab).get_by_role("heading", name="Finished")).to_be_visible()
    lab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    lab.get_by_role("button", name="Copy as Markdown").click()
    expect(lab.get_by_text("The run is copied as Markdown.")).to_be_visible()
    text = lab.evaluate("() => navigator.clipboard.readText()")
    assert "```sh\necho from-the-shell\n```" in text
    assert "-    return n\n+    return n * 2" in text
    assert "# Finished" in text


def test_what_the_site_refuses_is_said_in_its_words(ada: Person, lab: Page) -> None:
    show(lab, ada, "use it up")
    error = log(lab).locator(".jp-AgentsRun-error")
    expect(error).to_contain_text("failed")
    expect(error).to_contain_text(REFUSAL)


def test_no_serious_accessibility_fault(tools: str, lab: Page) -> None:
    run_command(lab, "agents:open-run", runId=tools)
    expect(log(lab).get_by_role("heading", name="Finished")).to_be_visible()
    lab.locator(".jp-AgentsRun-thinking summary").click()
    try:
        for theme in ("JupyterLab Dark", "JupyterLab Light"):
            run_command(lab, "apputils:change-theme", theme=theme)
            expect(lab.locator(f"body[data-jp-theme-name='{theme}']")).to_be_attached()
            answer = Axe().run(lab, context=".jp-AgentsRun").response
            assert "color-contrast" in {one["id"] for one in answer["passes"]}
            found = [one for one in answer["violations"] if one["impact"] in ("serious", "critical")]
            assert not found, [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]
    finally:
        run_command(lab, "apputils:change-theme", theme="JupyterLab Light")


def test_ten_thousand_events_are_read_from_the_end_to_the_beginning(ada: Person, lab: Page) -> None:
    """All of them, and only what is in sight is drawn. `make bench ARGS=panel` measures it."""
    run_command(lab, "agents:open-run", runId=make_long_run(ada))
    expect(log(lab)).to_contain_text(LAST_WORDS)
    expect(lab.locator(".jp-AgentsRun progress")).to_have_count(0)
    expect(lab.get_by_role("button", name="Copy as Markdown")).to_be_enabled()
    log(lab).evaluate("log => { log.scrollTop = 0; }")
    expect(log(lab).get_by_text(FIRST_WORDS)).to_be_visible()
    drawn = log(lab).locator(".jp-AgentsRun-item").count()
    assert 0 < drawn < 200, "all of it is drawn at once"
    lab.get_by_role("button", name="To the end").press("Enter")  # a toast may lie over it
    expect(log(lab).get_by_text(LAST_WORDS)).to_be_visible()


def test_a_restart_of_the_server_is_said_and_the_run_is_taken_up_again(hub: RunningHub, ada: Person, lab: Page) -> None:
    run = show(lab, ada, "work for ever")
    expect(log(lab).locator("[data-tool=Bash]")).to_contain_text("time.sleep")
    # JupyterLab asks too whether to start it again, over all that is to be clicked.
    lab.add_locator_handler(
        lab.get_by_role("dialog").get_by_role("button", name="Dismiss"), lambda button: button.click()
    )
    servers = hub.processes_of("jupyterhub.singleuser")
    (server,) = [one for one in servers if one.environ()["JUPYTERHUB_USER"] == ada.name]
    server.kill()
    lost = lab.get_by_text("The connection is lost.")
    stale = lab.locator("#jp-agents-sidebar").get_by_text("No connection to the server.")
    expect(lost).to_be_visible()
    expect(stale).to_be_visible()
    ada.stop()
    ada.spawn()
    expect(lost).to_have_count(0)
    expect(stale).to_be_hidden()
    status = lab.locator(".jp-AgentsRun-facts").get_by_role("status")
    expect(status).to_have_text("interrupted")
    lab.get_by_role("button", name="Resume", exact=True).click()
    expect(log(lab).get_by_text("Finished after the break.")).to_be_visible()
    expect(status).to_have_text("succeeded")
    assert ada.workspace.get(f"api/runs/{run}").json()["status"] == "succeeded"


def show(page: Page, person: Person, prompt: str) -> str:
    """Start a run and open it; its id."""
    run = start_run(person, "worker", prompt)
    run_command(page, "agents:open-run", runId=run)
    return run


def log(page: Page) -> Locator:
    return page.get_by_role("log")


def _at_home(reply: Reply, home: str) -> Reply:
    """The reply with the home's name in its calls."""
    return Reply(tuple(json.loads(json.dumps(reply.blocks).replace("HOME/", f"{home}/"))))
