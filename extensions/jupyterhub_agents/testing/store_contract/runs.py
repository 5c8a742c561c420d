"""The clauses on runs."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from functools import partial

import pytest

from ...errors import AlreadyExists, InvalidInput, NotFound
from ...ids import new_id
from ...models import (
    Event,
    EventType,
    RunChanges,
    RunError,
    RunStatus,
    RunUsage,
    TokenUsage,
    Trigger,
)
from ...store import AgentStore
from .clauses import Clauses
from .samples import (
    ODD_TEXT,
    T0,
    all_pages,
    ids,
    make_run,
    refused,
    rest,
)


class RunClauses(Clauses):
    async def test_a_run_comes_back_equal(self, store: AgentStore) -> None:
        run = make_run(
            self.owner, prompt=ODD_TEXT, continues=new_id(), status=RunStatus.FAILED, turns=7, trigger=Trigger.SCHEDULE,
            started_at=T0, finished_at=T0 + timedelta(microseconds=1), result=ODD_TEXT, notice=ODD_TEXT,
            error=RunError(code="timeout", message=ODD_TEXT),
            usage=RunUsage(models={"claude": TokenUsage(input_tokens=10**12, cost_usd=0.1)}, cost_usd=0.1),
        )  # fmt: skip
        plain = make_run(self.owner)
        await store.create_run(run)
        await store.create_run(plain)
        assert await store.get_run(self.owner, run.id) == run
        assert await store.get_run(self.owner, plain.id) == plain
        assert (await store.list_runs(self.owner, conversation_id=run.conversation_id)).items == [run]

    async def test_times_keep_their_microseconds_and_come_back_in_utc(self, store: AgentStore) -> None:
        elsewhere = datetime(2026, 10, 25, 2, 30, 0, 123_457, tzinfo=timezone(timedelta(hours=5, minutes=45)))
        run = make_run(self.owner, created_at=elsewhere, started_at=elsewhere)
        await store.create_run(run)
        event = Event(run_id=run.id, seq=1, time=elsewhere, type=EventType.STATUS, payload={})
        await store.append_events(self.owner, run.id, [event], RunChanges(finished_at=elsewhere))
        stored = await store.get_run(self.owner, run.id)
        (stored_event,) = await store.list_events(self.owner, run.id)
        for time in (stored.created_at, stored.started_at, stored.finished_at, stored_event.time):
            assert time == elsewhere
            assert time.utcoffset() == timedelta(0)

    async def test_a_run_id_in_use_is_refused_and_nothing_changes(self, store: AgentStore) -> None:
        run = make_run(self.owner)
        await store.create_run(run)
        with pytest.raises(AlreadyExists):
            await store.create_run(run.model_copy(update={"prompt": "Another"}))
        assert await store.get_run(self.owner, run.id) == run

    async def test_a_new_run_cannot_say_that_it_has_events(self, store: AgentStore) -> None:
        with pytest.raises(InvalidInput):
            await store.create_run(make_run(self.owner, last_seq=1))
        assert (await store.list_runs(self.owner)).items == []

    @pytest.mark.parametrize("run_id", ["01900000-0000-7000-8000-000000000000", "", "\0", "a/b", "..", "é"])
    async def test_a_run_that_never_was_is_not_found(self, store: AgentStore, run_id: str) -> None:
        await refused(
            NotFound,
            store.get_run(self.owner, run_id),
            store.list_events(self.owner, run_id),
            store.append_events(self.owner, run_id, []),
            store.append_events(self.owner, run_id, [], RunChanges(turns=1)),
        )

    async def test_runs_are_listed_newest_first_and_paged(self, store: AgentStore) -> None:
        runs = [make_run(self.owner, number) for number in range(7)]
        for run in (*runs[3:], *runs[:3]):
            await store.create_run(run)
        for limit in (1, 2, 7, 8):
            listed = await all_pages(partial(store.list_runs, self.owner, limit=limit), "before")
            assert listed == list(reversed(runs))

    async def test_runs_of_the_same_moment_are_listed_once_each(self, store: AgentStore) -> None:
        runs = [make_run(self.owner) for _ in range(7)]
        await asyncio.gather(*map(store.create_run, runs))
        listed = await all_pages(partial(store.list_runs, self.owner, limit=2), "before")
        assert ids(listed) == sorted(ids(runs), reverse=True)

    async def test_a_page_of_runs_goes_on_where_it_ended_after_new_runs(self, store: AgentStore) -> None:
        runs = [make_run(self.owner, number) for number in range(6)]
        await asyncio.gather(*map(store.create_run, runs))
        page = await store.list_runs(self.owner, limit=2)
        await asyncio.gather(*(store.create_run(make_run(self.owner, number)) for number in range(6, 9)))
        more = await rest(partial(store.list_runs, self.owner, limit=2), "before", page.next)
        assert ids((*page.items, *more)) == ids(reversed(runs))

    async def test_filters_of_runs_combine(self, store: AgentStore) -> None:
        conversations = [new_id(), new_id()]
        runs = [
            make_run(self.owner, number, agent_id=agent, conversation_id=conversation, status=status)
            for number, (agent, conversation, status) in enumerate(
                (agent, conversation, status)
                for agent in ("reviewer", "writer")
                for conversation in conversations
                for status in (RunStatus.RUNNING, RunStatus.WAITING, RunStatus.SUCCEEDED)
            )
        ]
        await asyncio.gather(*map(store.create_run, runs))
        for agent in (None, "reviewer", "nobody"):
            for conversation in (None, conversations[1], new_id()):
                for statuses in (None, {RunStatus.RUNNING}, [RunStatus.SUCCEEDED, RunStatus.WAITING], ()):
                    expected = [
                        run.id
                        for run in reversed(runs)
                        if agent in (None, run.agent_id)
                        and conversation in (None, run.conversation_id)
                        and (statuses is None or run.status in statuses)
                    ]
                    listed = await all_pages(
                        partial(
                            store.list_runs, self.owner,
                            agent_id=agent, conversation_id=conversation, statuses=statuses, limit=3,
                        ),
                        "before",
                    )  # fmt: skip
                    assert ids(listed) == expected
