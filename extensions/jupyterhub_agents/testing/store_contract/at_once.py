"""The clauses on calls at once, and on opening and closing."""

from __future__ import annotations

import asyncio

from ...errors import AgentsError, AlreadyExists, NotFound, SequenceGap
from ...models import (
    Run,
    RunChanges,
    RunStatus,
)
from ...store import AgentStore
from .clauses import Clauses
from .samples import (
    Reopen,
    full_spec,
    ids,
    make_events,
    make_run,
    outcomes,
    seqs,
    spec,
)


class ConcurrencyClauses(Clauses):
    # Calls at once

    async def test_readers_see_a_call_whole_or_not_at_all(self, store: AgentStore) -> None:
        run = make_run(self.owner)
        await store.create_run(run)

        async def write() -> None:
            for batch in range(1, 21):
                events = make_events(run, batch * 10 - 9, batch * 10)
                await store.append_events(self.owner, run.id, events, RunChanges(turns=batch))

        writing = asyncio.create_task(write())
        try:
            while True:
                done = writing.done()
                stored = await store.get_run(self.owner, run.id)
                assert stored.last_seq == stored.turns * 10
                listed = seqs(await store.list_events(self.owner, run.id))
                assert listed == list(range(1, len(listed) + 1))
                assert len(listed) % 10 == 0
                assert len(listed) >= stored.last_seq
                if done:
                    break
        finally:
            await writing
        assert stored.last_seq == 200

    async def test_twenty_runs_are_written_at_once(self, store: AgentStore) -> None:
        runs = [make_run(self.owner, number) for number in range(20)]

        async def work(run: Run) -> None:
            await store.create_run(run)
            for first in range(1, 26, 5):
                await store.append_events(self.owner, run.id, make_events(run, first, first + 4, of=run.prompt))
            await store.append_events(self.owner, run.id, [], RunChanges(status=RunStatus.SUCCEEDED))

        await asyncio.gather(*map(work, runs))
        for run in runs:
            assert await store.list_events(self.owner, run.id) == make_events(run, 1, 25, of=run.prompt)
            stored = await store.get_run(self.owner, run.id)
            assert (stored.status, stored.last_seq) == (RunStatus.SUCCEEDED, 25)

    async def test_a_call_refused_leaves_the_calls_beside_it_untouched(self, store: AgentStore) -> None:
        run = make_run(self.owner)
        await store.create_run(run)
        made, failed = await outcomes(
            call
            for number in range(10)
            for call in (
                store.create_agent(self.owner, f"agent-{number}", spec()),
                store.create_run(run),
                store.append_events(self.owner, run.id, make_events(run, 100, 100)),
                store.update_agent(self.owner, "nobody", spec(), revision=1),
            )
        )
        assert len(made) == 10
        assert {type(error) for error in failed} == {AlreadyExists, SequenceGap, NotFound}
        assert ids((await store.list_agents(self.owner)).items) == [f"agent-{number}" for number in range(10)]
        assert await store.get_run(self.owner, run.id) == run

    async def test_cancelled_callers_leave_whole_calls_and_a_store_that_works(self, store: AgentStore) -> None:
        runs = [make_run(self.owner, number) for number in range(10)]
        await asyncio.gather(*map(store.create_run, runs))
        for turn in range(5):
            tasks = [
                asyncio.create_task(store.append_events(self.owner, run.id, make_events(run, 1, 10))) for run in runs
            ]
            for _ in range(turn):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for number, run in enumerate(runs):
            stored = seqs(await store.list_events(self.owner, run.id))
            assert stored in ([], list(range(1, 11)))
            assert stored or number % 2 == 0, "a call that was not cancelled is stored"
            await store.append_events(self.owner, run.id, make_events(run, 1, 11))
            assert len(await store.list_events(self.owner, run.id)) == 11

    # Opening and closing

    async def test_what_was_stored_is_there_in_another_store_on_the_same_data(
        self, store: AgentStore, reopen: Reopen
    ) -> None:
        agent = await store.create_agent(self.owner, "reviewer", full_spec())
        run = make_run(self.owner)
        await store.create_run(run)
        await store.append_events(self.owner, run.id, make_events(run, 1, 3), RunChanges(turns=2))
        run = await store.get_run(self.owner, run.id)
        await store.close()
        again = await reopen()
        assert await again.get_agent(self.owner, "reviewer") == agent
        assert await again.get_run(self.owner, run.id) == run
        assert await again.list_events(self.owner, run.id) == make_events(run, 1, 3)
        await again.append_events(self.owner, run.id, make_events(run, 4, 4))

    async def test_two_stores_on_the_same_data_see_each_others_writes(self, store: AgentStore, reopen: Reopen) -> None:
        second = await reopen()
        run = make_run(self.owner)
        await store.create_run(run)
        await second.append_events(self.owner, run.id, make_events(run, 1, 2))
        await store.append_events(self.owner, run.id, make_events(run, 1, 3))
        assert seqs(await second.list_events(self.owner, run.id)) == [1, 2, 3]
        _, failed = await outcomes(
            each.create_agent(self.owner, f"agent-{number}", spec()) for number in range(10) for each in (store, second)
        )
        assert [type(error) for error in failed] == [AlreadyExists] * 10

    async def test_closing_waits_for_the_calls_that_were_begun(self, store: AgentStore, reopen: Reopen) -> None:
        runs = [make_run(self.owner, number) for number in range(20)]
        begun = [asyncio.create_task(store.create_run(run)) for run in runs]
        await asyncio.sleep(0)
        await store.close()
        made = [run.id for run, answer in zip(runs, await _settled(begun), strict=True) if answer is None]
        again = await reopen()
        assert sorted(ids((await again.list_runs(self.owner)).items)) == sorted(made)

    async def test_closing_twice_is_fine(self, store: AgentStore) -> None:
        await store.close()
        await store.close()


async def _settled(tasks: list[asyncio.Task[None]]) -> list[AgentsError | None]:
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    for answer in answers:
        assert answer is None or isinstance(answer, AgentsError)
    return answers  # type: ignore[return-value]  # none is an error here
