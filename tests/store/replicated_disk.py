"""A process whose home is full for a while: `python -m tests.store.replicated_disk FILE URL`.

The disk is the process's limit on the size of a file (RLIMIT_FSIZE). Ends with 0 when all was as it should be.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

from jupyterhub_agents.errors import StoreUnavailable
from jupyterhub_agents.models import RunChanges
from jupyterhub_agents.store.replicated import ReplicatedStore
from jupyterhub_agents.testing.store_contract.samples import make_events, make_run, seqs

from ..service.store_service import remote_store, token_of


async def main(path: Path, url: str) -> None:
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with ReplicatedStore(path, url, token_of) as store, remote_store(url) as remote:
        run = make_run("ada")
        await store.create_run(run)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, unlimited[1]))
        last, message = 0, ""
        while not message:
            assert last < 2_000, "the disk never was full"
            try:
                batch = make_events(run, last + 1, last + 3, text="x" * 20_000)
                await store.append_events("ada", run.id, batch, RunChanges(turns=last + 3))
                last += 3
            except StoreUnavailable as error:
                message = error.message
        assert str(path) in message, message
        assert seqs(await store.list_events("ada", run.id, limit=1_000)) == list(range(1, last + 1))
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        await store.append_events("ada", run.id, make_events(run, last + 1, last + 5), RunChanges(turns=last + 5))
        deadline = asyncio.get_running_loop().time() + 40
        while (await store.lag()).entries:
            assert asyncio.get_running_loop().time() < deadline, await store.lag()
            await asyncio.sleep(0.05)
        assert await remote.get_run("ada", run.id) == await store.get_run("ada", run.id)
        assert seqs(await remote.list_events("ada", run.id, limit=1_000)) == list(range(1, last + 6))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
