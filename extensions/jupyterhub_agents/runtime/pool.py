"""The warm pool: connected CLIs that wait for the runs a person is likely to start next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from traitlets import Float, Int
from traitlets.config import LoggingConfigurable

from ..ids import Clock, new_id, new_session_id
from ..models import Agent
from . import metrics
from .given import PrivateFiles
from .memory import available_mb, resident_mb

if TYPE_CHECKING:
    from .session import ClaudeSession

log = logging.getLogger(__name__)

HALF_LIFE_S = 1800.0
"""After so long a use of an agent counts half as much in the choice of what to keep warm."""
REVIEW_S = 15.0
"""How often the memory and the health of what waits are looked at."""
OPEN_S = 60.0
"""The longest that a CLI may take to get warm."""
GUESS_MB = 250.0
"""What a warm CLI is taken to need before one was measured."""


@dataclass(frozen=True)
class Recipe:
    """All that a CLI is started with. One that was warmed serves a run only when nothing of it differs.

    What differs from run to run by nature, such as a key that is made out to one run, cannot stand in `environment`:
    a CLI's variables are set when it is started. It is made out to the run and the session that the CLI will serve,
    when that is warmed (`WarmPool`'s `prepare`), and left out here.
    """

    agent: Agent
    directory: Path
    cli: str
    environment: Mapping[str, str] = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)
    """Whatever else of the site's choices is told to the SDK."""


Prepare = Callable[[Recipe, str, str], "tuple[ClaudeSession, PrivateFiles]"]
"""Makes the session of the first id for the run of the second, not connected yet, and its private files. Called in a
thread."""


class WarmCLI:
    """A CLI that waits for its run, or is on its way there. It is used once."""

    def __init__(self, recipe: Recipe, prepare: Prepare, clock: Clock) -> None:
        self.recipe = recipe
        self.session_id = new_session_id()
        self.run_id = new_id(clock)
        self.since = clock()
        self._prepare = prepare
        self._session: ClaudeSession | None = None
        self._files: PrivateFiles | None = None
        self._cli: psutil.Process | None = None
        self._opening = asyncio.create_task(self._open(), name=f"warm {recipe.agent.id}")

    async def _open(self) -> None:
        async with asyncio.timeout(OPEN_S):
            making = asyncio.create_task(asyncio.to_thread(self._prepare, self.recipe, self.session_id, self.run_id))
            try:
                await asyncio.shield(making)
            finally:
                # A thread cannot be broken off: what it makes has to be removed.
                session, self._files = await making
                self._session = session
            await session.connect()
            await session.rehearse()
            self._cli = await asyncio.to_thread(cli_of, session)

    @property
    def ready(self) -> bool:
        """Whether a run that takes it has nothing to wait for."""
        return self._opening.done() and not self._opening.cancelled() and self._opening.exception() is None

    async def opened(self) -> bool:
        """Whether it got ready; waits until that is known."""
        await asyncio.wait({self._opening})
        if self._opening.cancelled():
            return False
        if error := self._opening.exception():
            log.warning("no CLI could be kept warm for the agent %s: %s", self.recipe.agent.id, error)
        return error is None

    def lives(self) -> bool:
        """Whether its process is there and not stopped."""
        if self._session is None or self._session.pid is None or self._cli is None:
            return False
        # Not in a thread, which takes ten times as long: /proc is memory, and a run waits for this.
        return works(self._cli)

    async def hand_over(self) -> tuple[ClaudeSession, PrivateFiles] | None:
        """The session, connected, and its files: they are the caller's now. None when it did not get ready or is no
        more; a session of the same id can then be started in its place."""
        if not await self.opened() or not self.lives():
            metrics.WARM_STARTS.labels("miss").inc()
            await self.discard()
            return None
        assert self._session is not None and self._files is not None  # noqa: S101 - set by what opened it
        metrics.WARM_STARTS.labels("hit").inc()
        handed = self._session, self._files
        self._session = self._files = None
        return handed

    async def discard(self) -> None:
        """End it and remove its files, if it was not handed over."""
        self._opening.cancel()
        await asyncio.gather(self._opening, return_exceptions=True)
        if (session := self._session) is not None:
            session.kill()
            with suppress(Exception):
                await session.close()
            self._session = None
        files, self._files = self._files, None
        if files is not None:
            await asyncio.to_thread(files.remove)

    def resident_mb(self) -> float:
        """What it and all under it have of memory, in MB. Reads /proc: call it in a thread."""
        pid = self._session.pid if self._session is not None else None
        return resident_mb(pid) if pid is not None else 0.0


@dataclass
class Use:
    """How much an agent was used of late."""

    agent: Agent
    score: float
    at: datetime
    needs_mb: float = GUESS_MB

    def score_at(self, now: datetime) -> float:
        return float(self.score * 0.5 ** ((now - self.at).total_seconds() / HALF_LIFE_S))


class WarmPool(LoggingConfigurable):
    """CLIs that were started and connected before they are needed, for the agents a person is likely to run next: those
    run or changed most of late. A run in a new session takes one over, with its session id, when all else is as the run
    needs it; every other run starts a CLI of its own.

    Nothing is started before the person has run something, while the workspace has more to do than it can, or when
    memory is short. What waits is neither a run nor activity.
    """

    size = Int(
        1, min=0, help="How many Claude Code processes may wait, started and connected, for the runs that a person is "
        "likely to start next; a run that finds one begins at once. 0 keeps none. Each takes about 200 MB."
    ).tag(config=True)  # fmt: skip
    memory_mb = Int(
        600, min=0, help="The memory, in MB, that the waiting processes may take together, with all that they started, "
        "such as the agents' MCP servers. When it is more, the least likely one is ended."
    ).tag(config=True)  # fmt: skip
    spare_memory_mb = Int(
        512, min=0, help="The memory, in MB, that must stay free in the workspace's container, or on the machine: "
        "processes wait only while there is more."
    ).tag(config=True)  # fmt: skip
    idle_s = Float(
        600.0, min=0.1, help="Seconds after which a process that no run has taken is ended."
    ).tag(config=True)  # fmt: skip

    def __init__(
        self,
        prepare: Prepare,
        recipe: Callable[[Agent], Recipe | None],
        *,
        is_busy: Callable[[], bool],
        clock: Clock,
        **kw: Any,
    ) -> None:
        """`recipe` tells what an agent's CLI would be started with now; None when none may be started ahead."""
        super().__init__(**kw)
        self._prepare = prepare
        self._recipe = recipe
        self._is_busy = is_busy
        self._clock = clock
        self._waiting: list[WarmCLI] = []
        self._leaving: list[WarmCLI] = []
        self._uses: dict[str, Use] = {}
        self._may_fill = False
        self._wake = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        metrics.WARM_PROCESSES.set_function(lambda: sum(warm.ready for warm in self._waiting))

    @property
    def waiting(self) -> int:
        """How many CLIs wait, or get ready to."""
        return len(self._waiting)

    def take(self, agent: Agent) -> WarmCLI | None:
        """The CLI that waits for a run of exactly this agent; it is the caller's now, to hand over or discard."""
        if not self.size or self._closed:
            return None
        recipe = self._recipe(agent)
        for warm in self._waiting:
            if warm.recipe == recipe:
                self._waiting.remove(warm)
                return warm
        metrics.WARM_STARTS.labels("miss").inc()
        return None

    def used(self, agent: Agent) -> None:
        """The person ran this agent."""
        now = self._clock()
        use = Use(agent, 1, now)
        if before := self._uses.get(agent.id):
            use.score += before.score_at(now)
            if before.agent == agent:
                use.needs_mb = before.needs_mb
        self._uses[agent.id] = use

    def changed(self, agent_id: str, agent: Agent | None) -> None:
        """The person changed an agent, or deleted it (None): what waits for it is of no more use."""
        for warm in [warm for warm in self._waiting if warm.recipe.agent.id == agent_id]:
            self._drop(warm)
        if agent is None:
            self._uses.pop(agent_id, None)
        elif self._uses:
            self.used(agent)
            self.fill()

    def fill(self) -> None:
        """Have the CLIs started that should wait now. Returns at once."""
        if self.size and self._uses and not self._closed:
            self._may_fill = True
            self._rouse()

    async def close(self) -> None:
        """End all that waits."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        left = [*self._waiting, *self._leaving]
        self._waiting, self._leaving = [], []
        await asyncio.gather(*(warm.discard() for warm in left))

    # How it is done

    def _rouse(self) -> None:
        self._wake.set()
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep(), name="warm pool")

    def _drop(self, warm: WarmCLI) -> None:
        self._waiting.remove(warm)
        self._leaving.append(warm)
        self._rouse()

    async def _keep(self) -> None:
        """Look after what waits until nothing does."""
        while self._waiting or self._leaving or self._wake.is_set():
            self._wake.clear()
            try:
                await self._review()
            except Exception:
                log.exception("the warm pool could not be looked after")
            with suppress(TimeoutError):
                async with asyncio.timeout(min(REVIEW_S, self.idle_s / 2)):
                    await self._wake.wait()

    async def _review(self) -> None:
        now = self._clock()
        for warm in list(self._waiting):
            idle = (now - warm.since).total_seconds() >= self.idle_s
            if idle or not await warm.opened() or not warm.lives():
                self._drop_if_waiting(warm)
        await self._end_what_left()
        if self._may_fill and not self._is_busy():
            self._may_fill = False
            await self._start_wanted()
        await self._keep_to_memory()
        await self._end_what_left()

    def _drop_if_waiting(self, warm: WarmCLI) -> None:
        """A run may have taken it while it was looked at."""
        if warm in self._waiting:
            self._drop(warm)

    async def _end_what_left(self) -> None:
        while self._leaving:
            await self._leaving[-1].discard()
            self._leaving.pop()

    def _wanted(self) -> list[Use]:
        """What to keep warm, the likeliest first: by the number of uses, of which older ones count less."""
        now = self._clock()
        return sorted(self._uses.values(), key=lambda use: use.score_at(now), reverse=True)[: self.size]

    async def _start_wanted(self) -> None:
        wanted = self._wanted()
        agents = [use.agent for use in wanted]
        for warm in list(self._waiting):
            if warm.recipe.agent not in agents:
                self._drop_if_waiting(warm)
        await self._end_what_left()
        for use in wanted:
            if any(warm.recipe.agent == use.agent for warm in self._waiting):
                continue
            recipe = self._recipe(use.agent)
            if recipe is None or not await self._has_room_for(use):
                continue
            warm = WarmCLI(recipe, self._prepare, self._clock)
            self._waiting.append(warm)
            if not await warm.opened():
                self._drop_if_waiting(warm)

    async def _has_room_for(self, use: Use) -> bool:
        taken, free = await asyncio.to_thread(memory_of, list(self._waiting))
        return sum(taken) + use.needs_mb <= self.memory_mb and free - use.needs_mb >= self.spare_memory_mb

    async def _keep_to_memory(self) -> None:
        """End the least likely while all that waits takes too much, or too little is left."""
        while waiting := list(self._waiting):
            taken, free = await asyncio.to_thread(memory_of, waiting)
            for warm, size in zip(waiting, taken, strict=True):
                use = self._uses.get(warm.recipe.agent.id)
                if use is not None and use.agent == warm.recipe.agent and size:
                    use.needs_mb = size
            if sum(taken) <= self.memory_mb and free >= self.spare_memory_mb:
                return
            log.info("a waiting CLI is ended: they take %.0f MB, and %.0f MB are free", sum(taken), free)
            likeliest = [use.agent.id for use in self._wanted()]
            order = {agent_id: place for place, agent_id in enumerate(likeliest)}
            self._drop_if_waiting(max(waiting, key=lambda warm: order.get(warm.recipe.agent.id, len(order))))
            await self._end_what_left()


def memory_of(waiting: Sequence[WarmCLI]) -> tuple[list[float], float]:
    """What each takes and what is free, in MB."""
    return [warm.resident_mb() for warm in waiting], available_mb()


def cli_of(session: ClaudeSession) -> psutil.Process | None:
    """The CLI itself: the reaper's child. When the reaper dies it dies as well."""
    if session.pid is not None:
        with suppress(psutil.Error):
            return next(iter(psutil.Process(session.pid).children()), None)
    return None


def works(process: psutil.Process) -> bool:
    """Whether a process is there, and neither dead nor stopped."""
    try:
        return process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED)
    except psutil.Error:
        return False
