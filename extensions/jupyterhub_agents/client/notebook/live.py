"""What a notebook shows of a run handle: how it stands, live for as long as it works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from ...errors import AgentsError
from ...models import Run
from ..follow import Item
from . import render
from .displays import Display, show
from .story import Notice, Story

TICK_S = 0.5


def show_run(
    run: Run,
    items: Callable[[], AsyncGenerator[Item, None]],
    beside: Callable[[Coroutine[Any, Any, None]], object],
) -> None:
    """Show how it stands; what keeps that up to date is given to `beside`."""
    story = Story()
    drawn = render.summary(story, run)
    if run.status.is_final:
        show(drawn)
    else:
        beside(_keep(Display(drawn), story, run, items))


async def _keep(place: Display, story: Story, run: Run, items: Callable[[], AsyncGenerator[Item, None]]) -> None:
    """Draw it anew for as long as it works, at most every TICK_S seconds."""
    reading = asyncio.create_task(_read(story, items), name=f"look at {run.id}")
    drawn: dict[str, str] = {}
    try:
        while not reading.done():
            await asyncio.wait({reading}, timeout=TICK_S)
            run = story.run or run
            if (now := render.summary(story, run)) != drawn:
                drawn = now
                place.update(drawn)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(story: Story, items: Callable[[], AsyncGenerator[Item, None]]) -> None:
    try:
        async with aclosing(items()) as found:
            async for item in found:
                story.take(item)
    except AgentsError as error:
        # What is shown stays as it was last seen; the handle's own methods say what is wrong.
        story.parts.append(Notice(error.message))
