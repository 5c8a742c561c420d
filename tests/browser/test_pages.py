"""The service's pages, as people see and use them."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from jupyterhub_agents.ids import new_id
from tests.browser.conftest import ADMIN, MINE, Visit, sign_in
from tests.browser.runs import begin, run, sleeping_run, status
from tests.hub.people import Person, RunningHub, eventually

SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def eva(hub: RunningHub) -> Person:
    """Somebody whose workspace runs."""
    return hub.person("eva").spawn()


@pytest.fixture(scope="module")
def ended(eva: Person) -> str:
    """A run of hers that has succeeded."""
    one = run(eva)
    assert one["status"] == "succeeded"
    return str(one["id"])


@pytest.fixture(scope="module")
def waiting(eva: Person) -> str:
    """Somebody whose run waits for them, so that the pages have everything to show. Gives their name."""
    run_id = begin(eva, "Write notes.txt.")
    eventually(lambda: status(eva, run_id) == "waiting", within=60, what="it asks")
    return eva.name


def budget_of(page: Page, name: str) -> Any:
    return page.get_by_role("form", name=f"Budget: Person {name}", exact=True)


def test_a_signed_out_browser_signs_in_at_the_hub_and_comes_back_to_where_it_was(
    browser: Browser, hub: RunningHub
) -> None:
    with browser.new_context(base_url=hub.url) as context:
        page = context.new_page()
        page.goto(f"{MINE}?days=7")
        sign_in(page, hub, "ada")
        assert page.url.endswith(f"{MINE}?days=7")
        expect(page.get_by_role("heading", name="The last 7 days")).to_be_visible()


def test_the_hubs_menu_of_services_leads_to_the_page(visit: Visit) -> None:
    page = visit("ada", "/hub/home")
    page.get_by_role("button", name="Services").click()
    page.get_by_role("link", name="agents").click()
    expect(page.get_by_role("heading", name="My usage", level=1)).to_be_visible()


def test_a_person_sees_their_spend_against_their_budget_and_what_they_did(visit: Visit) -> None:
    page = visit("ada", MINE)
    meter = page.get_by_role("meter", name="My own, This month")
    expect(meter).to_have_attribute("aria-valuetext", re.compile(r"^[0-9.]+%$"))
    expect(page.get_by_text(re.compile(r"^\$[0-9.]+ of \$60\.00$"))).to_be_visible()
    expect(page.get_by_role("img", name="Tokens by model")).to_be_visible()
    expect(page.get_by_role("region", name="Runs lately").get_by_text("paper-reader").first).to_be_visible()
    figure = page.get_by_role("figure", name="Tokens by model")
    figure.get_by_text("As a table").click()
    expect(figure.get_by_role("columnheader", name="claude-sonnet-5")).to_be_visible()
    assert "grace" not in page.content() and "linus" not in page.content()


def test_somebody_new_is_told_what_to_do(visit: Visit) -> None:
    page = visit("newcomer", MINE)
    expect(page.get_by_text("No tokens yet. Start your workspace")).to_be_visible()
    expect(page.get_by_text("No run in these days. Start your workspace")).to_be_visible()
    expect(page.get_by_role("img", name="Tokens by model")).to_be_hidden()


def test_an_administrator_sees_everybody(visit: Visit, eva: Person) -> None:
    page = visit("admin", ADMIN)
    people = page.get_by_role("region", name="People and workspaces")
    expect(people.get_by_role("row", name=re.compile("^eva")).get_by_text("running", exact=True)).to_be_visible()
    for chart in ("Spend by day and model", "Spend by person", "Spend by group", "Spend by model", "People and runs"):
        expect(page.get_by_role("img", name=f"{chart}.")).to_be_visible()
    agents = page.get_by_role("region", name="Agents used most")
    expect(agents.get_by_role("row", name=re.compile("test-writer grace"))).to_be_visible()
    page.get_by_label("Find a person").fill("ev")
    expect(people.get_by_role("row", name=re.compile("^admin"))).to_be_hidden()
    expect(people.get_by_role("row", name=re.compile("^eva"))).to_be_visible()


def test_an_administrator_cancels_somebodys_live_run_and_it_ends_cancelled(visit: Visit, eva: Person) -> None:
    run_id = sleeping_run(eva, "sleeper")
    page = visit("admin", ADMIN)
    live = page.get_by_role("region", name="Live runs")
    row = live.get_by_role("row", name=re.compile("^eva sleeper at work"))
    expect(row).to_be_visible()
    button = row.get_by_role("button", name="Cancel the run of sleeper of eva")
    page.once("dialog", lambda dialog: dialog.dismiss())
    button.click()
    assert status(eva, run_id) == "running"
    page.once("dialog", lambda dialog: dialog.accept())
    button.click()
    expect(page.get_by_text("Cancelled: the run has stopped.")).to_be_visible()
    assert status(eva, run_id) == "cancelled"
    expect(row).to_have_count(0)
    expect(page.get_by_text("Cancelled: the run has stopped.")).to_be_focused()


def test_nobody_cancels_anothers_run_who_is_no_administrator(visit: Visit, hub: RunningHub, eva: Person) -> None:
    run_id = sleeping_run(eva, "sleeper")
    page = visit("bob", MINE)
    post = """async (path) => (await fetch(path, {method: "POST", headers: {
        "X-XSRFToken": document.body.dataset.xsrf}})).status"""
    path = f"{ADMIN}/runs/eva/{run_id}/cancel"
    assert page.evaluate(post, path) == 403
    # Nor does an administrator's browser from elsewhere, nor any token alone.
    admin = visit("admin", "/hub/home")
    admin.goto(ADMIN)
    admin.goto("/hub/home")
    assert admin.evaluate("async (path) => (await fetch(path, {method: 'POST'})).status", path) == 403
    for token in (eva.token, hub.person("admin").token):
        with httpx.Client(base_url=hub.url, trust_env=False) as program:
            assert program.post(path, headers={"Authorization": f"token {token}"}).status_code == 401
    assert status(eva, run_id) == "running"
    assert eva.workspace.post(f"api/runs/{run_id}/cancel").status_code == 202


def test_calls_that_wait_are_shown_without_their_words_and_a_stopped_workspace_is_said(
    visit: Visit, hub: RunningHub
) -> None:
    dora = hub.person("dora")
    run_id = begin(dora, "Write confidential.txt.")
    eventually(lambda: status(dora, run_id) == "waiting", within=60, what="it asks")
    page = visit("admin", ADMIN)
    waiting = page.get_by_role("region", name="Waiting for a person")
    expect(waiting.get_by_role("row", name=re.compile("^dora worker Write"))).to_be_visible()
    assert "confidential" not in page.content()
    dora.stop()
    live = page.get_by_role("region", name="Live runs").get_by_role("row", name=re.compile("^dora worker waiting"))
    expect(live.get_by_text("workspace stopped: nothing works on it")).to_be_visible()
    post = """async (path) => { const answer = await fetch(path, {method: "POST", headers: {
        "X-XSRFToken": document.body.dataset.xsrf}}); return [answer.status, (await answer.json()).message] }"""
    code, message = page.evaluate(post, f"{ADMIN}/runs/dora/{run_id}/cancel")
    assert code == 424 and "dora's workspace is stopped" in message


def test_a_run_that_has_ended_is_not_cancelled_and_one_that_never_was_is_not_found(visit: Visit, ended: str) -> None:
    page = visit("admin", ADMIN)
    post = """async (path) => { const answer = await fetch(path, {method: "POST", headers: {
        "X-XSRFToken": document.body.dataset.xsrf}}); return [answer.status, (await answer.json()).message] }"""
    code, message = page.evaluate(post, f"{ADMIN}/runs/eva/{ended}/cancel")
    assert code == 409 and "has ended already" in message
    assert page.evaluate(post, f"{ADMIN}/runs/eva/{new_id()}/cancel")[0] == 404
    assert page.evaluate(post, f"{ADMIN}/runs/nobody/{ended}/cancel")[0] == 404
    code, message = page.evaluate(post, f"{ADMIN}/runs/eva%3Fx/{ended}/cancel")
    assert code == 404 and "'eva?x' is nobody's name" in message
    assert page.evaluate(post, f"{ADMIN}/runs/eva/..%2f..%2fcontents/cancel")[0] in (400, 404)


def test_what_each_agent_used_is_drawn_and_comes_as_csv(visit: Visit) -> None:
    page = visit("admin", ADMIN)
    expect(page.get_by_role("img", name="Spend by agent.")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Agents as CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    costs = [float(row["cost_usd"]) for row in rows]
    assert costs == sorted(costs, reverse=True) and costs[0] > 0
    assert ("ada", "paper-reader") in {(row["person"], row["agent_id"]) for row in rows}
    assert all(int(row["tokens"]) > 0 for row in rows if float(row["cost_usd"]))


def test_calls_come_as_csv(visit: Visit) -> None:
    page = visit("admin", ADMIN)
    with page.expect_download() as download:
        page.get_by_role("link", name="Calls as CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert {"ada", "grace", "linus", "mina"} <= {row["person"] for row in rows}


def test_only_administrators_get_what_is_everybodys(visit: Visit, hub: RunningHub) -> None:
    page = visit("ada", MINE)
    expect(page.get_by_role("link", name="All usage")).to_have_count(0)
    answer = page.goto(ADMIN)
    assert answer is not None and answer.status == 403
    expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()
    page.goto(MINE)
    post = """async (path) => (await fetch(path, {method: "POST", body: '{"kind":"person","name":"ada"}', headers: {
        "Content-Type": "application/json", "X-XSRFToken": document.body.dataset.xsrf}})).status"""
    assert page.evaluate(post, f"{ADMIN}/budget") == 403
    read = """async (path) => (await fetch(path, {headers: {"X-XSRFToken": document.body.dataset.xsrf}})).status"""
    assert page.evaluate(read, MINE) == 200
    for path in (ADMIN, f"{ADMIN}/calls.csv"):
        assert page.evaluate(read, path) == 403


def test_other_pages_of_the_origin_get_nothing_of_it(visit: Visit) -> None:
    """A workspace's page is of the same origin, and its scripts come from anywhere."""
    page = visit("admin", ADMIN)
    page.goto("/hub/home")
    fetched = "async (path) => { const answer = await fetch(path); return [answer.status, await answer.text()] }"
    for path in (MINE, ADMIN, f"{ADMIN}/calls.csv"):
        status, text = page.evaluate(fetched, path)
        assert status == 403 and "Open the page again" in text
    post = """async (path) => (await fetch(path, {method: "POST", body: '{"kind":"person","name":"ada"}',
        headers: {"Content-Type": "application/json"}})).status"""
    assert page.evaluate(post, f"{ADMIN}/budget") == 403
    framed = """(path) => new Promise((done) => { const frame = document.createElement("iframe"); frame.src = path;
        frame.onload = () => { try { done(frame.contentDocument?.body?.innerText ?? "") } catch { done("") } };
        document.body.append(frame) })"""
    assert "All usage" not in page.evaluate(framed, ADMIN)
    opened = """(path) => { window.opened = window.open(path) }"""
    with page.context.expect_page() as popup:
        page.evaluate(opened, ADMIN)
    expect(popup.value.get_by_role("heading", name="All usage")).to_be_visible()
    read = "() => { try { return window.opened.document.body.innerText } catch { return 'kept apart' } }"
    assert "All usage" not in page.evaluate(read)


def test_a_budget_that_is_changed_bites_at_once(visit: Visit, eva: Person, ended: str) -> None:
    page = visit("admin", ADMIN)
    form = budget_of(page, "eva")
    form.get_by_label("A day").fill("0")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("status")).to_have_text("Saved. It holds from now on.")
    refused = run(eva)
    assert refused["status"] == "failed"
    assert "Ask an administrator of this hub" in refused["events"], refused["events"][-3000:]
    mine = visit("eva", MINE)
    expect(mine.get_by_text("Nothing may be spent here: every call is refused.")).to_be_visible()
    form.get_by_role("button", name="Default").click()
    expect(form.get_by_text("default", exact=True)).to_be_visible()
    expect(mine.get_by_text("Nothing may be spent here: every call is refused.")).to_have_count(0)
    assert run(eva)["status"] == "succeeded"
    page.get_by_text("Who changed what").click()
    expect(page.get_by_text(re.compile("admin changed Person eva")).first).to_be_visible()


def test_a_budget_is_set_for_somebody_who_has_none_and_a_wrong_amount_is_said(visit: Visit) -> None:
    page = visit("admin", ADMIN)
    new = page.get_by_role("form", name="Set a budget for somebody else")
    new.get_by_label("Set a budget for").select_option("Group")
    new.get_by_label("Name").fill("visitors")
    new.get_by_label("A month").fill("12.50")
    new.get_by_label("A month").press("Enter")
    form = page.get_by_role("form", name="Budget: Group visitors")
    expect(form.get_by_label("A month")).to_have_value("12.50")
    form.get_by_label("A month").fill("9999999999")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("status")).to_contain_text("not an amount from 0 to 1,000,000,000 dollars")


def test_figures_refresh_and_take_neither_focus_nor_an_edit_away(visit: Visit, eva: Person, ended: str) -> None:
    page = visit("admin", ADMIN)
    field = budget_of(page, "eva").get_by_label("A month")
    field.fill("77")
    table = page.get_by_role("figure", name="Spend by person")
    table.get_by_text("As a table").click()
    field.focus()
    runs = page.get_by_role("region", name="Runs lately")
    before = runs.get_by_role("row", name=re.compile("^eva")).count()
    run(eva)
    expect(runs.get_by_role("row", name=re.compile("^eva"))).to_have_count(before + 1)
    expect(field).to_have_value("77")
    expect(field).to_be_focused()
    expect(table.get_by_role("region")).to_be_visible()


def test_a_page_tells_when_it_cannot_refresh_and_when_it_can_again(visit: Visit) -> None:
    page = visit("ada", MINE)
    page.context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("could not be brought up to date")
    page.context.set_offline(False)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_whoever_logs_out_of_the_hub_is_out_of_the_pages_too(visit: Visit) -> None:
    page = visit("leaver", MINE)
    page.get_by_role("link", name="Log out").click()
    page.wait_for_url("**/hub/log**")

    def asked_to_sign_in() -> bool:
        page.goto(MINE)
        return "/hub/login" in page.url

    eventually(asked_to_sign_in, within=60, what="the page asks to sign in", every=1)


def test_pages_work_by_keyboard_alone(visit: Visit) -> None:
    page = visit("admin", ADMIN)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the figures")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    assert focused.evaluate("(one) => getComputedStyle(one).outlineStyle") == "solid"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("name", "path"), [("ada", MINE), ("admin", ADMIN)])
def test_nothing_serious_is_in_the_way_of_people_with_disabilities(
    visit: Visit, waiting: str, name: str, path: str, theme: str
) -> None:
    page = visit(name, path, color_scheme=theme, bypass_csp=True)  # axe is put into the page
    expect(page.get_by_role("img").last).to_be_visible()
    if path == ADMIN:
        expect(page.get_by_role("button", name=f"Cancel the run of worker of {waiting}")).to_be_visible()
    assert page.locator("html").get_attribute("data-bs-theme") == theme
    for details in page.locator("details").all():
        details.locator("summary").click()
    answer = Axe().run(page).response
    assert {"color-contrast", "button-name"} <= {one["id"] for one in answer["passes"]}
    found = [one for one in answer["violations"] if one["impact"] in SERIOUS]
    assert not found, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found]


@pytest.mark.parametrize("language", ["en-US", "ko-KR"])
@pytest.mark.parametrize(("name", "path"), [("ada", MINE), ("admin", ADMIN)])
def test_pages_fit_a_phone(visit: Visit, waiting: str, name: str, path: str, language: str) -> None:
    page = visit(name, path, viewport={"width": 360, "height": 740}, locale=language)
    expect(page.get_by_role("img").last).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    if path == ADMIN:
        button = page.locator("tr", has_text=waiting).locator("[data-cancel]").first
        button.scroll_into_view_if_needed()
        box = button.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 360  # without scrolling the table


def test_pages_speak_the_browsers_language_and_the_one_that_is_chosen(visit: Visit) -> None:
    page = visit("admin", ADMIN, locale="ko-KR")
    expect(page.get_by_role("heading", name="전체 사용량")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "ko"
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", name="All usage")).to_be_visible()
    page.goto(MINE)
    expect(page.get_by_role("heading", name="My usage", level=1)).to_be_visible()


def test_a_page_asks_this_host_alone_and_keeps_its_own_policy(browser: Browser, hub: RunningHub) -> None:
    with browser.new_context(base_url=hub.url) as context:
        page = context.new_page()
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(ADMIN)
        sign_in(page, hub, "admin")
        expect(page.get_by_role("img").last).to_be_visible()
        page.get_by_role("button", name="Light or dark").click()
        assert asked and all(url.startswith((hub.url, "data:")) for url in asked)
        assert not said
        policy = page.request.get(page.url).headers["content-security-policy"]
        assert "unsafe" not in policy and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=", page.request.get(page.url).text())
