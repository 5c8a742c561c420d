"""What the command line shows: tables, an agent, a run live. Control characters go to terminals only."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Protocol, TextIO, TypeGuard

from pydantic import BaseModel
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.prompt import Prompt
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ..errors import Conflict
from ..models import Delta, Event, EventType, Run
from .sync import AgentHandle, ApprovalHandle, RunHandle
from .transcript import MARKS, Piece, PlainWriter, Transcript, clean, outcome
from .views import AgentView, ApprovalView, RunView, ShareView

STYLES = {"tool": "cyan", "problem": "red", "notice": "yellow"}
REFRESH_HZ = 8


class Screen(Protocol):
    """Where a run is shown."""

    def write(self, piece: Piece) -> None: ...
    def record(self, run: Run) -> None: ...
    def end(self, run: Run) -> None: ...


def follow(run: RunHandle, *, as_json: bool, after: int = 0, cancel: bool = True) -> tuple[Run, bool]:
    """Show a run to its end. Returns its last record, and whether Ctrl-C here cancelled it. A second Ctrl-C,
    or the first when `cancel` is off, raises KeyboardInterrupt and leaves the run alone."""
    transcript = Transcript()
    stopped = False
    with _screen(as_json) as screen:
        screen.record(run.record)
        while True:
            try:
                for item in run.stream(after):
                    if isinstance(item, Event):
                        after = item.seq
                    if isinstance(item, Run):
                        screen.record(item)
                    if isinstance(screen, JsonLines):
                        screen.item(item)
                        continue
                    for piece in transcript.take(item):
                        screen.write(piece)
                    if isinstance(screen, TerminalScreen) and sys.stdin.isatty() and _asks(item):
                        screen.ask(run.approval(str(item.payload["id"])))
                screen.end(run.record)
                return run.record, stopped
            except KeyboardInterrupt:
                if stopped or not cancel:
                    raise
                stopped = True
                screen.write(Piece("notice", "cancelling; Ctrl-C again leaves it to itself"))
                with suppress(Conflict):
                    run.cancel()


def _asks(item: Event | Delta | Run) -> TypeGuard[Event]:
    """Whether a call began to wait for a person."""
    return isinstance(item, Event) and item.type is EventType.APPROVAL and "tool" in item.payload


def _screen(as_json: bool) -> AbstractContextManager[Screen]:
    if as_json:
        return nullcontext(JsonLines())
    return TerminalScreen() if sys.stdout.isatty() else nullcontext(PipeScreen(sys.stdout, sys.stderr))


class JsonLines:
    """Every item as a line of JSON, in the form of the WebSocket."""

    def item(self, item: Event | Delta | Run) -> None:
        kind = "event" if isinstance(item, Event) else "delta" if isinstance(item, Delta) else "run"
        self._line(kind, item)

    def write(self, piece: Piece) -> None:
        """Words are in the events."""

    def record(self, run: Run) -> None:
        """The record is an item."""

    def end(self, run: Run) -> None:
        self._line("end", run)

    def _line(self, kind: str, data: BaseModel) -> None:
        sys.stdout.write(f'{{"type": "{kind}", "data": {data.model_dump_json()}}}\n')
        sys.stdout.flush()


class PipeScreen:
    """The agent's words to one stream, all about them to the other."""

    def __init__(self, words: TextIO, rest: TextIO) -> None:
        self._words = PlainWriter(words)
        self._rest = PlainWriter(rest)

    def write(self, piece: Piece) -> None:
        self._words.write(piece if piece.kind == "text" else Piece("block"))
        if piece.kind not in ("text", "block"):
            self._rest.write(piece)

    def record(self, run: Run) -> None:
        """Nothing to show: no line can be changed afterwards."""

    def end(self, run: Run) -> None:
        self._words.write(Piece("block"))
        self._rest.end(run)


class TerminalScreen:
    """Whole lines above, the unfinished one and what goes on below."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._began = time.monotonic()
        self._run: Run | None = None
        self._line = ""
        self._spinner = Spinner("dots")
        self._live = Live(
            console=self._console, get_renderable=self._render, refresh_per_second=REFRESH_HZ, transient=True
        )

    def __enter__(self) -> TerminalScreen:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._finish_line()
        self._live.stop()

    def write(self, piece: Piece) -> None:
        if piece.kind == "text":
            *lines, self._line = (self._line + piece.text).split("\n")
            for line in lines:
                self._console.print(Text(line))
            return
        self._finish_line()
        if piece.kind != "block":
            self._console.print(Text(f"{MARKS[piece.kind]} {piece.text}", style=STYLES[piece.kind]))

    def record(self, run: Run) -> None:
        self._run = run

    def ask(self, approval: ApprovalHandle) -> None:
        """Have the person at the keyboard decide, unless that was done elsewhere."""
        if approval.state != "waits":
            return
        self._finish_line()
        self._live.stop()
        try:
            given = approval.input
            whole = given["command"] if set(given) <= {"command", "description"} else json.dumps(given, indent=2)
            self._console.print(Text(f"{approval.tool}: {clean(str(whole))}", style="bold"))
            if approval.record.reason:
                self._console.print(Text(clean(approval.record.reason), style="dim"))
            try:
                self._console.print(Text(_decide(approval, self._console), style="dim"))
            except Conflict as error:
                self._console.print(Text(clean(error.message), style="yellow"))
        finally:
            self._live.start()

    def end(self, run: Run) -> None:
        self._finish_line()
        self._live.stop()
        if run.error is not None:
            self.write(Piece("problem", clean(run.error.message)))
        style = "green" if run.status.value == "succeeded" else "red"
        self._console.print(Text(outcome(run), style=style))

    def _finish_line(self) -> None:
        line, self._line = self._line, ""
        if line:
            self._console.print(Text(line))

    def _render(self) -> RenderableType:
        parts = [self._run.status.value if self._run else "starting", f"{time.monotonic() - self._began:.0f} s"]
        if self._run and self._run.turns:
            parts.append(f"{self._run.turns} turns")
        if self._run and self._run.usage.cost_usd:
            parts.append(f"${self._run.usage.cost_usd:.4f}")
        self._spinner.update(text=Text(" · ".join(parts), style="dim"))
        return Group(Text(self._line), self._spinner) if self._line else self._spinner


def _decide(approval: ApprovalHandle, console: Console) -> str:
    """Ask, decide, and say what that did."""
    if approval.tool == "AskUserQuestion":
        answer = Prompt.ask("Your answer", console=console)
        return f"answered: {(approval.allow(answer=answer) if answer else approval.deny()).record.message or 'nothing'}"
    choices = {"y": "yes", "n": "no"}
    if approval.rules:
        choices = {"y": "yes", "r": "always in this run", "a": "always with this agent", "n": "no"}
        if approval.record.agent_owner is not None:
            del choices["a"]  # another's, who says what it may always do
        console.print(Text(f"always would allow: {clean(', '.join(approval.rules))}", style="dim"))
    words = ", ".join(f"{key} {meaning}" for key, meaning in choices.items())
    match Prompt.ask(f"Allow it? ({words})", console=console, choices=list(choices), show_choices=False):
        case "y":
            return approval.allow().state
        case "r":
            return approval.allow("run").state
        case "a":
            return approval.allow("agent").state
        case _:
            why = Prompt.ask("What should it do instead? (Enter: nothing to say)", console=console, default="")
            return approval.deny(why or None).state


def aside(text: str) -> None:
    """One line about what is going on, to stderr."""
    Console(stderr=True, highlight=False).print(Text(clean(text), style="dim"), soft_wrap=True)


def say(text: str, *, problem: bool = False) -> None:
    """One line for the person; problems go to stderr."""
    Console(stderr=problem, highlight=False).print(Text(clean(text), style="red" if problem else ""), soft_wrap=True)


def print_json(what: BaseModel | Sequence[BaseModel] | Sequence[dict[str, Any]]) -> None:
    """One JSON document."""
    data = [_plain(item) for item in what] if not isinstance(what, BaseModel) else _plain(what)
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def _plain(item: BaseModel | dict[str, Any]) -> Any:
    return item.model_dump(mode="json") if isinstance(item, BaseModel) else item


def print_table(
    items: Sequence[AgentView] | Sequence[RunView] | Sequence[ApprovalView] | Sequence[ShareView], *, empty: str
) -> None:
    """A table; where no terminal cuts it to a width, tabs between the cells."""
    if not items:
        say(empty)
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        for item in items:
            sys.stdout.write("\t".join(" ".join(clean(cell).split()) for cell in item.row()) + "\n")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, name in enumerate(items[0].columns):
        # The id is there to be copied.
        table.add_column(name, no_wrap=number == 0, overflow="ellipsis" if number else "fold")
    for item in items:
        table.add_row(*(Text(clean(cell)) for cell in item.row()))
    console.print(table)


def print_agent(agent: AgentHandle) -> None:
    """An agent, all of it, as its subagent file reads."""
    from .. import subagents

    console = Console(highlight=False)
    record = agent.record
    about = f"{agent.id}, revision {agent.revision}, changed {record.updated_at:%Y-%m-%d %H:%M} UTC, works in "
    console.print(Text(about + agent.directory, style="dim"), soft_wrap=True)
    console.print(Text(clean(subagents.render(record))), soft_wrap=True)


def print_run(run: RunHandle) -> None:
    """What a run did so far, without waiting for more."""
    console = Console(highlight=False)
    transcript = Transcript()
    writer = PlainWriter(sys.stdout)
    console.print(Text(clean(f"{run.agent_id}, revision {run.record.agent_revision}: {run.prompt}"), style="dim"))
    for piece in transcript.take(run.record):
        writer.write(piece)
    for event in run.history():
        for piece in transcript.take(event):
            writer.write(piece)
    writer.end(run.record)
