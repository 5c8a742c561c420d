"""What the recorder makes of what the CLI says, and of a store that is away."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from jupyterhub_agents.ids import new_id, new_session_id, utcnow
from jupyterhub_agents.models import AgentSpec, Delta, EventType, Run, Trigger
from jupyterhub_agents.runtime.feed import RunFeed
from jupyterhub_agents.runtime.recorder import Recorder, without_half_characters
from jupyterhub_agents.store.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio


def test_half_characters_become_replacement_characters_and_whole_ones_stay() -> None:
    told = {"a": "cut \ud83d here", "b": ["\udc00", "whole 😀 등대"], "n": 1.5}
    assert without_half_characters(told) == {"a": "cut \ufffd here", "b": ["\ufffd", "whole 😀 등대"], "n": 1.5}
    plain = {"b": "whole 😀"}
    assert without_half_characters(plain) is plain


async def recording(store: SQLiteStore) -> tuple[Recorder, RunFeed, list[str]]:
    await store.create_agent("ana", "helper", AgentSpec(name="helper"))
    run_id = new_id()
    run = Run(
        id=run_id, owner="ana", agent_id="helper", agent_revision=1, trigger=Trigger.API, prompt="x",
        session_id=new_session_id(), conversation_id=run_id, created_at=utcnow(),
    )  # fmt: skip
    await store.create_run(run)
    feed = RunFeed(run)
    trouble: list[str] = []
    recorder = Recorder(store, feed, utcnow, trouble.append)
    recorder.start()
    return recorder, feed, trouble


async def test_a_locked_database_delays_events_and_loses_none(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "agents.db") as store:
        recorder, feed, trouble = await recording(store)
        shown: list[Any] = []

        async def read() -> None:
            async for item in feed.follow(store, 0):
                shown.append(item)

        reader = asyncio.create_task(read())
        await recorder.add(EventType.MESSAGE, {"n": 0})
        await recorder.drain()
        other = sqlite3.connect(tmp_path / "agents.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            for n in range(1, 50):
                await recorder.add(EventType.MESSAGE, {"n": n})
                recorder.delta(Delta(run_id=feed.run.id, kind="text", message_id="m", block=0, text=str(n)))
            async with asyncio.timeout(60):
                while not trouble:
                    await asyncio.sleep(0.05)
            assert str(tmp_path / "agents.db") in trouble[0]
            # Nothing is shown that is not stored.
            assert [item.seq for item in shown] == [1]
        finally:
            other.execute("ROLLBACK")
            other.close()
        async with asyncio.timeout(60):
            await recorder.drain()
        assert trouble[-1] == ""
        feed.end()
        await reader
        assert [item.seq for item in shown if item.kind == "event"] == list(range(1, 51))
        assert [item.data.text for item in shown if item.kind == "delta"] == [str(n) for n in range(1, 50)]
        assert [e.payload["n"] for e in await store.list_events("ana", feed.run.id)] == list(range(50))
        await recorder.stop()


async def test_a_slow_reader_loses_deltas_and_no_event(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "agents.db") as store:
        recorder, feed, _ = await recording(store)
        items = feed.follow(store, 0)
        first = asyncio.ensure_future(anext(items))
        await asyncio.sleep(0.05)
        for n in range(3_000):
            await recorder.add(EventType.MESSAGE, {"n": n})
            recorder.delta(Delta(run_id=feed.run.id, kind="text", message_id="m", block=0, text=str(n)))
        await recorder.drain()
        feed.end()
        numbers = [(await first).seq]
        async for item in items:
            if item.kind == "event":
                numbers.append(item.seq)
        assert numbers == list(range(1, 3_001))
        await recorder.stop()
