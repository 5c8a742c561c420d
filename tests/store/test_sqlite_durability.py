"""What SQLiteStore acknowledged is there, whatever happened to the process."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.testing.store_contract.samples import seqs

from .endless_writer import BATCH

pytestmark = pytest.mark.anyio

WRITER = Path(__file__).with_name("endless_writer.py")


def acknowledged_before_kill(path: Path, acknowledgements: int) -> dict[str, int]:
    """Let a process write, kill -9 it after so many acknowledged batches; the last acknowledged number of each run."""
    process = subprocess.Popen([sys.executable, WRITER, path, "4"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(acknowledgements)]
    finally:
        process.kill()
        rest, _ = process.communicate(timeout=60)
    return {run_id: int(last) for run_id, last in (line.split() for line in (*lines, *rest.splitlines()))}


async def test_a_killed_writer_loses_nothing_acknowledged_and_leaves_no_half_batch(path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - moments, not secrets
    acknowledged: dict[str, int] = {}
    for _ in range(5):
        acknowledged |= await asyncio.to_thread(acknowledged_before_kill, path, chance.randint(1, 120))
    assert len(acknowledged) >= 5
    async with SQLiteStore(path) as store:
        runs = (await store.list_runs("ada", limit=1_000)).items
        assert {run.id for run in runs} >= acknowledged.keys()
        for run in runs:
            assert run.last_seq >= acknowledged.get(run.id, 0)
            assert run.last_seq == run.turns * BATCH
            stored: list[int] = []
            while page := await store.list_events("ada", run.id, after=len(stored), limit=1_000):
                stored += seqs(page)
            assert stored == list(range(1, run.last_seq + 1))
