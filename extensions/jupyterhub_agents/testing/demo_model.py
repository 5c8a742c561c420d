"""The demo model: stands in for Claude where there is no API key, so that a newcomer sees an agent work. No AI.

    python -m jupyterhub_agents.testing.demo_model --port 8090

It understands simple English (`demo_language`) and really drives the agent's tools (`demo_skills`). It reports no
tokens, because Claude Code prices tokens by the model that was asked for, and a demo costs nothing.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import time
from types import FrameType

import click

from . import demo_agents
from .conversation import Request, ToolResult
from .demo_language import MAX_PROMPT, parse
from .demo_skills import SKILLS, Call, Desk, GaveUp, Work
from .model_server import ModelServer
from .replies import Reply, say, use

DEMO_NOTICE = "This is the demo model: it follows a script and is no AI."
"""The one sentence that says so: for consoles, runs and pages."""
DEMO_MODEL = "demo-model"
"""The model id in its messages."""
KEY_VARIABLE = "JUPYTERHUB_AGENTS_DEMO_KEY"
"""Environment variable with the API key that it asks for; without it, it asks for none."""

ABILITIES = """It can do simple things with the files of this folder:

- List the files here.
- Write hello.py that prints "Hello!" and run it.
- Create notes.md about whales, then show it.
- Replace "whales" with "dolphins" in notes.md.
- Add the line "More soon." to notes.md.
- Count the files here.
- Review hello.py.
- Find "TODO".
- Run `date`.

With an ANTHROPIC_API_KEY, Claude itself works here."""
_PACE_S = 0.03
_LONGEST_S = 3.0
_PARENT_POLL_S = 1.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class DemoModel(ModelServer):
    """Answers every prompt by what it says; stateless, so it serves any number of people."""

    models = (DEMO_MODEL,)

    def play(self, request: Request) -> Reply:
        if request.step > len(request.results):
            return _spoken("I have lost the thread, because the session was compacted. Please ask again.")
        call = _next_call(request)
        if isinstance(call, str):
            return _spoken(call)
        return _delivered(say(call.says) + use(call.tool, call.input))


def _next_call(request: Request) -> Call | str:
    """The tool call that is due, or the last words: the work is done again up to here with the known results."""
    directory = re.search(r"Primary working directory: (.+)", request.surroundings)
    desk = Desk(directory[1].strip() if directory else ".", frozenset(request.tools))
    work = _work(request.prompt, desk)
    try:
        call = next(work)
        for result in request.results:
            call = work.send(result)
    except StopIteration as end:
        return str(end.value)
    return call


def _work(prompt: str, desk: Desk) -> Work:
    """All tasks of a prompt, one after the other; what it returns is the summary."""
    short = len(prompt) <= MAX_PROMPT
    if short and (about_agents := demo_agents.work(prompt, desk)):
        try:
            return (yield from _guarded(about_agents, desk))
        except GaveUp as end:
            return str(end)
    if demo_agents.are_all(desk.tools):
        return demo_agents.ABILITIES
    tasks, strange = parse(prompt) if short else ([], [])
    if not tasks:
        return ABILITIES
    done: list[str] = []
    for task in tasks:
        try:
            done.append((yield from _guarded(SKILLS[task.skill](task, desk), desk)))
        except GaveUp as end:
            done += [str(end), "I stopped here."]
            break
    if strange:
        done.append("I did not understand: " + "; ".join(f"“{clause[:80]}”" for clause in strange[:3]) + ".")
    return "\n\n".join(done)


def _guarded(work: Work, desk: Desk) -> Work:
    """A skill at work, which ends with GaveUp when a tool is missing, is not allowed, or fails."""
    try:
        call = next(work)
        while True:
            if call.tool not in desk.tools:
                raise GaveUp(f"This takes the tool {call.tool}, which this agent does not have.")
            result: ToolResult = yield call
            if result.is_error and not call.may_fail:
                raise GaveUp(f"The tool {call.tool} said: {result.text[:500]}")
            call = work.send(result)
    except StopIteration as end:
        return str(end.value)


def _spoken(text: str) -> Reply:
    return _delivered(say(f"{DEMO_NOTICE}\n\n{text}"))


def _delivered(reply: Reply) -> Reply:
    """Word by word, at a pleasant pace; and for nothing."""
    words = sum(len(str(block.get("text", "")).split()) for block in reply.blocks)
    pace = min(_PACE_S, _LONGEST_S / max(1, words))
    return reply.paced(pace).usage(input_tokens=0, output_tokens=0).as_model(DEMO_MODEL)


def _end_with_parent() -> None:
    """Have the kernel end this process when its parent ends, where there is prctl(2)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


@click.command(help="Serve the demo model: a stand-in for Claude that follows a script and is no AI.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="a free one")
@click.option("--host", default="127.0.0.1", show_default=True)
def main(port: int, host: str) -> None:
    parent = os.getppid()
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    _end_with_parent()
    model = DemoModel(host=host, port=port, api_key=os.environ.get(KEY_VARIABLE) or None, keep_requests=False)
    try:
        model.start()
    except OSError as error:
        raise click.ClickException(
            f"The demo model cannot listen on {host}:{port}: {error.strerror}. Choose another --port."
        ) from error
    try:
        click.echo(f"Demo model at {model.url}. {DEMO_NOTICE}")
        while os.getppid() == parent:
            time.sleep(_PARENT_POLL_S)
    finally:
        model.stop()


if __name__ == "__main__":
    main()
