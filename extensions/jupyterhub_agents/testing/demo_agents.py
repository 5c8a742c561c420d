"""What the demo model makes of talk about agents, where it is offered the tools for them (`jupyter agents mcp`).

It understands "make me an agent that ...", "list my agents", "have NAME do ..." and "change NAME so that it ...".
"""

from __future__ import annotations

import json
import re
from typing import Any

from .demo_skills import Call, Desk, GaveUp, Work

PREFIX = "mcp__agents__"
TOOLS = ["Read", "Write", "Edit", "Glob", "Bash(ls:*)", "Bash(find:*)", "Bash(grep:*)", "Bash(python3:*)"]
"""What an agent gets that the demo makes: the work with files that the demo model knows."""
ABILITIES = """It can do simple things with your agents:

- Make me an agent that reviews Python files.
- Make an agent named Scribe that writes notes.
- List my agents.
- Have Scribe write notes.md about whales.
- Change Scribe so that it writes short notes.

With an ANTHROPIC_API_KEY, Claude itself works here."""

_NAME = r"(?:the\s+)?(?:agent\s+)?[\"'“`]?(?P<name>[\w-]+(?:\s[\w-]+){0,3}?)[\"'”`]?(?:\s+agent)?"
_MAKE = re.compile(
    r"\b(?:make|create|build|set up|write|want|need|like)\b[^.]*?\b(?:an?|another)\s+(?:new\s+)?"
    r"(?P<kind>[\w-]+(?:\s[\w-]+){0,2}?\s+)?agent\b"
    r"(?:\s*,?\s*(?:named|called)\s+[\"'“`]?(?P<name>[\w-]+(?:\s[\w-]+){0,3}?)[\"'”`]?)?"
    r"(?:\s*,?\s+(?:that|which|who|to|for)\s+(?P<job>.+))?$",
    re.IGNORECASE | re.DOTALL,
)
_LIST = re.compile(r"\b(?:list|show|which|what|see)\b.*\bagents\b", re.IGNORECASE | re.DOTALL)
_RUN = re.compile(
    rf"^(?:please\s+)?(?:have|let|ask|run|tell)\s+{_NAME}(?:\s+to\b|\s*[:,])?\s+(?P<job>\S.*)$",
    re.IGNORECASE | re.DOTALL,
)
_CHANGE = re.compile(
    rf"^(?:please\s+)?(?:change|update|edit)\s+{_NAME}\s+(?:so that it|to)\s+(?P<job>.+)$", re.IGNORECASE | re.DOTALL
)


def work(prompt: str, desk: Desk) -> Work | None:
    """The work that a prompt about agents asks for; None when it is about something else, or the tools are missing."""
    if f"{PREFIX}create_agent" not in desk.tools:
        return None
    said = " ".join(prompt.split()).rstrip(".!? ")
    if found := _MAKE.search(said):
        return _make(found)
    if _LIST.search(said):
        return _list()
    if found := _CHANGE.search(said):
        return _change(found)
    if (found := _RUN.search(said)) and are_all(desk.tools):
        return _run(found)
    return None


def are_all(tools: frozenset[str]) -> bool:
    """Whether there is nothing to work with but agents."""
    return f"{PREFIX}create_agent" in tools and not {"Bash", "Read", "Write"} & tools


def _make(found: re.Match[str]) -> Work:
    job = (found["job"] or "").strip()
    if not job:
        raise GaveUp("Please say what it should do: make me an agent that reviews Python files.")
    kind = (found["kind"] or "").strip()
    name = found["name"] or (f"{kind} agent" if kind else " ".join(job.split()[:3]))
    given = {
        "name": name[:1].upper() + name[1:],
        "description": f"{job[:1].upper()}{job[1:]}.",
        "instructions": f"Your job: {job}. Work in your own folder, and say briefly what you did.",
        "tools": TOOLS,
        "permission_mode": "acceptEdits",
    }
    made = yield from _ask(f"I make the agent “{given['name']}”.", "create_agent", given)
    return f"I made the agent “{made['name']}” (`{made['id']}`). Say: have {made['id']} list the files."


def _list() -> Work:
    found = yield from _ask("I look at your agents.", "list_agents", {})
    agents = found["agents"]
    if not agents:
        return "You have no agents yet. Say: make me an agent that reviews Python files."
    lines = [f"- `{agent['id']}`: {agent['name']}, revision {agent['revision']}" for agent in agents]
    return "Your agents:\n\n" + "\n".join(lines)


def _run(found: re.Match[str]) -> Work:
    agent_id = yield from _find(found["name"])
    ran = yield from _ask(f"I run `{agent_id}`.", "run_agent", {"id": agent_id, "prompt": found["job"]})
    said = ran.get("result") or ran.get("error") or ran.get("note") or ""
    return f"The run of `{agent_id}` is {ran['status']} (`{ran['run_id']}`):\n\n{said}"


def _change(found: re.Match[str]) -> Work:
    agent_id = yield from _find(found["name"])
    agent = yield from _ask(f"I read `{agent_id}`.", "get_agent", {"id": agent_id})
    instructions = f"{agent.get('instructions', '')}\n\nFrom now on: {found['job']}."
    changes = {"id": agent_id, "revision": agent["revision"], "instructions": instructions.strip()}
    changed = yield from _ask(f"I change `{agent_id}`.", "update_agent", changes)
    return f"I changed `{agent_id}`; it is at revision {changed['revision']} now."


def _find(name: str) -> Any:
    """The id of the agent that is meant. Raises GaveUp."""
    found = yield from _ask("I look for it among your agents.", "list_agents", {})
    for agent in found["agents"]:
        if name.lower() in (agent["id"].lower(), agent["name"].lower()):
            return agent["id"]
    there = ", ".join(f"`{agent['id']}`" for agent in found["agents"]) or "none"
    raise GaveUp(f"There is no agent “{name}”; there are: {there}.")


def _ask(says: str, tool: str, given: dict[str, Any]) -> Any:
    """What a tool for agents answers."""
    answer = yield Call(says, PREFIX + tool, given)
    try:
        return json.loads(answer.text)
    except ValueError as error:
        raise GaveUp(f"{tool} answered what I do not understand: {answer.text[:200]}") from error
