"""The warm pool: CLIs that wait for runs, for the right ones only, within bounds, and without a trace."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client import REGISTRY

from jupyterhub_agents.models import AgentSpec, Decision, Event, PermissionMode, RunStatus
from jupyterhub_agents.runtime.memory import available_mb, resident_mb
from jupyterhub_agents.testing.replies import say, silent, use
from tests.processes import Family

pytestmark = pytest.mark.anyio

ONE = {"size": 1, "spare_memory_mb": 0}
HELLO = [say("Hello.")] * 20


def taken(outcome: str) -> float:
    return REGISTRY.get_sample_value("jupyterhub_agents_warm_starts_total", {"outcome": outcome}) or 0


async def warmed(bench: Any, count: int = 1) -> None:
    """Wait until so many CLIs wait, ready."""

    async def ready() -> bool:
        waiting = bench.manager.pool._waiting
        return len(waiting) == count and all(warm.ready for warm in waiting)

    await bench.until(ready)


def clis(below: Family) -> list[psutil.Process]:
    """The CLIs that run below the test, without their reapers."""
    found = []
    for process in below():
        with suppress(psutil.NoSuchProcess):  # one that is ending is none any more
            if Path(process.exe()).name == "claude":
                found.append(process)
    return found


def private_files(bench: Any) -> list[Path]:
    return list((bench.home.parent / "state" / "runs").iterdir())


def kinds(events: list[Event]) -> list[tuple[str, ...]]:
    """What happened, without what differs from run to run."""
    return [
        (event.type.value, *(str(event.payload.get(name)) for name in ("type", "subtype", "status", "result")))
        for event in events
    ]


async def test_nothing_is_started_before_a_person_has_run_something(workshop: Any, below: Family) -> None:
    async with workshop(HELLO, pool=ONE) as bench:
        agent = await bench.agent()
        bench.manager.pool.changed(agent.id, agent)
        bench.manager.pool.fill()
        await asyncio.sleep(0.3)
        assert not below()
        await bench.do("hello")
        await warmed(bench)
        assert len(clis(below)) == 1


async def test_a_warm_run_is_like_a_cold_one(workshop: Any, below: Family) -> None:
    async with workshop([use("Bash", {"command": "echo here"}), say("Done.")], pool=ONE) as bench:
        await bench.agent(tools=["Bash(echo:*)"], instructions="Be brief.", max_turns=2)
        cold = await bench.do("hello")
        await warmed(bench)
        asked_before, [cli] = len(bench.model.requests), clis(below)
        hits = taken("hit")
        warm = await bench.do("hello")
        assert taken("hit") == hits + 1
        assert not cli.is_running()
        assert kinds(await bench.events(warm)) == kinds(await bench.events(cold))
        assert (warm.status, warm.result, warm.turns) == (RunStatus.SUCCEEDED, "Done.", cold.turns)
        assert warm.usage.models.keys() == cold.usage.models.keys()
        assert warm.session_id != cold.session_id
        told = [event.payload["session_id"] for event in await bench.events(warm) if "session_id" in event.payload]
        assert set(told) == {warm.session_id}
        # Of the waiting the model was told nothing: the first request is the same, but for the names of the session.
        first, same = bench.model.requests[0].body, bench.model.requests[asked_before].body
        assert words(same, warm.session_id) == words(first, cold.session_id)


def words(body: dict[str, Any], session_id: str) -> str:
    said = [message["content"] for message in body["messages"]]
    return str(said).replace(session_id, "SESSION")


async def test_waiting_asks_nothing_of_the_model_and_stores_nothing(workshop: Any) -> None:
    async with workshop(HELLO, pool=ONE) as bench:
        await bench.agent()
        run = await bench.do("hello")
        asked = len(bench.model.requests)
        await warmed(bench)
        [warm] = bench.manager.pool._waiting
        assert (bench.manager.unfinished, bench.manager.working) == (0, 0)
        await bench.manager.shut_down()
        assert len(bench.model.requests) == asked
        listed = [session async for session in transcripts_of(bench)]
        assert warm.session_id not in listed
        assert run.session_id in listed
        assert len((await bench.store.list_runs("ana")).items) == 1


async def transcripts_of(bench: Any) -> Any:
    for file in (bench.home / ".claude").glob("projects/*/*.jsonl"):
        yield file.stem


async def test_a_waiting_cli_goes_on_when_its_run_is_continued_and_resumed(workshop: Any) -> None:
    async with workshop({"first": [say("One.")], "next": [say("Two.")]}, pool=ONE) as bench:
        await bench.agent()
        await bench.do("first")
        await warmed(bench)
        run = await bench.do("first")
        following = await bench.do("next", continues=run.id)
        assert (following.result, following.session_id) == ("Two.", run.session_id)


async def test_a_warm_run_asks_its_own_person_and_what_they_allow_for_ever_ends_what_waits(workshop: Any) -> None:
    work = use("Bash", {"command": "echo made >> a"})
    async with workshop({"hello": HELLO, "work": [work, say("Done.")]}, pool=ONE) as bench:
        await bench.agent()
        await bench.do("hello")
        await warmed(bench)
        hits = taken("hit")
        run = await bench.start("work")

        async def asked() -> bool:
            return bool((await bench.store.list_approvals("ana", waiting=True)).items)

        await bench.until(asked)
        [approval] = (await bench.store.list_approvals("ana", waiting=True)).items
        assert (approval.run_id, taken("hit")) == (run.id, hits + 1)
        await bench.manager.decide(approval.id, Decision.AGENT, message=None, by="ana")
        assert (await bench.finish(run)).result == "Done."
        assert (bench.home / "agents" / "helper" / "a").read_text() == "made\n"
        await warmed(bench)
        assert bench.manager.pool._waiting[0].recipe.agent.revision == 2


async def test_only_the_very_same_agent_is_served(workshop: Any, below: Family) -> None:
    async with workshop(HELLO, pool=ONE) as bench:
        agent = await bench.agent(instructions="I am the first.")
        await bench.agent("other", instructions="I am another.")
        await bench.do("hello")
        await warmed(bench)
        hits = taken("hit")
        # Behind the pool's back: another of the same name, and with the same revision.
        await bench.store.delete_agent("ana", agent.id, revision=1)
        await bench.agent(instructions="I am the second.")
        await bench.do("hello", "other")
        await bench.do("hello")
        assert taken("hit") == hits
        assert "I am the second." in str(bench.model.requests[-1].body["system"])


async def test_another_environment_or_directory_is_not_served(workshop: Any, tmp_path: Path) -> None:
    async with workshop(HELLO, pool=ONE) as bench:
        await bench.agent(directory="work")
        await bench.do("hello")
        await warmed(bench)
        hits = taken("hit")
        bench.manager.environment = {**bench.manager.environment, "COLOUR": "blue"}
        await bench.do("hello")
        await warmed(bench)
        assert taken("hit") == hits
        # The folder is another now, of the same name.
        (bench.home / "work").rename(bench.home / "elsewhere")
        (bench.home / "work").symlink_to(bench.home / "elsewhere")
        await bench.do("hello")
        assert taken("hit") == hits


async def test_a_change_or_deletion_of_the_agent_ends_what_waits_for_it(workshop: Any, below: Family) -> None:
    async with workshop(HELLO, pool=ONE) as bench:
        agent = await bench.agent()
        await bench.do("hello")
        await warmed(bench)
        [old] = clis(below)
        spec = AgentSpec(**{**agent.spec.model_dump(), "permission_mode": PermissionMode.PLAN})
        changed = await bench.store.update_agent("ana", agent.id, spec, revision=1)
        bench.manager.pool.changed(agent.id, changed)
        assert bench.manager.pool.take(agent) is None
        await bench.until(lambda: asyncio.sleep(0, not old.is_running()))
        await warmed(bench)
        assert bench.manager.pool._waiting[0].recipe.agent.revision == 2
        bench.manager.pool.changed(agent.id, None)
        await bench.until(lambda: asyncio.sleep(0, not below()))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_waiting_cli_that_was_killed_or_stopped_is_replaced_unnoticed(
    workshop: Any, below: Family, number: signal.Signals
) -> None:
    async with workshop(HELLO, pool=ONE) as bench:
        await bench.agent()
        await bench.do("hello")
        await warmed(bench)
        [cli] = clis(below)
        hits = taken("hit")
        cli.send_signal(number)
        if number == signal.SIGSTOP:
            await bench.until(lambda: asyncio.sleep(0, cli.status() == psutil.STATUS_STOPPED))
        # A kill takes a while: it is noticed before the run has the CLI, or when that gets the prompt.
        run = await bench.do("hello")
        assert (run.status, run.result, run.error) == (RunStatus.SUCCEEDED, "Hello.", None)
        assert taken("hit") == hits or number == signal.SIGKILL
        await bench.until(lambda: asyncio.sleep(0, not cli.is_running()))


async def test_no_more_wait_than_may_and_the_likeliest_do(workshop: Any, below: Family) -> None:
    async with workshop(HELLO, pool={**ONE, "size": 2, "memory_mb": 100_000}) as bench:
        for name in ("often", "seldom", "now"):
            await bench.agent(name)
        for name in ("often", "often", "seldom", "often", "now", "now"):
            await bench.do("hello", name)

        async def the_likeliest_wait() -> bool:
            waiting = bench.manager.pool._waiting
            return {warm.recipe.agent.id for warm in waiting} == {"often", "now"} and all(w.ready for w in waiting)

        await bench.until(the_likeliest_wait)
        await bench.until(lambda: asyncio.sleep(0, len(clis(below)) == 2))


async def test_what_takes_too_much_memory_is_ended_and_not_started_again(workshop: Any, below: Family) -> None:
    async with workshop(HELLO, pool=ONE) as bench:
        await bench.agent()
        await bench.do("hello")
        await warmed(bench)
        [cli] = clis(below)
        size = resident_mb(cli.ppid())
        assert size > 50
        bench.manager.pool.memory_mb = int(size / 2)
        bench.manager.pool.fill()
        await bench.until(lambda: asyncio.sleep(0, not below()))
        await bench.do("hello")
        bench.manager.pool.fill()
        await asyncio.sleep(0.5)
        assert not below()


async def test_nothing_waits_where_memory_is_short(workshop: Any, below: Family) -> None:
    async with workshop(HELLO, pool={**ONE, "spare_memory_mb": 10**9}) as bench:
        await bench.agent()
        await bench.do("hello")
        await asyncio.sleep(0.5)
        assert not below()


async def test_nothing_is_started_ahead_while_there_is_more_to_do_than_can_be_done(
    workshop: Any, below: Family
) -> None:
    async with workshop({"hello": HELLO, "work": [silent(60)]}, pool=ONE, max_running=1) as bench:
        await bench.agent()
        queued = [await bench.start("hello"), await bench.start("work")]
        await bench.finish(queued[0])
        await bench.seen(queued[1], '"init"')
        assert bench.manager.pool.waiting == 0
        await bench.manager.cancel(queued[1].id)
        await warmed(bench)


async def test_what_nobody_takes_ends_after_a_while(workshop: Any, below: Family) -> None:
    async with workshop(HELLO, pool={**ONE, "idle_s": 1.0}) as bench:
        await bench.agent()
        await bench.do("hello")
        await warmed(bench)
        await bench.until(lambda: asyncio.sleep(0, not below()))
        await bench.until(lambda: asyncio.sleep(0, not private_files(bench)))


async def test_nothing_waits_where_settings_on_disk_count(workshop: Any, below: Family) -> None:
    async with workshop(HELLO, pool=ONE, setting_sources=["project"]) as bench:
        await bench.agent()
        await bench.do("hello")
        await asyncio.sleep(0.5)
        assert not below()


async def test_stopping_the_server_leaves_nothing_that_waited(workshop: Any, below: Family) -> None:
    for moment in (0.0, 0.1, 0.3, 2.0):
        async with workshop(HELLO, pool=ONE) as bench:
            if moment == 0:
                await bench.agent(instructions="Secret.")
            await bench.do("hello")
            await asyncio.sleep(moment)
            async with asyncio.timeout(8):
                await bench.manager.shut_down()
            assert not below()
            assert not private_files(bench)


async def test_a_run_that_is_cancelled_while_its_cli_gets_warm_leaves_nothing(workshop: Any, below: Family) -> None:
    async with workshop(HELLO, pool=ONE) as bench:
        await bench.agent()
        await bench.do("hello")
        await bench.until(lambda: asyncio.sleep(0, bench.manager.pool.waiting == 1))
        [warm] = bench.manager.pool._waiting
        run = await bench.start("hello")
        assert run.session_id == warm.session_id
        assert (await bench.manager.cancel(run.id)).status is RunStatus.CANCELLED
        await bench.manager.shut_down()
        assert not below()


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Path]:
    """A control group inside another, as a container's process finds them."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/pod/container\n")
    inner = tmp_path / "cgroup" / "pod" / "container"
    inner.mkdir(parents=True)
    yield inner


async def test_the_tightest_limit_around_a_process_counts(group: Path, tmp_path: Path) -> None:
    def limit(folder: Path, most: str, used: int, cached: int) -> None:
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 1\ninactive_file {cached}\n")

    def left() -> float:
        return available_mb(tmp_path / "proc", tmp_path / "cgroup")

    machine = left()
    assert machine > 10
    limit(group, "max", 5_000_000, 0)
    assert left() > 10
    limit(group, "8000000", 5_000_000, 1_000_000)
    assert left() == 4
    limit(group.parent, "7000000", 5_000_000, 0)
    assert left() == 2
