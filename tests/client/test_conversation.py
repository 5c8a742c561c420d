"""Speaking with the workspace's assistant, from Python and from the command line."""

from __future__ import annotations

import json

import pytest

from jupyterhub_agents.client import AgentClient, AsyncAgentClient
from jupyterhub_agents.errors import NotFound

from .conftest import Server, lines


def test_a_conversation_is_held_from_python(client: AgentClient) -> None:
    first = client.converse("please greet me")
    assert (first.status, first.text) == ("succeeded", "Hello from the script.")
    assert (first.component.type, first.agent_created) == ("text", None)
    second = client.converse("say it again", first.conversation_id)
    assert second.text == "Once more, then."
    assert second.conversation_id == first.conversation_id != second.run_id
    assert client.get_run(second.run_id).record.continues == first.run_id
    with pytest.raises(NotFound, match="conversationId"):
        client.converse("greet", "none")


@pytest.mark.anyio
async def test_a_conversation_is_held_from_a_program_with_a_loop(server: Server) -> None:
    async with AsyncAgentClient(workspace_url=server.url, token=server.token) as client:
        turn = await client.say("please greet me")
        assert "".join([text async for text in turn.text_stream()]) == "Hello from the script."
        assert (await client.answer(turn)).text == "Hello from the script."
        assert (await client.converse("again", turn.record.conversation_id)).text == "Once more, then."


def test_a_person_chats_on_the_command_line(server: Server) -> None:
    said = server.command("chat", "please", "greet", "me")
    assert (said.returncode, said.stdout) == (0, "Hello from the script.\n"), said.stderr
    go_on = next(line for line in said.stderr.splitlines() if "--conversation" in line)
    conversation = go_on.split("--conversation ")[1].split()[0]
    more = server.command("chat", "--conversation", conversation, "--json", "again")
    assert lines(more.stdout)[-1]["data"]["conversation_id"] == conversation
    assert lines(more.stdout)[-1]["data"]["result"] == "Once more, then."


def test_a_line_is_a_turn_where_no_message_is_given(server: Server) -> None:
    said = server.program("chat", "--json", input="please greet me\n\nagain\n")
    assert said.returncode == 0, said.stderr
    ends = [json.loads(line)["data"] for line in said.stdout.splitlines() if '"end"' in line[:20]]
    assert [run["result"] for run in ends] == ["Hello from the script.", "Once more, then."]
    assert ends[0]["conversation_id"] == ends[1]["conversation_id"]
