"""A process that writes runs until it is killed, and says what was acknowledged: `python endless_writer.py FILE RUNS`.

Each run gets batches of 7 events with a payload of some KB; `turns` counts the batches. After each
acknowledged batch a line `RUN_ID LAST_SEQ` goes to stdout.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

from jupyterhub_agents.models import RunChanges
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.testing.store_contract.samples import make_events, make_run

BATCH = 7


async def main(path: Path, runs: int) -> None:
    async with SQLiteStore(path) as store:

        async def write() -> None:
            run = make_run("ada")
            await store.create_run(run)
            for batch in itertools.count(1):
                events = make_events(run, (batch - 1) * BATCH + 1, batch * BATCH, text="x" * 3_000)
                await store.append_events("ada", run.id, events, RunChanges(turns=batch))
                os.write(1, f"{run.id} {batch * BATCH}\n".encode())

        await asyncio.gather(*(write() for _ in range(runs)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
