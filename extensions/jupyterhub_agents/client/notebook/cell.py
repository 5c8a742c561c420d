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
ALONE = 24
"""So many parts of a run have a display of their own; after that a display holds more and more of them. JupyterLab
shows 50 outputs of a cell and hides the rest (its setting maxNumberOutputs)."""
REDRAW_S = 0.1
"""The least time between two drawings of a part that is being written. A part that takes long to draw gets more."""


class Section:
    """Parts that are drawn together."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.parts: list[Part] = []
        self._display: Display | None = None

    def draw(self) -> None:
        drawn = render.bundle(
            "".join(render.part_html(part) for part in self.parts),
            "\n".join(render.part_plain(part) for part in self.parts),
        )
        if self._display is None:
            self._display = Display(drawn)
        else:
            self._display.update(drawn)


class CellScreen:
    """One display for how the run stands, which ticks, and below it one for each part of the run. A part that is whole
    is not drawn again, so what a person folded open stays open."""

    def __init__(self, run: Run) -> None:
        self._story = Story()
        self._sections: list[Section] = []
        self._section_of: dict[int, Section] = {}
        self._due: dict[int, Section] = {}
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
            section = self._section_of.get(id(part)) or self._place(part)
            self._due[id(section)] = section
        # What is whole stands there before anything that the cell prints because of it.
        self.draw(at_once=isinstance(item, Event))

    def _place(self, part: Part) -> Section:
        """Where a new part goes: below all others."""
        count = len(self._sections)
        if not self._sections or len(self._sections[-1].parts) >= self._sections[-1].room:
            # Four sections of each size, each size twice the one before.
            self._sections.append(Section(1 if count < ALONE else 2 ** ((count - ALONE) // 4 + 1)))
        section = self._sections[-1]
        section.parts.append(part)
        self._section_of[id(part)] = section
        return section

    def draw(self, *, at_once: bool = False) -> None:
        """Draw what is due."""
        if not self._due or (not at_once and time.monotonic() - self._drawn_at < max(REDRAW_S, 10 * self._took_s)):
            return
        begin = time.monotonic()
        due, self._due = self._due, {}
        for section in due.values():
            section.draw()
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
