"""Signing in to the pages, at a real hub, as a browser that keeps cookies and one that means ill."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from jupyterhub_agents.ids import new_id
from tests.hub.people import Person, RunningHub, running_hub
from tests.service.conftest import server_token, service_process

MINE = "/services/agents/"
ADMIN = "/services/agents/admin"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("pages") / "state") as running:
        yield running


@pytest.fixture
def ada(hub: RunningHub) -> Person:
    return hub.person("ada")


def xsrf(page: httpx.Response) -> str:
    found = re.search(r'data-xsrf="([0-9a-f]{64})"', page.text)
    assert found, page.text[:500]
    return found[1]


def begin(person: Person, path: str = MINE) -> str:
    """Start to sign in, up to where the hub sends the browser back. Gives that address."""
    if "agents-token" in person.browser.cookies:
        person.browser.cookies.delete("agents-token")
    answer = person.browser.get(path, follow_redirects=False)
    while not urlsplit(answer.headers.get("location", "")).path.endswith("/oauth_callback"):
        assert answer.status_code == 302, answer.text
        answer = person.browser.get(answer.headers["location"], follow_redirects=False)
    return str(answer.headers["location"])


def test_a_code_is_of_no_use_in_a_browser_that_did_not_ask_for_it(hub: RunningHub, ada: Person) -> None:
    """Else somebody could have others work under their name."""
    address = begin(ada)
    with Person(hub, "mallory") as mallory:
        mallory.sign_in()
        answer = mallory.browser.get(address)
        assert answer.status_code == 403 and "not begun here" in answer.text
        assert "agents-token" not in mallory.browser.cookies


def test_a_code_serves_once(ada: Person) -> None:
    address = begin(ada)
    assert ada.browser.get(address).url.path == MINE
    assert ada.browser.get(address).status_code == 403


@pytest.mark.parametrize("change", ["state", "code", "cookie"])
def test_a_sign_in_that_was_tampered_with_is_refused(ada: Person, change: str) -> None:
    address = begin(ada)
    query = parse_qs(urlsplit(address).query)
    state, code = query["state"][0], query["code"][0]
    name = f"agents-sign-in-{state[:8]}"
    if change == "state":
        state = state[:8] + "x" * (len(state) - 8)
    elif change == "code":
        code = "x" * len(code)
    else:
        head, _, signature = ada.browser.cookies[name].rpartition(".")
        ada.browser.cookies.set(name, f"{head}.{signature[::-1]}", path=MINE)
    answer = ada.browser.get(f"{MINE}oauth_callback", params={"state": state, "code": code})
    assert answer.status_code == 403


def test_cookies_are_for_the_server_and_these_pages_alone(ada: Person) -> None:
    address = begin(ada)
    answer = ada.browser.get(address, follow_redirects=False)
    (cookie,) = [one for one in answer.headers.get_list("set-cookie") if one.startswith("agents-token=")]
    assert {"httponly", f"path={MINE}", "samesite=lax"} <= {part.strip().lower() for part in cookie.split(";")}
    secured = ada.browser.get(MINE, headers={"X-Forwarded-Proto": "https"}, follow_redirects=False)
    assert secured.status_code == 200
    assert ada.browser.cookies["agents-token"] not in secured.text
    assert secured.headers["cache-control"] == "no-store"


def test_a_workspaces_token_opens_no_page(ada: Person, hub: RunningHub) -> None:
    """An agent has it, and shall not read or change what its person may."""
    ada.spawn()
    with httpx.Client(base_url=hub.url, trust_env=False) as agent:
        agent.cookies.set("agents-token", server_token(hub, ada), path=MINE)
        assert agent.get(MINE).status_code == 403
        headers = {"Authorization": f"Bearer {server_token(hub, ada)}"}
        agent.cookies.clear()
        assert agent.get(MINE, headers=headers).status_code == 302


def test_a_script_is_told_that_nobody_is_signed_in_and_is_sent_nowhere(hub: RunningHub) -> None:
    with httpx.Client(base_url=hub.url, trust_env=False) as script:
        answer = script.get(MINE, headers={"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"})
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
        assert script.post(f"{ADMIN}/budget", json={"kind": "person", "name": "ada"}).status_code == 401


def test_a_change_takes_the_pages_own_token(hub: RunningHub) -> None:
    admin = hub.person("admin")
    page = admin.browser.get(ADMIN)
    assert page.status_code == 200
    body = {"kind": "person", "name": "bob", "day_usd": "3", "month_usd": None}
    path = f"{ADMIN}/budget"
    assert admin.browser.post(path, json=body).status_code == 403
    for token in ("", "0" * 64, "é".encode(), xsrf(hub.person("ada").browser.get(MINE))):
        assert admin.browser.post(path, json=body, headers={"X-XSRFToken": token}).status_code == 403  # type: ignore[dict-item]  # httpx takes bytes
    mine = {"X-XSRFToken": xsrf(page)}
    answer = admin.browser.post(path, json=body, headers=mine)
    assert answer.status_code == 200
    assert [period["limit_usd"] for period in answer.json()["periods"]] == ["3.00", None]
    for wrong in ({"day_usd": "-1"}, {"day_usd": "a lot"}, {"kind": "planet"}, {"surprise": 1}, {"kind": "hub"}):
        assert admin.browser.post(path, json=body | wrong, headers=mine).status_code == 400
    assert f'value="{3:.2f}"' in admin.browser.get(ADMIN).text


def test_the_page_after_signing_in_is_always_one_of_these(ada: Person) -> None:
    for path in (f"{MINE}?days=7", f"{MINE}?days=7&next=//elsewhere.example"):
        answer = ada.browser.get(begin(ada, path), follow_redirects=False)
        assert answer.headers["location"].startswith(MINE)


def test_prometheus_is_told_of_agents_and_how_their_runs_go(hub: RunningHub) -> None:
    admin = hub.person("admin")
    text = admin.browser.get(f"{MINE}metrics", headers={"Authorization": f"token {admin.token}"}).text
    for name in (
        "agents_agents 0.0", 'agents_active_people{period="day"} 0.0', "agents_sessions 0.0",
        'agents_runs_succeeded_ratio{period="month"} NaN',
        "agents_known_agents 0.0", 'agents_made_agents{period="month"} 0.0', 'agents_live_runs{status="waiting"} 0.0',
        "agents_waiting_approvals 0.0", 'agents_runs{period="day",status="succeeded"} 0.0',
    ):  # fmt: skip
        assert name in text, name


def scopes_of(hub: RunningHub, token: str) -> set[str]:
    answer = httpx.get(f"{hub.url}/hub/api/user", headers={"Authorization": f"token {token}"}, trust_env=False)
    assert answer.status_code == 200, answer.text
    return {scope for scope in answer.json()["scopes"] if scope.startswith("access:servers")}


def test_a_sign_in_opens_workspaces_for_administrators_on_their_page_alone(hub: RunningHub, ada: Person) -> None:
    assert ada.browser.get(MINE).status_code == 200
    assert scopes_of(hub, ada.browser.cookies["agents-token"]) == set()
    assert ada.browser.get(ADMIN).status_code == 403
    assert scopes_of(hub, ada.browser.cookies["agents-token"]) == set()
    with Person(hub, "admin") as admin:
        admin.sign_in()
        assert admin.browser.get(MINE).status_code == 200
        assert scopes_of(hub, admin.browser.cookies["agents-token"]) == set()
        assert admin.browser.get(ADMIN).status_code == 200
        assert scopes_of(hub, admin.browser.cookies["agents-token"]) == {"access:servers"}
    assert scopes_of(hub, service_process(hub).environ()["JUPYTERHUB_API_TOKEN"]) == set()


def test_where_the_site_lets_it_ask_for_no_more_the_page_opens_and_says_why_it_cannot_cancel(tmp_path: Path) -> None:
    lesser = 'for one in c.JupyterHub.services.get_value([]):\n    one.pop("oauth_client_allowed_scopes", None)\n'
    config = tmp_path / "jupyterhub_config.py"
    config.write_text(f"from hub_config import configure\nconfigure(c)\n{lesser}")
    with running_hub(tmp_path / "state", config=config) as hub:
        admin = hub.person("admin")
        page = admin.browser.get(ADMIN)
        assert page.status_code == 200
        path = f"{ADMIN}/runs/admin/{new_id()}/cancel"
        answer = admin.browser.post(path, headers={"X-XSRFToken": xsrf(page)})
        assert answer.status_code == 403 and "lacks the scope access:servers" in answer.json()["message"]
