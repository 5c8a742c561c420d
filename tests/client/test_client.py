"""`AgentClient` against a real server: agents, runs, following them, and everything that can be wrong."""

from __future__ import annotations

import io
import secrets
import threading
import time

import pytest

from jupyterhub_agents.client import (
    AgentClient,
    NoWorkspace,
    RunFailed,
    Unreachable,
)
from jupyterhub_agents.errors import AlreadyExists, Conflict, InvalidInput, NotAllowed, NotFound, StaleRevision
from jupyterhub_agents.models import Delta, Event, Run, RunStatus, Trigger

from .conftest import Network, Server, until


def test_an_agent_is_made_changed_restored_and_deleted(client: AgentClient) -> None:
    agent = client.create_agent(f"Tidy {secrets.token_hex(4)}", instructions="Tidy up.", tools=["Read"])
    assert agent.id.startswith("tidy-")
    assert agent.directory == f"agents/{agent.id}"
    agent.update(instructions="Tidy up well.", max_turns=5)
    assert (agent.revision, agent.instructions, agent.record.tools) == (2, "Tidy up well.", ["Read"])
    assert [revision.revision for revision in agent.revisions()] == [2, 1]
    assert client.agent(agent.id, revision=1).instructions == "Tidy up."
    assert agent.restore(1).instructions == "Tidy up."
    assert agent.id in [other.id for other in client.agents()]
    agent.delete()
    assert agent.id not in [other.id for other in client.agents()]
    with pytest.raises(NotFound):
        client.agent(agent.id)


def test_saving_makes_or_changes(client: AgentClient) -> None:
    id = f"saved-{secrets.token_hex(4)}"
    assert client.save_agent(id, name="Saved", instructions="One.").revision == 1
    assert client.save_agent(id, name="Saved", instructions="One.").revision == 1
    assert client.save_agent(id, instructions="Two.").record.name == "Saved"


def test_of_two_changes_from_one_revision_the_second_is_told(client: AgentClient, agent_id: str) -> None:
    mine, theirs = client.agent(agent_id), client.agent(agent_id)
    theirs.update(instructions="Theirs.")
    with pytest.raises(StaleRevision) as refused:
        mine.update(instructions="Mine.")
    assert refused.value.current == 2
    mine.refresh().update(instructions="Mine.")


def test_wrong_input_is_refused(client: AgentClient, agent_id: str) -> None:
    with pytest.raises(AlreadyExists):
        client.create_agent("Again", id=agent_id)
    with pytest.raises(InvalidInput, match="max_turns"):
        client.create_agent("x", max_turns=0)
    with pytest.raises(InvalidInput, match="prompt"):
        client.run(agent_id, "")
    with pytest.raises(NotFound):
        client.run("nobody", "greet")


def test_long_lists_come_whole(client: AgentClient) -> None:
    prefix = f"many-{secrets.token_hex(4)}"
    ids = [f"{prefix}-{number:03}" for number in range(205)]
    for id in ids:
        client.create_agent(id)
    assert [agent.id for agent in client.agents() if agent.id.startswith(prefix)] == ids


def test_a_run_does_its_work_and_gives_its_words(client: AgentClient, agent_id: str, server: Server) -> None:
    run = client.agent(agent_id).run("write hello, please")
    assert run.result(timeout_s=60) == "It prints hello."
    assert (server.home / "agents" / agent_id / "hello.py").read_text() == "print('hello')\n"
    assert run.status is RunStatus.SUCCEEDED
    assert run.turns == 3
    assert run.cost_usd > 0
    assert run.record.trigger is Trigger.API


def test_events_come_live_and_can_be_read_again(client: AgentClient, agent_id: str) -> None:
    run = client.run(agent_id, "greet me")
    live = list(run)
    assert [event.seq for event in live] == list(range(1, len(live) + 1))
    assert run.status is RunStatus.SUCCEEDED
    assert list(run) == live
    assert client.get_run(run.id).history() == live
    assert list(run.events(after=3)) == live[3:]


def test_words_stream_as_they_are_made(client: AgentClient, agent_id: str) -> None:
    run = client.run(agent_id, "slow")
    began, times, text = time.monotonic(), [], ""
    for piece in run.text_stream():
        times.append(time.monotonic() - began)
        text += piece
    assert text == run.result() == " ".join(f"word{number}" for number in range(60))
    assert len(times) > 20
    assert times[-1] - times[0] > 1.5


def test_a_stream_has_deltas_events_and_the_record(client: AgentClient, agent_id: str) -> None:
    items = list(client.run(agent_id, "greet me").stream())
    assert {type(item) for item in items} == {Delta, Event, Run}
    last = items[-1]
    assert isinstance(last, Run)
    assert last.status is RunStatus.SUCCEEDED


def test_watching_writes_words_tools_and_outcome(client: AgentClient, agent_id: str) -> None:
    out = io.StringIO()
    client.run(agent_id, "write hello").watch(out)
    lines = out.getvalue().splitlines()
    assert lines[:4] == ["I write it first.", "● Write hello.py", "● Bash python3 hello.py", "It prints hello."]
    assert lines[-1].startswith("[succeeded · 3 turns · $")


def test_a_call_that_waits_is_seen_and_denied(client: AgentClient, agent_id: str) -> None:
    run = client.run(agent_id, "ask first")
    [approval] = until(run.approvals)
    assert (approval.tool, approval.input["command"], approval.state) == ("Bash", "git init asked-for", "waits")
    assert client.approvals(run.id)[0].record == approval.record
    assert "git init asked-for" in approval._repr_html_()
    approval.deny("Not here.")
    assert approval.state.startswith("denied by ")
    with pytest.raises(Conflict, match="decided already"):
        client.approval(approval.id).allow()
    out = io.StringIO()
    run.watch(out)
    shown = out.getvalue()
    assert f"! waits for consent: Bash git init asked-for  (jupyter agents approve {approval.id})" in shown
    assert "! denied by " in shown
    assert "✗ The person denied this call. They say: Not here." in shown
    assert run.status is RunStatus.SUCCEEDED
    assert list(run.approvals()) == []
    assert [each.id for each in run.approvals(waiting=None)] == [approval.id]


def test_what_is_allowed_always_becomes_the_agents(client: AgentClient, agent_id: str) -> None:
    run = client.run(agent_id, "ask first")
    [approval] = until(run.approvals)
    approval.allow("agent")
    assert run.result(timeout_s=60) == "After that."
    assert client.agent(agent_id).record.allowed_tools == approval.rules == ["Bash(git init *)"]


def test_characters_that_look_like_line_ends_arrive(client: AgentClient, agent_id: str) -> None:
    assert client.run(agent_id, "separators").result(timeout_s=60) == "a\u2028b\u0085c \x1b[31mred\x1b[0m"


def test_a_reply_goes_on_with_the_conversation(client: AgentClient, agent_id: str) -> None:
    first = client.run(agent_id, "greet me")
    first.result(timeout_s=60)
    second = first.reply("again")
    assert second.result(timeout_s=60) == "Once more, then."
    assert second.record.continues == first.id
    found = client.runs(conversation=first.record.conversation_id)
    assert [run.id for run in found] == [second.id, first.id]


def test_a_run_is_cancelled_and_resumed(client: AgentClient, agent_id: str) -> None:
    run = client.run(agent_id, "endless")
    until(lambda: any(event.payload.get("type") == "assistant" for event in run.history()))
    with pytest.raises(TimeoutError):
        run.wait(timeout_s=0.5)
    run.cancel()
    with pytest.raises(RunFailed) as failed:
        run.result(timeout_s=30)
    assert failed.value.run.status is RunStatus.CANCELLED
    with pytest.raises(Conflict):
        run.cancel()
    assert run.resume("greet me").result(timeout_s=60) == "Hello from the script."


def test_runs_are_listed_newest_first_and_by_status(client: AgentClient, agent_id: str) -> None:
    runs = [client.run(agent_id, "greet me").wait(60).id for _ in range(3)]
    assert [run.id for run in client.runs(agent_id)] == runs[::-1]
    assert [run.id for run in client.runs(agent_id, limit=2)] == runs[:0:-1]
    assert list(client.agent(agent_id).runs(status="failed")) == []


def test_a_reader_sees_no_gap_and_no_repeat_over_100_lost_connections(
    server: Server, network: Network, client: AgentClient, agent_id: str
) -> None:
    run = client.run(agent_id, "write hello")
    expected = list(run)
    # Each connection lasts for an event at least, after the headers and the run's record.
    least = max(len(event.model_dump_json()) for event in expected) + 3_000
    lost = 0
    with AgentClient(workspace_url=f"http://127.0.0.1:{network.port}/user/ana/", token=server.token) as flaky:
        handle = flaky.get_run(run.id)
        while lost < 100:
            network.cut_after = least + secrets.randbelow(2_000)
            network.cut()
            before = network.connections
            assert list(handle) == expected
            lost += network.connections - before - 1


def test_a_live_reader_survives_lost_connections(
    server: Server, network: Network, client: AgentClient, agent_id: str
) -> None:
    run = client.run(agent_id, "slow")
    stop = threading.Event()

    def cut() -> None:
        while not stop.wait(0.3):
            network.cut()

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        with AgentClient(workspace_url=f"http://127.0.0.1:{network.port}/user/ana/", token=server.token) as flaky:
            seen = list(until(lambda: flaky.get_run(run.id)))
    finally:
        stop.set()
        cutter.join()
    assert network.connections > 5
    assert seen == list(run)


def test_a_lost_server_is_given_up_after_a_while(server: Server, network: Network, agent_id: str) -> None:
    with AgentClient(
        workspace_url=f"http://127.0.0.1:{network.port}/user/ana/", token=server.token, patience_s=1
    ) as impatient:
        run = impatient.run(agent_id, "slow")
        events = iter(run)
        next(events)
        network.up = False
        network.cut()
        with pytest.raises(Unreachable, match=r"go on later after event \d+"):
            list(events)
        network.up = True
        assert run.wait(60).status is RunStatus.SUCCEEDED


def test_a_wrong_token_is_said_and_not_shown(server: Server) -> None:
    with server.client(token="wrong-token") as client:
        with pytest.raises(NotAllowed) as refused:
            client.agents()
        assert "token" in refused.value.message
        assert "wrong-token" not in refused.value.message + repr(client)


def test_a_server_that_is_not_there_is_said() -> None:
    with AgentClient(workspace_url="http://127.0.0.1:9/", token="x") as client:
        with pytest.raises(Unreachable) as refused:
            client.agents()
        assert "http://127.0.0.1:9/ cannot be reached" in refused.value.message


def test_a_server_without_agents_is_said(server: Server) -> None:
    with server.client(workspace_url=server.url + "files/") as client, pytest.raises(NoWorkspace):
        client.agents()


def test_handles_read_well(client: AgentClient, agent_id: str) -> None:
    agent = client.agent(agent_id).update(description="<b>bold</b> & co")
    assert repr(agent) == f"<agent {agent_id!r}, revision 2: {agent_id}>"
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; co" in agent._repr_html_()
    run = agent.run("greet me").wait(60)
    assert repr(run).startswith(f"<run {run.id} of {agent_id!r}: succeeded · 1 turn · $")
    assert "Hello from the script." in run._repr_html_()
    assert "<table>" in client.runs(agent_id)._repr_html_()
    assert "<b>" not in client.agents()._repr_html_()


def test_the_workspace_says_how_it_is(client: AgentClient) -> None:
    health = client.health()
    assert (health.status, health.notice, health.problems) == ("ok", None, [])
