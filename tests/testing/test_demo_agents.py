"""The demo model speaks about agents, through the real conversation, CLI and MCP server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jupyterhub_agents.testing.demo_agents import ABILITIES
from jupyterhub_agents.testing.demo_model import DEMO_NOTICE, DemoModel
from tests.workspace import Place, Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = Place(tmp_path_factory.mktemp("demo"))
    with DemoModel() as model, place.start([], env=model.env()) as running:
        yield running
    place.close()


def converse(server: Server, message: str, conversation: str | None = None) -> dict[str, Any]:
    body = {"message": message, **({"conversationId": conversation} if conversation else {})}
    answer = server.post("api/conversation", body, timeout=90)
    assert answer.status_code == 200, answer.text
    assert DEMO_NOTICE in answer.json()["text"]
    return dict(answer.json())


def test_a_newcomer_makes_lists_changes_and_runs_an_agent_in_plain_words(server: Server) -> None:
    made = converse(server, "Hello! Please make me an agent named Scribe that writes notes.")
    assert made["agentCreated"] == {"id": "scribe", "name": "Scribe", "revision": 1}
    chat = made["conversationId"]
    assert "`scribe`: Scribe" in converse(server, "Which agents do I have?", chat)["text"]
    changed = converse(server, "Change Scribe so that it writes short notes.", chat)
    assert changed["component"] == {"type": "agent", "agentId": "scribe", "runId": None}
    assert "writes short notes" in server.get("api/agents/scribe").json()["instructions"]
    ran = converse(server, "Have Scribe write notes.md about whales.", chat)
    assert ran["component"]["type"] == "run"
    assert server.run(ran["component"]["runId"])["status"] == "succeeded"
    assert "# Whales" in (server.home / "agents" / "scribe" / "notes.md").read_text()


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("Explain quantum physics.", ABILITIES.splitlines()[0]),
        ("I want an agent.", "Please say what it should do"),
        ("Have nobody write notes.md.", "There is no agent “nobody”"),
    ],
)
def test_what_it_does_not_understand_it_says(server: Server, message: str, answer: str) -> None:
    told = converse(server, message)
    assert answer in told["text"]
    assert told["agentCreated"] is None
