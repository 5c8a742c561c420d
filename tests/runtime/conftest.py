"""Runs on the real CLI, with a scripted model behind HTTP."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from jupyterhub_agents.models import Agent, AgentSpec, Event, Run, RunCreate
from jupyterhub_agents.runtime.manager import RunManager
from jupyterhub_agents.store import AgentStore
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.testing import ScriptedModel
from tests.processes import Family

OWNER = "ana"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def below() -> Iterator[Family]:
    """Tells the processes that the test started. It must leave none."""
    family = Family()
    yield family
    deadline = time.monotonic() + 5
    while left := family():
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: {left}")
        time.sleep(0.05)


class Bench:
    """A person's runs, as a workspace has them."""

    def __init__(self, manager: RunManager, store: AgentStore, home: Path) -> None:
        self.manager = manager
        self.store = store
        self.home = home

    async def agent(self, id: str = "helper", **fields: Any) -> Agent:
        return await self.store.create_agent(OWNER, id, AgentSpec(**{"name": id, **fields}))

    async def start(self, prompt: str, agent: str = "helper", **fields: Any) -> Run:
        return await self.manager.start(agent, RunCreate(prompt=prompt, **fields))

    async def finish(self, run: Run, within: float = 60) -> Run:
        async with asyncio.timeout(within):
            async for _ in self.manager.follow(run.id):
                pass
        return await self.manager.get(run.id)

    async def do(self, prompt: str, agent: str = "helper", **fields: Any) -> Run:
        return await self.finish(await self.start(prompt, agent, **fields))

    async def events(self, run: Run) -> list[Event]:
        return await self.store.list_events(OWNER, run.id, limit=1000)

    async def until(self, what: Callable[[], Awaitable[bool]], within: float = 60) -> None:
        async with asyncio.timeout(within):
            while not await what():
                await asyncio.sleep(0.02)

    async def written(self, run: Run, text: str) -> None:
        """Wait until the CLI, which takes its time, has `text` in the session's transcript."""

        async def there() -> bool:
            files = (self.home / ".claude").glob(f"projects/*/{run.session_id}.jsonl")
            return any(text in file.read_text() for file in files)

        await self.until(there)

    async def seen(self, run: Run, text: str, within: float = 60) -> None:
        """Wait until an event of the run holds `text`."""

        async def there() -> bool:
            return any(text in event.model_dump_json() for event in await self.events(run))

        await self.until(there, within)


Workshop = Callable[..., Any]


@pytest.fixture
def workshop(tmp_path: Path, below: Family) -> Workshop:
    """`async with workshop(script, trait=value, ...) as bench:` a manager on the real CLI and a scripted model."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)

    @asynccontextmanager
    async def make(
        script: Any = (), *, model: ScriptedModel | None = None, store: AgentStore | None = None, **traits: Any
    ) -> AsyncIterator[Bench]:
        with model or ScriptedModel(script) as scripted:
            environment = {
                **scripted.env(),
                "HOME": str(home),
                "CLAUDE_CONFIG_DIR": str(home / ".claude"),
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "PATH": os.environ["PATH"],
                **traits.pop("environment", {}),
            }
            async with store or SQLiteStore(tmp_path / "state" / "agents.db") as opened:
                # Tests of other things count processes: none is to wait there.
                pool = {"size": 0, **traits.pop("pool", {})}
                keys = traits.pop("keys", {})
                manager = RunManager(
                    opened,
                    owner=OWNER,
                    home=home,
                    state=tmp_path / "state",
                    environment=environment,
                    config=Config({"WarmPool": pool, "RunKeys": keys}),
                    **traits,
                )
                bench = Bench(manager, opened, home)
                bench.model = scripted  # type: ignore[attr-defined]
                try:
                    yield bench
                finally:
                    await manager.shut_down()

    return make
