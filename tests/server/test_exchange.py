"""Agents as subagent files over HTTP, for pages."""

from __future__ import annotations

from tests.server.test_api import refused
from tests.workspace import Server

FILE = "---\nname: reader\ndescription: Reads.\ncolor: blue\ntools: Read, Bash(git diff:*)\n---\n\nRead it.\n"


def test_a_subagent_file_is_read_without_an_agent_being_made_and_written_as_it_was(server: Server) -> None:
    read = server.post("api/subagents", {"text": FILE})
    assert read.status_code == 200, read.text
    assert (read.json()["id"], read.json()["tools"]) == ("reader", ["Read", "Bash(git diff:*)"])
    assert server.get("api/agents").json()["items"] == []
    assert server.post("api/agents", read.json()).status_code == 201
    assert server.get("api/agents/reader/subagent").json() == {"name": "reader.md", "text": FILE}
    server.http.patch("api/agents/reader", json={"revision": 1, "instructions": "Skim it."})
    assert "Skim it." in server.get("api/agents/reader/subagent").json()["text"]
    assert server.get("api/agents/reader/subagent?revision=1").json()["text"] == FILE


def test_a_file_that_is_none_is_refused_with_the_line(server: Server) -> None:
    refused(server.post("api/subagents", {"text": "Hello"}), 400, "invalid_input", "line 1")
    wrong = FILE.replace("Read, Bash(git diff:*)", "[1]")
    refused(server.post("api/subagents", {"text": wrong}), 400, "invalid_input", "line 5", "tools")
    refused(server.get("api/agents/nobody/subagent"), 404, "not_found")
