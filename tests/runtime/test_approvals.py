"""Tool calls that need a person: held, decided, and made exactly once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from claude_agent_sdk import ToolPermissionContext

from jupyterhub_agents.errors import Conflict, InvalidInput, NotFound, StoreUnavailable
from jupyterhub_agents.ids import utcnow
from jupyterhub_agents.models import Approval, Decision, EventType, Run, RunStatus
from jupyterhub_agents.runtime.approvals import Gate
from jupyterhub_agents.runtime.manager import RunManager
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.testing.replies import say, use

from .conftest import OWNER, Bench
from .test_recorder import recording

pytestmark = pytest.mark.anyio

AGAIN = "has decided meanwhile"
"""In what a session is told that goes on after a break."""


def mark(name: str) -> Any:
    """A call that leaves a line each time it is made, and needs consent."""
    return use("Bash", {"command": f"echo made >> {name}"})


def made(bench: Bench, name: str) -> int:
    """How often it was made."""
    file = bench.home / "agents" / "helper" / name
    return len(file.read_text().splitlines()) if file.exists() else 0


async def waiting(bench: Bench, count: int = 1) -> list[Approval]:
    """The calls that wait, oldest first, when there are so many."""

    async def there() -> bool:
        return len((await bench.store.list_approvals(OWNER, waiting=True)).items) == count

    await bench.until(there)
    return list(reversed((await bench.store.list_approvals(OWNER, waiting=True)).items))


async def decide(bench: Bench, approval: Approval, decision: Decision, message: str | None = None) -> Approval:
    return await bench.manager.decide(approval.id, decision, message=message, by="ana")


async def status(bench: Bench, run: Run, wanted: RunStatus) -> None:
    async def there() -> bool:
        return (await bench.manager.get(run.id)).status is wanted

    await bench.until(there)


async def said(bench: Bench, run: Run, type: EventType) -> list[dict[str, Any]]:
    return [event.payload for event in await bench.events(run) if event.type is type]


async def test_a_call_waits_for_a_person_and_is_made_when_they_allow_it(workshop: Any) -> None:
    async with workshop([say("I ask.") + mark("a"), say("Done.")]) as bench:
        await bench.agent()
        run = await bench.start("work")
        [approval] = await waiting(bench)
        assert (approval.tool, approval.run_id, approval.agent_id) == ("Bash", run.id, "helper")
        assert approval.input["command"] == "echo made >> a"
        await status(bench, run, RunStatus.WAITING)
        assert made(bench, "a") == 0
        decided = await decide(bench, approval, Decision.ONCE)
        assert (decided.decision, decided.decided_by) == (Decision.ONCE, "ana")
        ended = await bench.finish(run)
        assert (ended.status, ended.result, made(bench, "a")) == (RunStatus.SUCCEEDED, "Done.", 1)
        statuses = [payload["status"] for payload in await said(bench, run, EventType.STATUS)]
        assert statuses == ["queued", "running", "waiting", "running", "succeeded"]
        asked, told = await said(bench, run, EventType.APPROVAL)
        assert Approval.model_validate(asked) == approval
        assert (told["id"], told["decision"], told["decided_by"]) == (approval.id, "once", "ana")
        assert (await bench.store.get_approval(OWNER, approval.id)).delivered_at is not None


async def test_a_denial_reaches_claude_with_the_persons_words(workshop: Any) -> None:
    async with workshop([mark("a"), say("I leave it.")]) as bench:
        await bench.agent()
        run = await bench.start("work")
        [approval] = await waiting(bench)
        await decide(bench, approval, Decision.DENY, "Use the other disk.")
        ended = await bench.finish(run)
        assert (ended.status, ended.result, made(bench, "a")) == (RunStatus.SUCCEEDED, "I leave it.", 0)
        assert "Use the other disk." in str(bench.model.messages[-1].body["messages"])


async def test_always_for_this_run_asks_once_and_the_next_run_asks_again(workshop: Any) -> None:
    script = {"work": [mark("a"), mark("a"), say("Done.")]}
    async with workshop(script) as bench:
        await bench.agent()
        for turn in (1, 2):
            run = await bench.start("work")
            [approval] = await waiting(bench)
            assert approval.rules == ["Bash(echo made *)", f"Edit(/{bench.home}/agents/helper/**)"]
            await decide(bench, approval, Decision.RUN)
            assert (await bench.finish(run)).status is RunStatus.SUCCEEDED
            assert made(bench, "a") == 2 * turn
        assert (await bench.store.get_agent(OWNER, "helper")).revision == 1


async def test_always_for_this_agent_is_a_new_revision_and_is_asked_no_more(workshop: Any) -> None:
    script = {"work": [mark("a"), mark("a"), say("Done.")]}
    async with workshop(script) as bench:
        await bench.agent()
        run = await bench.start("work")
        [approval] = await waiting(bench)
        await decide(bench, approval, Decision.AGENT)
        assert (await bench.finish(run)).status is RunStatus.SUCCEEDED
        agent = await bench.store.get_agent(OWNER, "helper")
        assert (agent.revision, agent.allowed_tools) == (2, approval.rules)
        assert (await bench.do("work")).status is RunStatus.SUCCEEDED
        assert made(bench, "a") == 4


async def test_an_edit_is_allowed_always_within_the_agents_directory(workshop: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    script = [
        use("Write", {"file_path": "one.txt", "content": "1"}),
        use("Write", {"file_path": "sub/two.txt", "content": "2"}),
        use("Write", {"file_path": str(outside), "content": "3"}),
        say("Done."),
    ]
    async with workshop(script) as bench:
        await bench.agent()
        run = await bench.start("work")
        folder = bench.home / "agents" / "helper"
        [first] = await waiting(bench)
        assert first.rules == [f"Edit(/{folder}/**)"]
        await decide(bench, first, Decision.RUN)
        [other] = await waiting(bench)
        assert other.input["file_path"] == str(outside)
        assert (folder / "sub" / "two.txt").read_text() == "2"
        await decide(bench, other, Decision.DENY)
        assert (await bench.finish(run)).status is RunStatus.SUCCEEDED
        assert not outside.exists()


async def test_of_two_who_decide_at_once_one_wins_and_the_other_is_told(workshop: Any) -> None:
    async with workshop([mark("a"), say("Done.")]) as bench:
        await bench.agent()
        run = await bench.start("work")
        [approval] = await waiting(bench)
        answers = await asyncio.gather(
            bench.manager.decide(approval.id, Decision.ONCE, message=None, by="ana"),
            bench.manager.decide(approval.id, Decision.DENY, message=None, by="ben"),
            return_exceptions=True,
        )
        [winner] = [answer for answer in answers if isinstance(answer, Approval)]
        [loser] = [answer for answer in answers if isinstance(answer, Conflict)]
        assert winner.decided_by in loser.message
        await bench.finish(run)
        assert made(bench, "a") == (winner.decision is Decision.ONCE)


async def test_decisions_that_cannot_be_are_refused_and_the_call_goes_on_waiting(workshop: Any) -> None:
    compound = use("Bash", {"command": "cd /tmp && echo made >> x; ls | cat > y"})
    async with workshop([compound, say("Done.")]) as bench:
        await bench.agent()
        run = await bench.start("work")
        [approval] = await waiting(bench)
        assert approval.rules == []
        await status(bench, run, RunStatus.WAITING)
        for decision in (Decision.RUN, Decision.AGENT):
            with pytest.raises(InvalidInput, match="once only"):
                await decide(bench, approval, decision)
        with pytest.raises(NotFound):
            await bench.manager.decide(run.id, Decision.ONCE, message=None, by="ana")
        with pytest.raises(Conflict, match="waits for a person"):
            await bench.manager.resume(run.id)
        assert await waiting(bench) == [approval]
        await decide(bench, approval, Decision.DENY)
        await bench.finish(run)
        with pytest.raises(Conflict, match="ana"):
            await decide(bench, approval, Decision.ONCE)


async def test_an_agent_that_can_hold_no_more_rules_loses_none(workshop: Any) -> None:
    rules = [f"Bash(make {number})" for number in range(200)]
    async with workshop([mark("a"), say("Done.")]) as bench:
        await bench.agent(allowed_tools=rules)
        run = await bench.start("work")
        [approval] = await waiting(bench)
        with pytest.raises(InvalidInput, match="200"):
            await decide(bench, approval, Decision.AGENT)
        assert await waiting(bench) == [approval]
        await decide(bench, approval, Decision.RUN)
        assert (await bench.finish(run)).status is RunStatus.SUCCEEDED
        assert (await bench.store.get_agent(OWNER, "helper")).allowed_tools == rules


async def test_a_question_is_answered(workshop: Any) -> None:
    options = [{"label": "Red", "description": "r"}, {"label": "Blue", "description": "b"}]
    question = {"question": "Which colour?", "header": "Colour", "multiSelect": False, "options": options}
    async with workshop([use("AskUserQuestion", {"questions": [question]}), say("Thanks.")]) as bench:
        await bench.agent()
        run = await bench.start("work")
        [approval] = await waiting(bench)
        with pytest.raises(InvalidInput, match="message"):
            await decide(bench, approval, Decision.ONCE)
        await decide(bench, approval, Decision.ONCE, "Blue, but dark")
        assert (await bench.finish(run)).status is RunStatus.SUCCEEDED
        assert "Blue, but dark" in str(bench.model.messages[-1].body["messages"][-1])


async def test_cancelling_a_run_that_waits_closes_what_it_asked(workshop: Any) -> None:
    async with workshop([mark("a"), say("Done.")]) as bench:
        await bench.agent()
        run = await bench.start("work")
        [approval] = await waiting(bench)
        await bench.manager.cancel(run.id)
        assert (await bench.manager.get(run.id)).status is RunStatus.CANCELLED
        assert (await bench.store.get_approval(OWNER, approval.id)).closed
        with pytest.raises(Conflict, match="needs no decision"):
            await decide(bench, approval, Decision.ONCE)
        assert (await said(bench, run, EventType.APPROVAL))[-1] == {"id": approval.id, "closed": True}


class LateAnswers(SQLiteStore):
    """Stores what is asked, and loses the answer, but not before `lost` is set."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.lost = asyncio.Event()

    async def create_approval(self, approval: Approval) -> None:
        await super().create_approval(approval)
        await self.lost.wait()
        raise StoreUnavailable(f"The answer about {approval.id} was lost.")


@pytest.mark.parametrize(("decision", "times"), [(Decision.ONCE, 1), (Decision.RUN, 2), (Decision.DENY, 0)])
async def test_a_call_that_is_decided_before_the_store_has_answered_goes_on(
    workshop: Any, tmp_path: Path, decision: Decision, times: int
) -> None:
    store = LateAnswers(tmp_path / "agents.db")
    script = [mark("a"), *([mark("a")] if decision is Decision.RUN else []), say("Done.")]
    async with workshop(script, store=store) as bench:
        await bench.agent()
        run = await bench.start("work")
        [approval] = await waiting(bench)
        await decide(bench, approval, decision)
        store.lost.set()
        ended = await bench.finish(run, within=30)
        assert (ended.status, ended.result, made(bench, "a")) == (RunStatus.SUCCEEDED, "Done.", times)
        asked, told = await said(bench, run, EventType.APPROVAL)
        assert Approval.model_validate(asked) == approval
        assert (told["id"], told["decision"]) == (approval.id, decision.value)
        assert (await bench.store.get_approval(OWNER, approval.id)).delivered_at is not None


async def test_a_call_given_up_before_the_store_has_answered_is_closed(tmp_path: Path) -> None:
    async with LateAnswers(tmp_path / "agents.db") as store:
        recorder, feed, _ = await recording(store)
        gate = Gate(store, recorder, utcnow)
        try:
            asking = asyncio.create_task(gate.ask("Bash", {"command": "ls"}, ToolPermissionContext()))
            async with asyncio.timeout(30):
                while not (stored := (await store.list_approvals(OWNER, waiting=True)).items):
                    await asyncio.sleep(0.02)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                while not (await store.get_approval(OWNER, stored[0].id)).closed:
                    await asyncio.sleep(0.02)
        finally:
            await gate.close()
            feed.end()
            await recorder.stop()


async def test_the_wall_clock_stands_still_while_a_person_is_asked(workshop: Any) -> None:
    async with workshop([mark("a"), say("Done.")]) as bench:
        await bench.agent(timeout_s=15)
        run = await bench.start("work")
        [approval] = await waiting(bench)
        await asyncio.sleep(16)
        assert (await bench.manager.get(run.id)).status is RunStatus.WAITING
        await decide(bench, approval, Decision.ONCE)
        assert (await bench.finish(run)).status is RunStatus.SUCCEEDED


# Several calls in one message, over a hold, a rest and a kill

SEVERAL = {
    "work": [mark("a") + use("Bash", {"command": "ls"}) + mark("b") + mark("c"), say("Done.")],
}


async def test_each_of_several_calls_is_held_and_made_once(workshop: Any) -> None:
    async with workshop(SEVERAL) as bench:
        await bench.agent()
        run = await bench.start("work")
        for name, decision in (("a", Decision.ONCE), ("b", Decision.DENY), ("c", Decision.ONCE)):
            [approval] = await waiting(bench)
            assert approval.input["command"].endswith(name)
            await decide(bench, approval, decision)
        assert (await bench.finish(run)).status is RunStatus.SUCCEEDED
        assert [made(bench, name) for name in "abc"] == [1, 0, 1]


RESUMED = {
    **SEVERAL,
    AGAIN: [mark("b"), mark("c"), say("Done.")],
}


async def test_a_run_that_only_waits_gives_up_its_process_and_goes_on_when_decided(workshop: Any, below: Any) -> None:
    async with workshop(RESUMED, rest_after_s=2) as bench:
        await bench.agent()
        run = await bench.start("work")
        [a] = await waiting(bench)
        await decide(bench, a, Decision.ONCE)
        [b] = await waiting(bench)
        await bench.until(lambda: asyncio.to_thread(lambda: not below()))
        await bench.until(lambda: asyncio.sleep(0, bench.manager.busy == 0))
        assert bench.manager.unfinished == 1
        assert (await bench.manager.get(run.id)).status is RunStatus.WAITING
        await decide(bench, b, Decision.ONCE)
        [c] = await waiting(bench)
        assert [made(bench, name) for name in "abc"] == [1, 1, 0]
        await decide(bench, c, Decision.ONCE)
        ended = await bench.finish(run)
        assert (ended.status, ended.result) == (RunStatus.SUCCEEDED, "Done.")
        assert [made(bench, name) for name in "abc"] == [1, 1, 1]
        # The same session went on, and was told in words.
        [again] = [e.payload for e in await bench.events(run) if AGAIN in str(e.payload.get("prompt"))]
        assert "echo made >> b" in again["prompt"]
        assert "echo made >> a" not in again["prompt"]


async def test_a_denial_while_there_is_no_process_is_said_when_it_goes_on(workshop: Any, below: Any) -> None:
    script = {"work": [mark("a"), say("Done.")], AGAIN: [say("I leave it.")]}
    async with workshop(script, rest_after_s=0.3) as bench:
        await bench.agent()
        run = await bench.start("work")
        [approval] = await waiting(bench)
        await bench.until(lambda: asyncio.to_thread(lambda: not below()))
        await decide(bench, approval, Decision.DENY, "Not on a Friday.")
        ended = await bench.finish(run)
        assert (ended.result, made(bench, "a")) == ("I leave it.", 0)
        assert "Not on a Friday." in str(bench.model.messages[-1].body["messages"][-1])
        assert (await bench.store.get_approval(OWNER, approval.id)).delivered_at is not None


async def test_a_pass_is_for_the_very_same_call_only(workshop: Any, below: Any) -> None:
    script = {"work": [mark("a"), say("Done.")], AGAIN: [mark("b"), mark("a"), mark("a"), say("Done.")]}
    async with workshop(script, rest_after_s=0.3) as bench:
        await bench.agent()
        run = await bench.start("work")
        [approval] = await waiting(bench)
        await bench.until(lambda: asyncio.to_thread(lambda: not below()))
        await decide(bench, approval, Decision.ONCE)
        [other] = await waiting(bench)
        assert other.input["command"].endswith("b")
        await decide(bench, other, Decision.DENY)
        [second] = await waiting(bench)
        assert second.input == approval.input
        assert made(bench, "a") == 1
        await decide(bench, second, Decision.DENY)
        assert (await bench.finish(run)).status is RunStatus.SUCCEEDED
        assert [made(bench, name) for name in "ab"] == [1, 0]


async def test_a_cli_that_is_killed_while_it_waits_loses_no_approval(workshop: Any, below: Any) -> None:
    async with workshop(RESUMED) as bench:
        await bench.agent()
        run = await bench.start("work")
        [a] = await waiting(bench)
        await decide(bench, a, Decision.ONCE)
        [b] = await waiting(bench)
        await bench.written(run, "echo made >> b")
        reaper = psutil.Process(bench.manager._live[run.id].execution.session.pid)
        [cli] = reaper.children()
        os.kill(cli.pid, signal.SIGKILL)
        await bench.until(lambda: asyncio.to_thread(lambda: not below()))
        assert await waiting(bench) == [b]
        assert (await bench.manager.get(run.id)).status is RunStatus.WAITING
        await decide(bench, b, Decision.ONCE)
        [c] = await waiting(bench)
        await decide(bench, c, Decision.ONCE)
        assert (await bench.finish(run)).status is RunStatus.SUCCEEDED
        assert [made(bench, name) for name in "abc"] == [1, 1, 1]


async def test_always_for_this_run_holds_after_a_rest(workshop: Any, below: Any) -> None:
    script = {"work": [mark("a"), say("Done.")], AGAIN: [mark("a"), mark("a"), say("Done.")]}
    async with workshop(script, rest_after_s=0.3) as bench:
        await bench.agent()
        run = await bench.start("work")
        [approval] = await waiting(bench)
        await bench.until(lambda: asyncio.to_thread(lambda: not below()))
        await decide(bench, approval, Decision.RUN)
        assert (await bench.finish(run)).status is RunStatus.SUCCEEDED
        assert made(bench, "a") == 2


async def test_a_run_at_rest_leaves_its_place_to_others_and_can_be_cancelled(workshop: Any, below: Any) -> None:
    script = {"work": [mark("a"), say("Done.")], "hello": [say("Hello.")]}
    async with workshop(script, rest_after_s=0.3, max_running=1) as bench:
        await bench.agent()
        run = await bench.start("work")
        [approval] = await waiting(bench)
        await bench.until(lambda: asyncio.to_thread(lambda: not below()))
        assert (await bench.do("hello")).result == "Hello."
        assert (await bench.manager.cancel(run.id)).status is RunStatus.CANCELLED
        assert (await bench.store.get_approval(OWNER, approval.id)).closed


# What the site has a say in


async def policy_run(bench: Bench, **agent: Any) -> tuple[Run, list[Approval]]:
    await bench.agent(**agent)
    run = await bench.start("work")

    async def asked_or_ended() -> bool:
        found = await bench.manager.get(run.id)
        return found.status.is_final or found.status is RunStatus.WAITING

    await bench.until(asked_or_ended)
    return run, (await bench.store.list_approvals(OWNER, waiting=True)).items


@pytest.mark.parametrize(
    "agent",
    [
        {"tools": ["Bash(*)"]},
        {"allowed_tools": ["Bash", "Bash(echo:*)"]},
        {"permission_mode": "bypassPermissions"},
        {"permission_mode": "acceptEdits"},
    ],
    ids=str,
)
async def test_what_the_site_has_asked_about_no_agent_does_without(workshop: Any, agent: dict[str, Any]) -> None:
    policy = {"permissions": {"ask": ["Bash"]}}
    environment = {"IS_SANDBOX": "1"}  # lets root, which some machines test as, bypass at all
    async with workshop([mark("a"), say("Done.")], managed_settings=policy, environment=environment) as bench:
        run, [approval] = await policy_run(bench, **agent)
        assert approval.rules == []
        with pytest.raises(InvalidInput, match="once only"):
            await decide(bench, approval, Decision.AGENT)
        await decide(bench, approval, Decision.DENY)
        await bench.finish(run)
        assert made(bench, "a") == 0


async def test_what_the_site_denies_is_not_even_asked_about(workshop: Any) -> None:
    policy = {"permissions": {"deny": ["Bash(echo:*)"]}}
    async with workshop([mark("a"), say("Refused.")], managed_settings=policy) as bench:
        run, asked = await policy_run(bench, tools=["Bash(*)"])
        assert asked == []
        assert ((await bench.manager.get(run.id)).result, made(bench, "a")) == ("Refused.", 0)


async def test_a_site_can_forbid_going_without_asking(workshop: Any) -> None:
    policy = {"permissions": {"disableBypassPermissionsMode": "disable"}}
    environment = {"IS_SANDBOX": "1"}
    async with workshop([mark("a"), say("Done.")], managed_settings=policy, environment=environment) as bench:
        run, [approval] = await policy_run(bench, permission_mode="bypassPermissions")
        await decide(bench, approval, Decision.DENY)
        await bench.finish(run)
        assert made(bench, "a") == 0


async def test_a_projects_settings_loosen_nothing_that_the_site_asks_about(workshop: Any) -> None:
    policy = {"permissions": {"ask": ["Bash"]}}
    sources = ["user", "project", "local"]
    async with workshop([mark("a"), say("Done.")], managed_settings=policy, setting_sources=sources) as bench:
        loose = {"permissions": {"allow": ["Bash", "Bash(*)"], "ask": [], "defaultMode": "bypassPermissions"}}
        for folder in (bench.home / "agents" / "helper" / ".claude", bench.home / ".claude"):
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("settings.json", "settings.local.json"):
                (folder / name).write_text(json.dumps(loose))
        run, [approval] = await policy_run(bench)
        await decide(bench, approval, Decision.DENY)
        await bench.finish(run)
        assert made(bench, "a") == 0


def test_a_policy_that_is_no_json_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JUPYTERHUB_AGENTS_MANAGED_SETTINGS", "ask: everything")
    manager = RunManager.__new__(RunManager)
    with pytest.raises(ValueError, match="JUPYTERHUB_AGENTS_MANAGED_SETTINGS is not JSON"):
        manager._default_managed_settings()
