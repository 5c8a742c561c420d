"""What is left of a budget, asked of a workspace that has no hub, and of one whose hub's service is away."""

from __future__ import annotations

from tests.workspace import Server, StartServer


def test_without_a_service_nobody_counts_and_nobody_limits(server: Server) -> None:
    answer = server.get("api/budget")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"counted": False, "contact": None, "budgets": []}


def test_a_service_that_is_away_is_said_with_whom_to_tell(start_server: StartServer) -> None:
    """Nothing listens on port 9 here."""
    with start_server([], env={"JUPYTERHUB_AGENTS_SERVICE_URL": "http://127.0.0.1:9/services/agents/"}) as server:
        answer = server.get("api/budget")
        assert (answer.status_code, answer.json()["code"]) == (503, "hub_unavailable")
        assert "does not answer" in answer.json()["message"] and "the hub's admin" in answer.json()["message"]
