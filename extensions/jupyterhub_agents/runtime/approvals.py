"""Asks a person about the tool calls of one run, and holds each call until they have decided."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AlreadyExists, Conflict
from ..ids import Clock, new_id
from ..models import Approval, Decision, EventType, RunStatus
from ..store import MAX_PAGE, AgentStore
from . import metrics
from .lifecycle import tell_asked, tell_closed, tell_decided
from .recorder import Recorder, without_half_characters

if TYPE_CHECKING:
    from claude_agent_sdk import PermissionUpdate, ToolPermissionContext

log = logging.getLogger(__name__)

EDITING_TOOLS = {"Edit", "MultiEdit", "NotebookEdit", "Write"}
"""What a rule for `Edit` covers (Claude Code's documentation, "Permission rule syntax")."""
QUESTION = "AskUserQuestion"
LONGEST_INPUT = 20_000
"""Characters of a call's input that are said again in words. A longer one stands in the session."""
STORABLE_RULE = r"[A-Za-z_][^\n\r\0]{0,998}"
"""What an agent can have as a rule (models.ToolRule)."""
PLAIN_FOLDER = r"/[^*?\[\]!\\()]+"
"""An absolute path, not the root, that means itself in a rule."""
WITHDRAWN_S = 1.0
"""How long after the CLI gave up a call it counts as withdrawn, unless the CLI itself ends."""


@dataclass(frozen=True)
class Verdict:
    """What came of a call: denied, in words for Claude, or allowed, with `added` in its input, and with rules by which
    such calls are allowed from now on."""

    denial: str | None = None
    added: dict[str, Any] = field(default_factory=dict)
    rules: Sequence[str] = ()


class Gate:
    """The tool calls of one run that need a person. It outlives the run's CLI processes: what was decided while there
    was none is said to the next one in words, and the very same call is then let through once."""

    def __init__(self, store: AgentStore, recorder: Recorder, clock: Clock) -> None:
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._waiting: dict[str, Approval] = {}
        self._holds: dict[str, asyncio.Future[Approval]] = {}
        self._untold: list[Approval] = []
        self._rules: list[str] = []
        self._asked = False
        self._resting = False
        self._withdrawing: set[asyncio.Task[None]] = set()
        self.directory = Path.home()
        self.asked_at = 0.0
        """When a call was last asked about, by time.monotonic()."""
        self.changed = asyncio.Event()
        """Set whenever a call begins or ceases to wait."""

    @property
    def waiting(self) -> int:
        """How many calls wait for a person."""
        return len(self._waiting)

    @property
    def untold(self) -> bool:
        """Whether decisions were made that the CLI does not know of."""
        return bool(self._untold)

    @property
    def rules(self) -> list[str]:
        """What a person allowed for the rest of this run."""
        return list(self._rules)

    async def load(self) -> None:
        """Take up what former servers left: the calls that wait, the decisions not told yet, the rules of the run."""
        run = self._recorder.run
        before: str | None = None
        found: list[Approval] = []
        while True:
            page = await self._store.list_approvals(run.owner, run_id=run.id, limit=MAX_PAGE, before=before)
            found = [*reversed(page.items), *found]
            before = page.next
            if before is None:
                break
        for approval in found:
            if approval.decision is None and not approval.closed:
                self._wait_for(approval)
            elif approval.decision is not None:
                self._take_rules(approval)
                if approval.delivered_at is None:
                    self._untold.append(approval)

    async def announce(self) -> None:
        """Record the calls that wait, and that the run does: a server that was killed may not have come to it."""
        for approval in self._waiting.values():
            await self._recorder.add(EventType.APPROVAL, approval.model_dump(mode="json"))
        await self._record_status(RunStatus.WAITING)

    # What the CLI asks

    async def ask(self, tool: str, tool_input: dict[str, Any], context: ToolPermissionContext) -> Verdict:
        """Called for each call that the CLI's own rules and the site's leave to a person."""
        given = without_half_characters(tool_input)
        if (decided := await self._let_through(tool, given)) is not None:
            return _answer(decided, tool_input)
        approval = Approval(
            id=new_id(self._clock),
            owner=self._recorder.run.owner,
            run_id=self._recorder.run.id,
            agent_id=self._recorder.run.agent_id,
            agent_owner=self._recorder.run.agent_owner,
            tool=tool,
            tool_use_id=context.tool_use_id,
            input=given,
            reason=context.decision_reason,
            rules=rules_of(tool, given, context.suggestions, self.directory),
            created_at=self._clock(),
        )
        self._asked = True
        # Once it is stored it can be decided, and that may be before the store's answer is here.
        hold = self._holds[approval.id] = asyncio.get_running_loop().create_future()
        try:
            await self._recorder.persist(lambda: self._create(approval))
            decided_already = hold.done()
            if not decided_already:
                self.asked_at = time.monotonic()
                self._wait_for(approval)
                tell_asked(approval)
            await self._recorder.add(EventType.APPROVAL, approval.model_dump(mode="json"))
            if decided_already:
                await self._record_decision(hold.result())
            else:
                await self._record_status(RunStatus.WAITING)
            decided = await hold
            await self._deliver(decided)
        except asyncio.CancelledError:
            # The CLI asks no more, or it is gone: only the end of the run, or the lack of one, tells.
            if not self._resting:
                task = asyncio.create_task(self._withdraw(approval.id), name=f"withdraw {approval.id}")
                self._withdrawing.add(task)
                task.add_done_callback(self._withdrawing.discard)
            raise
        finally:
            self._holds.pop(approval.id, None)
        if not self._waiting:
            await self._record_status(RunStatus.RUNNING)
        return _answer(decided, tool_input)

    async def _create(self, approval: Approval) -> None:
        try:
            await self._store.create_approval(approval)
        except AlreadyExists:
            log.debug("approval %s was stored by a call whose answer was lost", approval.id)

    async def _let_through(self, tool: str, given: dict[str, Any]) -> Approval | None:
        """The decision made before on the very same call, which has not been told yet. It counts once."""
        for approval in self._untold:
            if approval.id in self._holds or approval.decision is Decision.DENY:
                continue
            if approval.tool == tool and approval.input == given:
                self._untold.remove(approval)
                return approval if await self._deliver(approval) else None
        return None

    async def _deliver(self, approval: Approval) -> bool:
        """Store that the CLI is told, before it is; False when another server did."""
        self._untold = [other for other in self._untold if other.id != approval.id]
        try:
            await self._recorder.persist(lambda: self._store.deliver_approval(approval.owner, approval.id))
        except Conflict as error:
            log.warning("run %s: %s", approval.run_id, error.message)
            return False
        return True

    async def _withdraw(self, approval_id: str) -> None:
        await asyncio.sleep(WITHDRAWN_S)
        # Also one that is not known to be stored may be: its call of the store was given up with it.
        await self._close(approval_id)
        if not self._waiting:
            await self._record_status(RunStatus.RUNNING)

    # What people decide

    async def decided(self, approval: Approval) -> None:
        """Take a decision that is stored: to the CLI when it holds the call, else to keep it for the next one."""
        waited = self._waiting.pop(approval.id, None) is not None
        hold = self._holds.get(approval.id)
        if not waited and hold is None:
            return
        tell_decided(self._recorder.run, approval)
        self._take_rules(approval)
        self._untold.append(approval)
        if waited:
            metrics.WAITING_APPROVALS.dec()
            await self._record_decision(approval)  # else `ask` does, after the call itself
        if hold is not None and not hold.done():
            hold.set_result(approval)
        self.changed.set()

    async def _record_decision(self, approval: Approval) -> None:
        said = approval.model_dump(mode="json", include={"id", "decision", "message", "decided_by", "decided_at"})
        await self._recorder.add(EventType.APPROVAL, said)

    async def all_decided(self) -> None:
        """Wait until no call waits for a person."""
        while self._waiting:
            self.changed.clear()
            await self.changed.wait()

    # Between two processes of the CLI

    def words(self) -> str:
        """What a CLI that resumes the session has to know: it has forgotten the calls that were open when its
        predecessor ended."""
        lines = [
            "This session was interrupted while tool calls of yours waited for a person. They were not carried out. "
            "The person has decided meanwhile:"
        ]
        for number, approval in enumerate(self._untold, 1):
            call = json.dumps(approval.input, ensure_ascii=False)
            if len(call) > LONGEST_INPUT:
                call = f"the input that stands in your call {approval.tool_use_id}"
            if approval.decision is Decision.DENY:
                said = f"; they say: {approval.message}" if approval.message else ""
                verdict = f"Denied{said}. Do not make this call again."
            elif approval.tool == QUESTION:
                verdict = f"They answer: {approval.message}"
            else:
                verdict = "Allowed. Make this call again now, with exactly this input."
            lines.append(f"{number}. {approval.tool} {call}\n   {verdict}")
        lines.append("Then go on with the task from where you were.")
        return "\n".join(lines)

    def begin(self) -> None:
        """A CLI begins to work on the run."""
        self._resting = False

    async def told(self) -> None:
        """The words have been said. What they settle needs no telling any more; a call that was allowed once is
        let through when it comes."""
        for approval in list(self._untold):
            if approval.decision is not Decision.ONCE or approval.tool == QUESTION:
                await self._deliver(approval)

    # The end

    async def rest(self) -> None:
        """The CLI ends, or has ended. The calls that wait go on waiting."""
        self._resting = True
        for task in list(self._withdrawing):
            task.cancel()
        await asyncio.gather(*self._withdrawing, return_exceptions=True)

    async def close(self) -> None:
        """The run has ended: nothing waits any more."""
        await self.rest()
        if self._waiting or self._asked:
            await self._close(None)

    def forget(self) -> None:
        """This server looks after the run no more."""
        metrics.WAITING_APPROVALS.dec(len(self._waiting))
        self._waiting.clear()

    async def _close(self, approval_id: str | None) -> None:
        """Close one call that waits, or all. One that was decided at that moment stays decided."""
        run = self._recorder.run
        await self._recorder.persist(lambda: self._store.close_approvals(run.owner, run.id, approval_id))
        for closed in [approval_id] if approval_id else list(self._waiting):
            if (approval := self._waiting.pop(closed, None)) is not None:
                metrics.WAITING_APPROVALS.dec()
                tell_closed(approval)
                await self._recorder.add(EventType.APPROVAL, {"id": closed, "closed": True})
        self.changed.set()

    # Small parts

    def _wait_for(self, approval: Approval) -> None:
        self._waiting[approval.id] = approval
        metrics.WAITING_APPROVALS.inc()
        self.changed.set()

    def _take_rules(self, approval: Approval) -> None:
        if approval.decision in (Decision.RUN, Decision.AGENT):
            self._rules.extend(rule for rule in approval.rules if rule not in self._rules)

    async def _record_status(self, status: RunStatus) -> None:
        if self._recorder.newest_status is not status:
            await self._recorder.add(EventType.STATUS, {"status": status.value}, status=status)


def _answer(approval: Approval, tool_input: dict[str, Any]) -> Verdict:
    if approval.decision is Decision.DENY:
        said = f" They say: {approval.message}" if approval.message else ""
        return Verdict(denial=f"The person denied this call.{said}")
    if approval.tool == QUESTION:
        questions = [item.get("question") for item in tool_input.get("questions") or [] if isinstance(item, dict)]
        return Verdict(added={"answers": {str(question): approval.message or "" for question in questions}})
    return Verdict(rules=() if approval.decision is Decision.ONCE else approval.rules)


def rules_of(
    tool: str, tool_input: dict[str, Any], suggestions: Sequence[PermissionUpdate], directory: Path
) -> list[str]:
    """The rules by which such calls would be allowed from now on, as Claude Code suggests them. None when it suggests
    none: for a call that no rule can describe, or one that the site's policy has asked about each time."""
    rules = [
        f"{rule.tool_name}({rule.rule_content})" if rule.rule_content else rule.tool_name
        for update in suggestions
        if update.type == "addRules" and update.behavior == "allow"
        for rule in update.rules or []
    ]
    folders: list[str] = []
    if tool in EDITING_TOOLS and suggestions and not rules:
        # Claude Code suggests to accept all edits, everywhere; a rule says where.
        path = Path(str(tool_input.get("file_path") or tool_input.get("notebook_path") or ""))
        folders = [str(directory if path.is_relative_to(directory) else path.parent)]
    elif tool == "Bash" and ">" in str(tool_input.get("command")):
        # A command whose output goes to a file is asked about for the file too (seen with CLI 2.1.329).
        folders = [folder for update in suggestions for folder in update.directories or []]
    if not all(re.fullmatch(PLAIN_FOLDER, folder) for folder in folders):
        return []
    rules += [f"Edit(/{folder}/**)" for folder in folders]
    return rules if all(re.fullmatch(STORABLE_RULE, rule) for rule in rules) else []
