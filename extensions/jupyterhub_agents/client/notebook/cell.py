"""A run in a cell: shown as it goes on, cancelled by an interrupt, its approvals answered where it is watched."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from IPython.core.error import StdinNotImplementedError

from ...errors import AgentsError, Conflict
from ...models import Event, EventType, Run
from ..sync import RunHandle
from . import render
from .asking import ask
from .displays import Display, show
from .story import Notice, Part, Story

TICK_S = 0.5
"""How often the clock in the cell moves."""
LEFT = "Answered elsewhere. Press Enter in the box above, which is of no use any more, before you run another cell."
"""A frontend keeps the box of a question that the kernel gave up, and runs no cell before it is answered (JupyterLab
4.6). What is typed there would answer the next question, so none is asked in that cell."""
REDRAW_S = 0.1
"""The least time between two drawings of a part that is being written. A part that takes long to draw gets more."""


class CellScreen:
    """One display for how the run stands, which ticks, and below it one for each part of the run. A part that is whole
    is not drawn again, so what a person folded open stays open."""

    def __init__(self, run: Run) -> None:
        self._story = Story()
        self._shown: dict[int, Display] = {}
        self._due: dict[int, Part] = {}
        self._drawn_at = 0.0
        self._took_s = 0.0
        self._head_said = ""
        self._head = Display(render.bundle(render.head_html(run), render.head_plain(run)))
        self.record(run)

    def record(self, run: Run) -> None:
        """Draw how it stands, if that looks different now."""
        html = render.head_html(run)
        if html != self._head_said:
            self._head_said = html
            self._head.update(render.bundle(html, render.head_plain(run)))

    def take(self, item: Any) -> None:
        """Note what an item changed, and draw it unless that was done just now."""
        for part in self._story.take(item):
            self._due[id(part)] = part
        # What is whole stands there before anything that the cell prints because of it.
        self.draw(at_once=isinstance(item, Event))

    def draw(self, *, at_once: bool = False) -> None:
        """Draw what is due."""
        if not self._due or (not at_once and time.monotonic() - self._drawn_at < max(REDRAW_S, 10 * self._took_s)):
            return
        begin = time.monotonic()
        due, self._due = self._due, {}
        for key, part in due.items():
            drawn = render.bundle(render.part_html(part), render.part_plain(part))
            if key in self._shown:
                self._shown[key].update(drawn)
            else:
                self._shown[key] = Display(drawn)
        self._drawn_at = time.monotonic()
        self._took_s = self._drawn_at - begin


def follow(run: RunHandle, *, after: int = 0) -> None:
    """Show a run to its end. An interrupt cancels it and is raised again when it has ended; a second one leaves it to
    itself."""
    screen = CellScreen(run.record)
    interrupted: KeyboardInterrupt | None = None
    asked: list[str] = []
    may_ask = True
    while True:
        try:
            for item in run._ticking(after, TICK_S):
                if isinstance(item, Event):
                    after = item.seq
                if item is not None:
                    screen.take(item)
                else:
                    screen.draw()
                screen.record(run.record)
                if isinstance(item, Event) and _asks(item):
                    asked.append(str(item.payload["id"]))
                elif asked and may_ask and interrupted is None and not isinstance(item, Event):
                    screen.draw(at_once=True)
                    may_ask = _answer(run, asked.pop(0))
            break
        except KeyboardInterrupt as error:
            if interrupted is not None:
                raise
            interrupted = error
            with suppress(Conflict):
                run.cancel()
    screen.draw(at_once=True)
    screen.record(run.record)
    if interrupted is not None:
        raise interrupted


def _asks(event: Event) -> bool:
    return event.type is EventType.APPROVAL and "tool" in event.payload and not event.payload.get("decision")


def _answer(run: RunHandle, approval_id: str) -> bool:
    """Have the person answer in the cell; whether they can be asked there again. Where cells take no input, they answer
    elsewhere; the display says where."""
    try:
        if ask(run.approval(approval_id)):
            return True
        show(render.bundle(render.part_html(Notice(LEFT)), render.part_plain(Notice(LEFT))))
        return False
    except StdinNotImplementedError:
        return False
    except AgentsError as error:
        show(render.bundle(render.part_html(Notice(error.message)), error.message))
        return True
