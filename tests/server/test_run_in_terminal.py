"""A run's session is offered to the terminal: once it has ended, and to nobody while it is at work."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from jupyterhub_agents.testing.replies import say, use
from tests.workspace import Server

LONG = {"command": "python3 -c 'import time; time.sleep(600)'"}
SCRIPT = {"work": [use("Bash", LONG), say("Never said.")]}


def test_a_runs_session_is_the_terminals_once_it_has_ended(server: Server) -> None:
    server.agent(tools=["Bash(*)"], directory="desk")
    run = server.start("work")
    route = f"api/runs/{run['id']}/terminal"
    server.seen(run["id"], "time.sleep")
    busy = server.post(route)
    assert busy.status_code == 409, busy.text
    assert server.post(f"api/runs/{run['id']}/cancel").status_code == 202
    server.finish(run["id"])

    answer = server.post(route)
    assert answer.status_code == 200, answer.text
    page = urlsplit(answer.json()["path"])
    assert page.path.startswith("claude-code/") and not page.netloc
    assert parse_qs(page.query)["arg"] == [run["session_id"]]

    unknown = server.post("api/runs/01900000000000000000000000/terminal")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    wrong = server.post(route, {"shell": "sh"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_input")
    assert server.http.post(route, json={}, headers={"Authorization": "token wrong"}).status_code == 403
