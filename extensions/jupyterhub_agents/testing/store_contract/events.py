"""The clauses on events, and the changes to a run that come with them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from ...errors import InvalidInput, SequenceGap
from ...models import (
    EventType,
    RunChanges,
    RunError,
    RunStatus,
    RunUsage,
    TokenUsage,
)
from ...store import MAX_PAGE, AgentStore
from .clauses import Clauses
from .samples import (
    ODD_TEXT,
    T0,
    make_events,
    make_run,
    seqs,
)


class EventClauses(Clauses):
    # Events

    async def test_events_come_back_equal_and_in_order(self, store: AgentStore) -> None:
        run = make_run(self.owner)
        await store.create_run(run)
        events = [
            event.model_copy(update={"type": kind})
            for event, kind in zip(make_events(run, 1, 4, text=ODD_TEXT), EventType, strict=True)
        ]
        await store.append_events(self.owner, run.id, events[:3])
        await store.append_events(self.owner, run.id, events[3:])
        assert await store.list_events(self.owner, run.id) == events
        assert (await store.get_run(self.owner, run.id)).last_seq == 4

    async def test_a_payload_comes_back_as_the_same_json(self, store: AgentStore) -> None:
        run = make_run(self.owner)
        await store.create_run(run)
        payload: dict[str, Any] = {
            "z": 1, "a": [True, 1, 1.0, 0.1, -1.5e300, None, [], {}, ""], "large": 2**53 + 1, "larger": 2**70,
            "": {"": ""}, "key with . $ / [0] and `": 1, "__x__": 2, ODD_TEXT: ODD_TEXT, "deep": _nested(60),
        }  # fmt: skip
        await store.append_events(self.owner, run.id, make_events(run, 1, 1, **payload))
        (event,) = await store.list_events(self.owner, run.id)
        assert json.dumps(event.payload) == json.dumps({"n": 1, **payload})

    async def test_a_large_payload_is_stored(self, store: AgentStore) -> None:
        run = make_run(self.owner)
        await store.create_run(run)
        text = "0123456789abcde\n" * (self.large_payload // 16)
        await store.append_events(self.owner, run.id, make_events(run, 1, 1, text=text))
        (event,) = await store.list_events(self.owner, run.id)
        assert event.payload == {"n": 1, "text": text}

    async def test_half_of_a_surrogate_pair_is_refused_and_nothing_is_stored(self, store: AgentStore) -> None:
        run = make_run(self.owner)
        await store.create_run(run)
        broken = [*make_events(run, 1, 1), *make_events(run, 2, 2, text="\ud83e")]
        with pytest.raises(InvalidInput):
            await store.append_events(self.owner, run.id, broken, RunChanges(turns=1))
        assert await store.list_events(self.owner, run.id) == []
        assert await store.get_run(self.owner, run.id) == run

    async def test_events_are_listed_after_a_number_up_to_a_limit(self, store: AgentStore) -> None:
        run, neighbour = make_run(self.owner), make_run(self.owner)
        for each in (run, neighbour):
            await store.create_run(each)
            await store.append_events(self.owner, each.id, make_events(each, 1, 10))
        for after, limit, expected in (
            (0, 500, range(1, 11)),
            (0, 3, range(1, 4)),
            (3, 3, range(4, 7)),
            (8, MAX_PAGE, (9, 10)),
            (10, 1, ()),
            (11, 1, ()),
            (10**30, 1, ()),
        ):
            listed = await store.list_events(self.owner, run.id, after=after, limit=limit)
            assert seqs(listed) == list(expected)

    async def test_a_gap_is_refused_with_the_last_number_and_nothing_is_stored(self, store: AgentStore) -> None:
        run = make_run(self.owner)
        await store.create_run(run)
        for last in (0, 3):
            with pytest.raises(SequenceGap) as caught:
                await store.append_events(self.owner, run.id, make_events(run, last + 2, last + 3), RunChanges(turns=9))
            assert caught.value.last_seq == last
            stored = await store.get_run(self.owner, run.id)
            assert (stored.last_seq, stored.turns) == (last, 0)
            assert seqs(await store.list_events(self.owner, run.id)) == list(range(1, last + 1))
            if last == 0:
                await store.append_events(self.owner, run.id, make_events(run, 1, 3))

    async def test_events_sent_again_are_passed_over(self, store: AgentStore) -> None:
        run = make_run(self.owner)
        await store.create_run(run)
        await store.append_events(self.owner, run.id, make_events(run, 1, 3))
        await store.append_events(self.owner, run.id, make_events(run, 1, 3, changed=True))
        await store.append_events(self.owner, run.id, make_events(run, 2, 2, changed=True))
        assert await store.list_events(self.owner, run.id) == make_events(run, 1, 3)

    async def test_of_a_batch_that_overlaps_only_the_new_events_are_stored(self, store: AgentStore) -> None:
        run = make_run(self.owner)
        await store.create_run(run)
        await store.append_events(self.owner, run.id, make_events(run, 1, 3))
        await store.append_events(self.owner, run.id, make_events(run, 2, 5, again=True))
        assert await store.list_events(self.owner, run.id) == [
            *make_events(run, 1, 3),
            *make_events(run, 4, 5, again=True),
        ]

    async def test_events_out_of_order_or_of_another_run_are_refused_whole(self, store: AgentStore) -> None:
        run, another = make_run(self.owner), make_run(self.owner)
        await store.create_run(run)
        await store.create_run(another)
        one, two, three = make_events(run, 1, 3)
        foreign = make_events(another, 2, 2)
        for batch in ([two, one], [one, three], [one, one], [one, *foreign], foreign):
            with pytest.raises(InvalidInput):
                await store.append_events(self.owner, run.id, batch, RunChanges(turns=1))
        assert await store.get_run(self.owner, run.id) == run
        assert await store.list_events(self.owner, run.id) == []
        assert await store.list_events(self.owner, another.id) == []

    # Changes to a run

    async def test_changes_are_stored_with_their_events(self, store: AgentStore) -> None:
        run = make_run(self.owner, notice="Kept", turns=1)
        await store.create_run(run)
        changes = RunChanges(
            status=RunStatus.SUCCEEDED, started_at=T0, finished_at=T0 + timedelta(microseconds=1), turns=2,
            usage=RunUsage(models={"claude": TokenUsage(output_tokens=5)}, cost_usd=0.5), result=ODD_TEXT,
        )  # fmt: skip
        await store.append_events(self.owner, run.id, make_events(run, 1, 1), changes)
        expected = changes.applied_to(run).model_copy(update={"last_seq": 1})
        assert await store.get_run(self.owner, run.id) == expected
        assert (await store.list_runs(self.owner, statuses=[RunStatus.SUCCEEDED])).items == [expected]
        assert (await store.list_runs(self.owner, statuses=[RunStatus.QUEUED])).items == []

    async def test_a_change_may_come_without_events_and_may_clear_a_field(self, store: AgentStore) -> None:
        run = make_run(self.owner, error=RunError(code="crashed", message="It ended."), finished_at=T0, result="Old")
        await store.create_run(run)
        await store.append_events(self.owner, run.id, [], RunChanges(error=None, finished_at=None))
        stored = await store.get_run(self.owner, run.id)
        assert (stored.error, stored.finished_at, stored.result, stored.last_seq) == (None, None, "Old", 0)

    async def test_changes_are_applied_though_their_events_are_stored_already(self, store: AgentStore) -> None:
        run = make_run(self.owner)
        await store.create_run(run)
        await store.append_events(self.owner, run.id, make_events(run, 1, 2))
        await store.append_events(self.owner, run.id, make_events(run, 1, 2), RunChanges(turns=3))
        stored = await store.get_run(self.owner, run.id)
        assert (stored.turns, stored.last_seq) == (3, 2)

    async def test_a_change_that_no_run_can_have_is_refused_whole(self, store: AgentStore) -> None:
        run = make_run(self.owner)
        await store.create_run(run)
        for changes in (
            RunChanges(status=None),
            RunChanges(usage=None),
            RunChanges(turns=None),
            RunChanges(turns=-1),
        ):
            with pytest.raises(InvalidInput):
                await store.append_events(self.owner, run.id, make_events(run, 1, 1), changes)
        assert await store.get_run(self.owner, run.id) == run
        assert await store.list_events(self.owner, run.id) == []


def _nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]
    return value
