"""Many runs of one agent: so many at once, each with its own result or error, with a progress bar."""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias, overload

from ..errors import AgentsError, Conflict, InvalidInput
from ..models import Run, RunStatus
from .functions import Tools
from .transcript import clean, one_line, outcome

if TYPE_CHECKING:
    import pandas

    from .aio import AsyncAgentClient, AsyncRunHandle
    from .sync import AgentClient

DEFAULT_CONCURRENCY = 4
"""As many as a workspace works on at once by default (RunManager.max_running)."""
TELL_S = 0.5
CANCEL_S = 15.0
"""How long an interrupt waits for the runs that it cancels."""

Prompts: TypeAlias = "Iterable[str] | Mapping[Any, str] | pandas.Series[str]"


@dataclass
class Item:
    """One prompt, and what came of it. `run` is its record, none when it was never started; `error` says why there is
    no result."""

    key: Any
    prompt: str
    run: Run | None = None
    error: str | None = None

    @property
    def result(self) -> str | None:
        return self.run.result if self.run is not None else None

    @property
    def ok(self) -> bool:
        return self.run is not None and self.run.status is RunStatus.SUCCEEDED

    @property
    def status(self) -> str:
        return self.run.status.value if self.run is not None else "not started"

    def row(self) -> dict[str, Any]:
        """As a row of a table."""
        run = self.run
        seconds = None
        if run is not None and run.started_at and run.finished_at:
            seconds = (run.finished_at - run.started_at).total_seconds()
        return {
            "prompt": self.prompt,
            "result": self.result,
            "status": self.status,
            "error": self.error,
            "cost_usd": run.usage.cost_usd if run is not None else 0.0,
            "turns": run.turns if run is not None else 0,
            "seconds": seconds,
            "run": run.id if run is not None else None,
        }


class Results(Sequence[Item]):
    """What came of many prompts, in their order."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = list(items)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Results: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Item | Results:
        return Results(self._items[index]) if isinstance(index, slice) else self._items[index]

    @property
    def failed(self) -> Results:
        """Those without a result."""
        return Results(item for item in self._items if not item.ok)

    @property
    def cost_usd(self) -> float:
        return sum(item.run.usage.cost_usd for item in self._items if item.run is not None)

    def to_dataframe(self) -> pandas.DataFrame:
        """As a table of pandas, with the prompts' own index if they had one. Raises ImportError without pandas."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "pandas is not installed here, which to_dataframe needs. Install it (`%pip install pandas`), or take "
                "the rows as they are: [item.row() for item in results]."
            ) from error
        return pandas.DataFrame([item.row() for item in self._items], index=[item.key for item in self._items])

    def __repr__(self) -> str:
        good = sum(item.ok for item in self._items)
        return f"<{len(self)} results: {good} succeeded, {len(self) - good} did not, ${self.cost_usd:.4f}>"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in ("", "prompt", "result", "status"))
        rows = "".join(
            f"<tr><th>{escape(clean(str(item.key)))}</th>"
            + "".join(
                f'<td style="text-align:left">{escape(clean(cell))}</td>'
                for cell in (
                    one_line(item.prompt),
                    one_line(item.result or item.error or ""),
                    outcome(item.run) if item.run is not None else item.status,
                )
            )
            + "</tr>"
            for item in self._items
        )
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><div>{escape(repr(self)[1:-1])}</div>"
        )


class RunsInterrupted(KeyboardInterrupt):
    """Many runs were interrupted: those at work were cancelled. `results` has what there was."""

    def __init__(self, results: Results) -> None:
        super().__init__(f"interrupted with {results!r}; this exception's `results` has them (sys.last_value.results)")
        self.results = results


class Many:
    """The work on many prompts. `items` are up to date at any time."""

    def __init__(
        self, prompts: Prompts, *, concurrency: int, tools: Tools | None, progress: bool, revision: int | None
    ) -> None:
        if concurrency < 1:
            raise InvalidInput(f"concurrency is {concurrency}; at least 1 run has to work at once.")
        self.items = [Item(key, prompt) for key, prompt in _pairs(prompts)]
        for item in self.items:
            if not isinstance(item.prompt, str) or not item.prompt:
                raise InvalidInput(f"prompts: {item.key!r} has {item.prompt!r:.100}, which is no text.")
        self.finished = threading.Event()
        self._concurrency = concurrency
        self._tools = list(tools) if tools is not None else None
        self._revision = revision
        self._progress = progress

    @property
    def results(self) -> Results:
        return Results(self.items)

    async def work(self, client: AsyncAgentClient, agent_id: str) -> Results:
        """Run all of them. Cancelled, it cancels what runs before it ends."""
        bar = _bar(len(self.items), agent_id) if self._progress else None
        left = iter(self.items)
        at_work: set[AsyncRunHandle] = set()

        async def worker() -> None:
            for item in left:
                await self._one(client, agent_id, item, at_work)
                if bar is not None:
                    bar.update()

        async def tell() -> None:
            said = ""
            while bar is not None:
                if (now := self._state(at_work)) != said:
                    said = now
                    bar.set_postfix_str(said)
                await asyncio.sleep(TELL_S)

        telling = asyncio.create_task(tell(), name=f"tell of {agent_id}")
        workers = [
            asyncio.create_task(worker(), name=f"{agent_id} {number}")
            for number in range(min(self._concurrency, len(self.items)))
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            for task in workers:
                task.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await asyncio.gather(*(_cancelled(run) for run in at_work))
            for item in self.items:
                item.run = next((run.record for run in at_work if item.run and run.id == item.run.id), item.run)
                if item.run is None or not (item.ok or item.error):
                    item.error = item.error or "It was interrupted."
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            if bar is not None:
                bar.set_postfix_str(self._state(()))
                bar.close()
            self.finished.set()
        return self.results

    def _state(self, at_work: Iterable[AsyncRunHandle]) -> str:
        """What was spent, and what a person should look at."""
        failed = len([item for item in self.items if item.error])
        waiting = len([run for run in at_work if run.status is RunStatus.WAITING])
        parts = [f"${self.results.cost_usd:.4f}", f"{failed} failed" if failed else ""]
        return ", ".join(part for part in [*parts, f"{waiting} for your consent" if waiting else ""] if part)

    async def _one(self, client: AsyncAgentClient, agent_id: str, item: Item, at_work: set[AsyncRunHandle]) -> None:
        run: AsyncRunHandle | None = None
        try:
            starting = asyncio.create_task(
                client.run(agent_id, item.prompt, revision=self._revision, tools=self._tools)
            )
            try:
                run = await asyncio.shield(starting)
            except asyncio.CancelledError:
                # It may be started already, and would go on with nobody who knows of it.
                at_work.add(run := await starting)
                item.run = run.record
                raise
            at_work.add(run)
            item.run = run.record
            await run.wait()
            item.run = run.record
            if not item.ok:
                item.error = run.error.message if run.error else f"The run was {run.status.value}."
        except Exception as error:
            item.error = error.message if isinstance(error, AgentsError) else f"{type(error).__name__}: {error}"
        if run is not None:
            at_work.discard(run)


def run_many(client: AgentClient, agent_id: str, many: Many) -> Results:
    """Do the work beside, and wait for it. An interrupt cancels what runs, and is raised as RunsInterrupted."""
    background, twin = client.beside
    future = background.start(many.work(twin, agent_id))
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        many.finished.wait(CANCEL_S)
        raise RunsInterrupted(many.results) from None


async def _cancelled(run: AsyncRunHandle) -> None:
    try:
        async with asyncio.timeout(CANCEL_S):
            await run.cancel()
    except Conflict:
        await run.refresh()
    except (AgentsError, TimeoutError):
        return


def _pairs(prompts: Prompts) -> Iterable[tuple[Any, Any]]:
    """With the keys of a mapping, or the index of a table's column."""
    if isinstance(prompts, str):
        raise InvalidInput("prompts: give a list of prompts, not one.")
    items = getattr(prompts, "items", None)
    return items() if callable(items) else enumerate(prompts)


def _bar(total: int, agent_id: str) -> Any:
    """tqdm's bar: of widgets where the notebook has them, else of text."""
    from tqdm import TqdmWarning

    with warnings.catch_warnings():
        # It would advise to install ipywidgets.
        warnings.simplefilter("ignore", TqdmWarning)
        from tqdm.auto import tqdm

        return tqdm(total=total, desc=agent_id, unit="run", file=sys.stderr)
