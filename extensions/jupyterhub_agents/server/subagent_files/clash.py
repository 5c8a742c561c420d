"""The agent that keeps what a file said when its agent was changed elsewhere too."""

from __future__ import annotations

import json
import re

from ...errors import InvalidInput
from ...models import MAX_NAME, AgentSpec
from ...store.rules import same_spec
from ...subagents import OWN_KEY, parse, render_spec

SUFFIX = " (edited in the file)"


def in_file(spec: AgentSpec) -> AgentSpec:
    """The definition, with a name that says where it is from."""
    name = spec.name if spec.name.endswith(SUFFIX) else spec.name[: MAX_NAME - len(SUFFIX)] + SUFFIX
    return spec.model_copy(update={"name": name})


def clash_id(agent_id: str, number: int) -> str:
    return f"{agent_id[:60].rstrip('-')}-{number}"


def clash_text(text: str, agent_id: str, spec: AgentSpec) -> str:
    """The person's own text under the new id and name, each other byte as it was; or, where that cannot be done by
    changing lines, the definition written anew."""
    line_end = "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"
    start = text.index("\n") + 1
    end = re.compile(r"^---[ \t]*\r?$", re.MULTILINE).search(text, start)
    if end is not None:
        matter = text[start : end.start()]
        # A copy of a copy has the name under our own key already.
        own = re.compile(rf"^{OWN_KEY}:[ \t]*\r?\n(?:[ \t]+\S.*\n)+", re.MULTILINE)
        kept = own.search(matter)
        fields = [
            line
            for line in (kept[0].splitlines()[1:] if kept else [])
            if not re.match(r"[ \t]+name:", line)
        ]  # fmt: skip
        indent = re.match(r"[ \t]+", fields[0])[0] if fields else "  "  # type: ignore[index]  # `own` wants a blank
        lines = [f"{OWN_KEY}:", f"{indent}name: {json.dumps(spec.name, ensure_ascii=False)}", *fields, ""]
        matter, count = re.subn(r"^name:.*?(?=\r?$)", f"name: {agent_id}", own.sub("", matter), flags=re.MULTILINE)
        edited = text[:start] + matter + line_end.join(lines) + text[end.start() :]
        try:
            found_id, found = parse(edited)
        except InvalidInput:
            pass
        else:
            if count == 1 and found_id == agent_id and same_spec(found, spec):
                return edited
    return render_spec(agent_id, spec)
