"""Following a run over connections that break, without any connection."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from jupyterhub_agents.client.errors import TokenRefused, Unreachable, WorkspaceNotRunning
from jupyterhub_agents.client.follow import MAX_DELAY_S, BrokenStream, Follow, backoff
from jupyterhub_agents.ids import new_id, new_session_id
from jupyterhub_agents.models import Delta, Event, EventType, Run, RunStatus, Trigger

RUN_ID = new_id()
NOW = datetime.now(UTC)
PLACE = "http://127.0.0.1:1/"


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def follow(clock: Clock | None = None) -> Follow:
    return Follow(RUN_ID, PLACE, patience_s=60, clock=clock or Clock())


def event(seq: int) -> str:
    return Event(run_id=RUN_ID, seq=seq, time=NOW, type=EventType.STATUS, payload={}).model_dump_json()


def run(status: RunStatus, last_seq: int) -> str:
    return Run(
        id=RUN_ID, owner="ana", agent_id="a", agent_revision=1, trigger=Trigger.API, prompt="x", status=status,
        session_id=new_session_id(), conversation_id=RUN_ID, created_at=NOW, last_seq=last_seq,
    ).model_dump_json()  # fmt: skip


def test_events_come_once_and_in_order() -> None:
    state = follow()
    assert [bool(state.take("event", event(seq))) for seq in (1, 2, 1, 2, 3)] == [True, True, False, False, True]
    assert state.params == {"after": 3}


def test_a_gap_is_not_passed_on() -> None:
    state = follow()
    state.take("event", event(1))
    with pytest.raises(BrokenStream):
        state.take("event", event(3))
    assert state.params == {"after": 1}


def test_an_end_before_the_last_event_is_not_believed() -> None:
    state = follow()
    with pytest.raises(BrokenStream):
        state.take("end", run(RunStatus.SUCCEEDED, 2))
    assert state.ended is None


def test_the_end_ends_it() -> None:
    state = follow()
    state.take("run", run(RunStatus.RUNNING, 0))
    state.take("event", event(1))
    assert state.ended is None
    state.take("end", run(RunStatus.SUCCEEDED, 1))
    assert state.ended is not None


def test_what_cannot_be_read_breaks_the_stream() -> None:
    for kind in ("event", "delta", "run", "end"):
        with pytest.raises(BrokenStream):
            follow().take(kind, "{")


def test_kinds_of_a_later_version_are_passed_over() -> None:
    assert follow().take("weather", "{}") is None


def test_a_delta_has_no_number() -> None:
    state = follow()
    text = Delta(run_id=RUN_ID, kind="text", message_id="m", block=0, text="x").model_dump_json()
    assert state.take("delta", text) is not None
    assert state.params == {"after": 0}


def test_waits_double_up_to_a_limit_and_are_spread() -> None:
    assert 0.05 <= backoff(0) <= 0.1
    assert all(MAX_DELAY_S / 2 <= backoff(50) <= MAX_DELAY_S for _ in range(50))
    assert len({backoff(50) for _ in range(50)}) > 10


def test_without_contact_it_gives_up_after_its_patience() -> None:
    clock = Clock()
    state = follow(clock)
    state.connected()
    clock.time = 1000
    with pytest.raises(Unreachable, match=r"60 s.*went away.*after event 0"):
        for _ in range(1000):
            clock.time += state.lost(httpx.ReadError("went away"))
    assert 1060 <= clock.time < 1061


def test_contact_renews_its_patience() -> None:
    clock = Clock()
    state = follow(clock)
    for seq in range(1, 11):
        clock.time += 50
        state.lost(httpx.ReadError("went away"))
        state.connected()
        state.take("event", event(seq))


def test_a_quiet_connection_that_lasted_was_contact() -> None:
    clock = Clock()
    state = follow(clock)
    for _ in range(10):
        state.connected()
        clock.time += 50
        state.lost(httpx.ReadError("went away"))


def test_connections_that_break_at_once_are_given_up_too() -> None:
    clock = Clock()
    state = follow(clock)
    with pytest.raises(Unreachable):
        for _ in range(1000):
            state.connected()
            clock.time += state.lost(httpx.ReadError("went away")) + 0.01
    assert clock.time < 70


def test_a_workspace_that_restarts_is_waited_for_and_one_that_is_stopped_is_not() -> None:
    stopped = WorkspaceNotRunning("stopped")
    with pytest.raises(WorkspaceNotRunning):
        follow().lost(stopped)
    state = follow()
    state.connected()
    assert state.lost(stopped) > 0


def test_a_refused_token_is_not_tried_again() -> None:
    state = follow()
    state.connected()
    with pytest.raises(TokenRefused):
        state.lost(TokenRefused("no"))
