"""A process that fills a disk it may not fill, makes room and goes on: `python limited_disk.py FILE`.

The disk is the process's limit on the size of a file (RLIMIT_FSIZE), which any user may set; it can be lifted
again. Ends with 0 when all was as it should be.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from jupyterhub_agents.errors import StoreUnavailable
from jupyterhub_agents.models import RunChanges
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.testing.store_contract.samples import make_events, make_run, seqs


async def fill_and_recover(path: Path, fill: Callable[[], None], make_room: Callable[[], None]) -> str:
    """Write until the disk is full, see what happens, make room, go on. Gives the error's message."""
    async with SQLiteStore(path) as store:
        run = make_run("ada")
        await store.create_run(run)
        fill()
        message, last = "", 0
        while last < 2_000 and not message:
            batch = make_events(run, last + 1, last + 3, text="x" * 20_000)
            try:
                await store.append_events("ada", run.id, batch, RunChanges(turns=last + 3))
                last += 3
            except StoreUnavailable as error:
                message = error.message
        assert message, "the disk never was full"
        assert seqs(await store.list_events("ada", run.id, limit=1_000)) == list(range(1, last + 1))
        assert (await store.get_run("ada", run.id)).turns == last
        make_room()
        await store.append_events("ada", run.id, make_events(run, last + 1, last + 50, text="x" * 20_000))
        stored = await store.list_events("ada", run.id, limit=1_000)
    async with SQLiteStore(path) as store:
        assert await store.list_events("ada", run.id, limit=1_000) == stored
        assert seqs(stored) == list(range(1, last + 51))
    return message


async def one_too_large_beside_others(path: Path, limit: Callable[[], None]) -> None:
    """A call that the disk has no room for does not take the calls in the same commit with it."""
    async with SQLiteStore(path) as store:
        large, small = make_run("ada"), make_run("ada")
        await store.create_run(large)
        await store.create_run(small)
        limit()
        answers = await asyncio.gather(
            store.append_events("ada", small.id, make_events(small, 1, 3)),
            store.append_events("ada", large.id, make_events(large, 1, 1, text="x" * 1_000_000)),
            store.append_events("ada", small.id, make_events(small, 1, 9)),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [type(None), StoreUnavailable, type(None)], answers
        assert seqs(await store.list_events("ada", small.id)) == list(range(1, 10))
        assert await store.list_events("ada", large.id) == []


def main(path: Path) -> None:
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, unlimited[1]))

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)

    message = asyncio.run(fill_and_recover(path, limit, lift))
    assert str(path) in message
    assert "space" in message
    asyncio.run(one_too_large_beside_others(path.with_name("second.db"), limit))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
