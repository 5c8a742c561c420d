"""Asks the person at the cell about a tool call, unless they decide elsewhere meanwhile."""

from __future__ import annotations

import _thread
import asyncio
import threading
from collections.abc import Callable

from ...errors import AgentsError, Conflict
from ..sync import ApprovalHandle
from ..transcript import clean

LOOK_S = 0.5
"""How often is looked whether it was decided elsewhere."""
QUESTION = "AskUserQuestion"


def ask(approval: ApprovalHandle) -> bool:
    """Ask, and decide. False when it was decided elsewhere while the question stood there. Raises IPython's
    StdinNotImplementedError where cells take no input, KeyboardInterrupt when the person interrupts."""
    while approval.state == "waits":
        answer = Prompt(approval).read(_prompt(approval))
        if answer is None:
            return False
        try:
            if _decide(approval, answer.strip()):
                return True
        except Conflict:
            return True  # it was decided elsewhere in the same moment; the run's events say how
    return True


def _prompt(approval: ApprovalHandle) -> str:
    if approval.tool == QUESTION:
        return "Your answer (nothing denies it): "
    always = ", r: always in this run, a: always with this agent" if approval.rules else ""
    return f"Allow {clean(approval.call)}?  y: yes{always}, n: no (n and why) "


def _decide(approval: ApprovalHandle, answer: str) -> bool:
    """False when the answer says nothing."""
    if approval.tool == QUESTION:
        if answer:
            approval.allow(answer=answer)
        else:
            approval.deny()
        return True
    word, _, why = answer.partition(" ")
    match word.lower():
        case "y" | "yes" if not why:
            approval.allow()
        case "r" if approval.rules and not why:
            approval.allow("run")
        case "a" if approval.rules and not why:
            approval.allow("agent")
        case "n" | "no":
            approval.deny(why.strip() or None)
        case _:
            return False
    return True


class Prompt:
    """Input that is broken off when the approval needs no decision any more: the kernel's `input` can be ended by an
    interrupt only, so it gets one."""

    def __init__(self, approval: ApprovalHandle, read: Callable[[str], str] = input) -> None:
        self._approval = approval
        self._read = read
        self._lock = threading.Lock()
        self._reading = False
        self._broken_off = False

    def read(self, prompt: str) -> str | None:
        """What was typed; None when it was decided elsewhere."""
        background, twin = self._approval._client.beside

        async def look() -> None:
            while True:
                await asyncio.sleep(LOOK_S)
                try:
                    found = await twin.approval(self._approval.id)
                except AgentsError:
                    continue
                if found.state != "waits":
                    with self._lock:
                        if self._reading:
                            self._broken_off = True
                            _thread.interrupt_main()
                    return

        looking = background.start(look())
        try:
            self._reading = True
            typed = self._read(prompt)
            with self._lock:
                self._reading = False
            return typed
        except KeyboardInterrupt:
            if not self._broken_off:
                raise
            return None
        finally:
            self._reading = False
            looking.cancel()
