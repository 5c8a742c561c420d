"""The paths of the API as a program uses them, right and wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from jupyterhub_agents.testing.replies import say
from tests.workspace import Server, StartServer

SCRIPT = [say("Hello.")]


def refused(answer: httpx.Response, status: int, code: str, *words: str) -> dict[str, Any]:
    """The answer is an error in the one shape, and its message holds the words."""
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    assert set(body) >= {"code", "message", "reason"}
    assert "Traceback" not in answer.text
    for word in words:
        assert word in body["message"]
    return dict(body)


def test_an_agent_is_made_changed_listed_restored_and_deleted(server: Server) -> None:
    made = server.post("api/agents", {"name": "Code Reviewer!", "instructions": "Be kind."})
    assert (made.status_code, made.json()["id"], made.json()["revision"]) == (201, "code-reviewer", 1), made.text
    assert made.headers["Location"].endswith("/api/agents/code-reviewer")
    again = server.post("api/agents", {"name": "Code Reviewer"})
    assert again.json()["id"] == "code-reviewer-2"
    changed = server.http.patch("api/agents/code-reviewer", json={"revision": 1, "instructions": "Be strict."})
    assert (changed.json()["revision"], changed.json()["instructions"]) == (2, "Be strict.")
    assert [a["id"] for a in server.get("api/agents").json()["items"]] == ["code-reviewer", "code-reviewer-2"]
    assert server.get("api/agents/code-reviewer?revision=1").json()["instructions"] == "Be kind."
    assert server.get("api/agents/code-reviewer/revisions/1").json()["revision"] == 1
    restored = server.post("api/agents/code-reviewer/revisions/1/restore", {"revision": 2})
    assert (restored.json()["revision"], restored.json()["instructions"]) == (3, "Be kind.")
    numbers = [a["revision"] for a in server.get("api/agents/code-reviewer/revisions").json()["items"]]
    assert numbers == [3, 2, 1]
    assert server.http.delete("api/agents/code-reviewer-2?revision=1").status_code == 204
    refused(server.get("api/agents/code-reviewer-2"), 404, "not_found")


def test_two_revisions_are_compared_in_words_that_people_read(server: Server) -> None:
    made = server.agent("kind", instructions="Be kind.\nBe brief.", max_turns=5)
    change = {"revision": made["revision"], "instructions": "Be kind.\nBe thorough.", "max_turns": 9}
    changed = server.http.patch("api/agents/kind", json=change).json()
    found = server.get(f"api/agents/kind/revisions/{changed['revision']}/diff").json()
    assert (found["before"], found["after"]) == (made["revision"], changed["revision"])
    assert found["fields"] == ["instructions", "max_turns"]
    lines = found["diff"].splitlines()
    assert {"-Be brief.", "+Be thorough.", "-maxTurns: 5", "+maxTurns: 9"} <= set(lines)
    assert " Be kind." in lines
    backwards = server.get(f"api/agents/kind/revisions/{made['revision']}/diff?against={changed['revision']}").json()
    assert "+Be brief." in backwards["diff"]
    same = server.get(f"api/agents/kind/revisions/{made['revision']}/diff?against={made['revision']}").json()
    assert (same["fields"], same["diff"]) == ([], "")
    refused(server.get("api/agents/kind/revisions/99/diff"), 404, "not_found", "99")


def test_a_stale_change_is_a_conflict_with_the_current_revision_and_changes_nothing(server: Server) -> None:
    made = server.agent()
    change = {"revision": made["revision"], "name": "New"}
    assert server.http.patch("api/agents/helper", json=change).status_code == 200
    newest = server.get("api/agents/helper").json()["revision"]
    late = {"revision": newest - 1, "name": "Late"}
    assert refused(server.http.patch("api/agents/helper", json=late), 409, "stale_revision")["current"] == newest
    assert server.get("api/agents/helper").json()["name"] == "New"
    refused(server.http.delete(f"api/agents/helper?revision={newest - 1}"), 409, "stale_revision")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, ["name"]),
        ({"name": "x", "colour": "red"}, ["colour", "no such field"]),
        ({"name": 5}, ["name", "5"]),
        ({"name": "x" * 101}, ["name", "100"]),
        ({"name": "x", "instructions": "y" * 200_001}, ["instructions", "200"]),
        ({"name": "x", "id": "No Slug"}, ["id", "No Slug"]),
        ({"name": "x", "id": "../up"}, ["id"]),
        ({"name": "x", "directory": "/etc"}, ["directory", "relative"]),
        ({"name": "x", "directory": "a/../../b"}, ["directory", "relative"]),
        ({"name": "x", "max_turns": 0}, ["max_turns"]),
        ({"name": "x", "max_budget_usd": -1}, ["max_budget_usd"]),
        ({"name": "x", "permission_mode": "yolo"}, ["permission_mode", "yolo"]),
        ({"name": "x", "tools": "Bash"}, ["tools"]),
        ({"name": "x", "owner": "someone"}, ["owner", "no such field"]),
    ],
)
def test_wrong_definitions_are_refused_with_the_field_and_nothing_is_stored(
    server: Server, body: dict[str, Any], words: list[str]
) -> None:
    refused(server.post("api/agents", body), 400, "invalid_input", *words)
    assert server.get("api/agents").json()["items"] == []


def test_bodies_and_queries_that_are_none_are_refused(server: Server) -> None:
    server.agent()
    before = server.get("api/runs").json()["items"]
    refused(server.http.post("api/agents", content=b"{not json"), 400, "invalid_input", "not JSON")
    refused(server.http.post("api/agents", content=b"[1]"), 400, "invalid_input", "array")
    refused(server.http.post("api/agents", content=b"{" * 100_000), 400, "invalid_input")
    refused(server.http.post("api/agents", content=b'{"name": "\xff"}'), 400, "invalid_input")
    refused(server.get("api/agents?limit=0"), 400, "invalid_input", "limit")
    refused(server.get("api/agents?colour=red"), 400, "invalid_input", "colour")
    refused(server.get("api/agents?after=%F0%9F%98%80%00"), 400, "invalid_input")
    refused(server.get("api/runs?status=done"), 400, "invalid_input", "status", "done")
    refused(server.get("api/runs/not-an-id"), 404, "not_found")
    refused(server.get("api/runs/01890000-0000-7000-8000-000000000000/events"), 404, "not_found")
    refused(server.post("api/agents/helper/runs", {}), 400, "invalid_input", "prompt")
    refused(server.post("api/agents/helper/runs", {"prompt": ""}), 400, "invalid_input", "prompt")
    refused(server.post("api/agents/helper/runs", {"prompt": "x", "revision": 99}), 404, "not_found", "99")
    refused(server.post("api/agents/nobody/runs", {"prompt": "x"}), 404, "not_found", "nobody")
    refused(server.http.put("api/agents/helper", json={}), 405, "method_not_allowed", "PUT")
    refused(server.get("api/agents/helper/no/such"), 404, "not_found")
    assert server.get("api/runs").json()["items"] == before


def test_who_has_no_token_a_wrong_one_or_no_xsrf_gets_nothing(server: Server) -> None:
    server.agent()
    for headers in ({}, {"Authorization": "token wrong"}):
        for method, path in (("GET", "api/agents"), ("POST", "api/agents"), ("GET", "api/agents-health")):
            answer = httpx.request(method, server.url + path, headers=headers, json={} if method == "POST" else None)
            assert answer.status_code == 403, (method, path, answer.text)
            assert set(answer.json()) >= {"code", "message", "reason"}
    with httpx.Client(base_url=server.url) as browser:
        browser.get(f"lab?token={server.token}", follow_redirects=True)
        browser.get(f"?token={server.token}", follow_redirects=True)
        assert browser.get("api/agents").status_code == 200
        answer = browser.post("api/agents", json={"name": "x"})
        refused(answer, 403, "xsrf", "X-XSRFToken")
        xsrf = browser.cookies.get("_xsrf", path=None) or ""
        assert browser.post("api/agents", json={"name": "x"}, headers={"X-XSRFToken": xsrf}).status_code == 201


def test_health_says_what_works_and_what_runs(server: Server) -> None:
    health = server.get("api/agents-health").json()
    assert (health["status"], health["running"], health["problems"]) == ("ok", 0, [])


def test_a_home_that_cannot_be_written_is_said_and_works_when_it_is_mended(
    start_server: StartServer, tmp_path: Path
) -> None:
    blocked = tmp_path / "home" / ".local"
    blocked.write_text("a file where a folder should be")
    with start_server([say("Hello.")]) as server:
        body = refused(server.get("api/agents"), 503, "store_unavailable", str(blocked))
        assert "next request" in body["message"]
        health = server.get("api/agents-health")
        assert health.status_code == 503
        assert health.json()["problems"]
        blocked.unlink()
        assert server.get("api/agents").status_code == 200
        assert server.get("api/agents-health").status_code == 200


def test_the_notice_of_a_demo_model_stands_in_each_run(start_server: StartServer) -> None:
    with start_server([say("Hi.")], env={"JUPYTERHUB_AGENTS_NOTICE": "Scripted answers."}) as server:
        server.agent()
        assert server.start("hello")["notice"] == "Scripted answers."
        assert server.get("api/agents-health").json()["notice"] == "Scripted answers."
