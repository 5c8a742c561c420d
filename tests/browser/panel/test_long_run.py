"""A run of 10,000 events as a document: whole, and only what is in sight drawn. `make bench ARGS=panel` measures it."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.panel.conftest import close_documents, run_command
from tests.browser.panel.long_run import FIRST_WORDS, LAST_WORDS, make_long_run
from tests.hub.people import Person


def test_a_run_of_ten_thousand_events_is_read_from_its_end_to_its_beginning(ada: Person, lab: Page) -> None:
    run_command(lab, "agents:open-run", runId=make_long_run(ada))
    log = lab.get_by_role("log")
    expect(log).to_contain_text(LAST_WORDS, timeout=60_000)
    expect(lab.locator(".jp-AgentsRun progress")).to_have_count(0, timeout=60_000)
    expect(lab.get_by_role("button", name="Copy as Markdown")).to_be_enabled(timeout=60_000)
    log.evaluate("log => { log.scrollTop = 0; }")
    expect(log.get_by_text(FIRST_WORDS)).to_be_visible(timeout=60_000)
    drawn = log.locator(".jp-AgentsRun-item").count()
    assert 0 < drawn < 200, "all of it is drawn at once"
    lab.get_by_role("button", name="To the end").click()
    expect(log.get_by_text(LAST_WORDS)).to_be_visible(timeout=60_000)
    close_documents(lab)
