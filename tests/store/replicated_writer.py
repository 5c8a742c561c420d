"""Writes through a ReplicatedStore until it is killed: `python -m tests.store.replicated_writer FILE URL`.

Each of three runs gets batches of 7 events, and a transcript entries without a uuid. After each acknowledged batch a
line `RUN_ID LAST_SEQ` goes to stdout.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

from jupyterhub_agents.models import RunChanges
from jupyterhub_agents.store.replicated import ReplicatedStore
from jupyterhub_agents.testing.store_contract.samples import make_events, make_run, transcript_key

from ..service.store_service import token_of

BATCH = 7


async def main(path: Path, url: str) -> None:
    async with ReplicatedStore(path, url, token_of) as store:

        async def write() -> None:
            run = make_run("ada")
            await store.create_run(run)
            for batch in itertools.count(1):
                events = make_events(run, (batch - 1) * BATCH + 1, batch * BATCH, text="x" * 500)
                await store.append_transcript("ada", transcript_key(run.id), [{"n": n} for n in range(2)])
                await store.append_events("ada", run.id, events, RunChanges(turns=batch))
                os.write(1, f"{run.id} {batch * BATCH}\n".encode())

        await asyncio.gather(*(write() for _ in range(3)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
