"""Claude Code's subagent files (`.claude/agents/NAME.md`), to and from agents.

A file is YAML front matter between two lines `---`, then the instructions. The fields and their meaning are
those of Claude Code's documentation ("Create custom subagents", "Supported frontmatter fields"):

- `name` is the slug; here it is the agent's id. `description` is required there, so an empty one is written
  as the name.
- `tools` and `disallowedTools` are lists, or one string separated by commas or blanks; within parentheses, as
  in `Bash(git diff:*)` and `Agent(worker, researcher)`, neither separates. `tools: "*"` means all, as leaving
  it out does.
- `model: inherit` means no choice, as leaving it out does.
- `mcpServers` is a list of names (of servers configured elsewhere) and of inline definitions, or a mapping.
- `permissionMode` and `maxTurns` are as in an agent. All other fields mean nothing here and come out as they
  came, in their place.

What only this project knows is under one key of its own, `jupyterhub-agents`, which Claude Code passes over.
`parse(render(agent))` gives the agent again, and `render(parse(text))` the same text once it was rendered.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ._frontmatter import FrontMatter, dump, load
from .errors import InvalidInput
from .models import Agent, AgentSpec, PermissionMode

OWN_KEY = "jupyterhub-agents"
OWN_FIELDS = ("name", "description", "directory", "allowed_tools", "max_budget_usd", "timeout_s")
KNOWN = {
    "description": "description",
    "tools": "tools",
    "disallowedTools": "disallowed_tools",
    "model": "model",
    "permissionMode": "permission_mode",
    "mcpServers": "mcp_servers",
    "maxTurns": "max_turns",
}
"""Front matter that an agent has a field for."""
MAX_FILE = 1_000_000
"""Characters of a file; far more than the longest instructions and front matter together."""

_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")


def parse(text: str) -> tuple[str, AgentSpec]:
    """`(id, definition)` of a subagent file. Raises InvalidInput that names the line and the field."""
    if len(text) > MAX_FILE:
        raise InvalidInput(f"The file has {len(text):,} characters; at most {MAX_FILE:,} can be read.")
    matter, instructions = _split(text)
    fields = load(matter)
    own = _own(fields)

    given = _string(fields, "name")
    if not given:
        raise InvalidInput("name is missing: the front matter needs a line such as `name: code-reviewer`.")
    agent_id = slug(given)
    if not agent_id:
        raise _wrong(fields, "name", f"{given!r} has no letter or digit; give one such as code-reviewer")

    values: dict[str, Any] = {
        "name": given,
        "description": _string(fields, "description"),
        "instructions": instructions,
        "model": _string(fields, "model"),
        "tools": _tools(fields, "tools"),
        "disallowed_tools": _tools(fields, "disallowedTools") or [],
        "permission_mode": _string(fields, "permissionMode"),
        "max_turns": _integer(fields, "maxTurns"),
    }
    if values["model"] == "inherit":
        values["model"] = None
    if "*" in (values["tools"] or []):
        values["tools"] = None
    values["mcp_servers"], references = _mcp_servers(fields)
    values |= own
    kept = {key: value for key, value in fields.values.items() if key not in ("name", OWN_KEY, *KNOWN)}
    if references:
        kept["mcpServers"] = references
    order = [key for key in fields.values if key != OWN_KEY]
    if order != _usual_order(order):
        kept[OWN_KEY] = {"order": order}
    values["front_matter"] = kept
    try:
        spec = AgentSpec.model_validate({key: value for key, value in values.items() if value is not None})
    except ValidationError as error:
        raise _from_validation(fields, error) from error
    return agent_id, spec


def render(agent: Agent) -> str:
    """The subagent file of an agent."""
    return render_spec(agent.id, agent)


def render_spec(agent_id: str, spec: AgentSpec) -> str:
    """The subagent file of a definition under the name `agent_id`."""
    own: dict[str, Any] = {}
    if spec.name != agent_id:
        own["name"] = spec.name
    if not spec.description:
        own["description"] = ""
    own |= {
        name: value
        for name in ("directory", "allowed_tools", "max_budget_usd", "timeout_s")
        if (value := getattr(spec, name)) not in (None, [])
    }
    fields: dict[str, Any] = {"name": agent_id, "description": spec.description or spec.name}
    if spec.tools is not None:
        fields["tools"] = _as_written(spec.tools)
    if spec.disallowed_tools:
        fields["disallowedTools"] = _as_written(spec.disallowed_tools)
    if spec.model and spec.model != "inherit":
        fields["model"] = spec.model
    if spec.permission_mode != PermissionMode.DEFAULT:
        fields["permissionMode"] = spec.permission_mode.value
    if servers := _servers_as_written(spec):
        fields["mcpServers"] = servers
    if spec.max_turns is not None:
        fields["maxTurns"] = spec.max_turns
    fields |= {key: value for key, value in spec.front_matter.items() if key not in (OWN_KEY, "name", *KNOWN)}
    fields = {key: fields[key] for key in _order_of(spec, list(fields))}
    if own:
        fields[OWN_KEY] = own
    body = f"\n{spec.instructions}\n" if spec.instructions else ""
    return f"---\n{dump(fields)}---\n{body}"


def slug(name: str) -> str:
    """The id that a name gives: its letters and digits in lower case, joined by `-`. It may be empty."""
    if _SLUG.fullmatch(name):
        return name
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:64].strip("-")


def split_tools(text: str) -> list[str]:
    """The tools of one string: commas and blanks separate, but not within parentheses."""
    tools, depth, current = [], 0, ""
    for char in text:
        depth = max(0, depth + (char == "(") - (char == ")"))
        if not depth and (char == "," or char.isspace()):
            tools.append(current)
            current = ""
        else:
            current += char
    return [tool for tool in (*tools, current) if tool]


def _split(text: str) -> tuple[str, str]:
    """Front matter and instructions. A blank line between them and the last line end are not content."""
    text = text.removeprefix("\ufeff")
    first, _, _ = text.partition("\n")
    if first.endswith("\r"):
        text = text.replace("\r\n", "\n")
    if not re.match(r"---[ \t]*\n", text):
        raise InvalidInput("line 1: a subagent file begins with a line `---`, front matter, and a line `---`.")
    start = text.index("\n") + 1
    end = re.compile(r"^---[ \t]*(\n|\Z)", re.MULTILINE).search(text, start)
    if end is None:
        raise InvalidInput("The front matter has no end: put a line `---` after its last field.")
    body = text[end.end() :].removeprefix("\n").removesuffix("\n")
    return text[start : end.start()], body


def _usual_order(keys: list[str]) -> list[str]:
    known = ["name", *KNOWN]
    return [key for key in known if key in keys] + [key for key in keys if key not in known]


def _order_of(spec: AgentSpec, keys: list[str]) -> list[str]:
    """The keys in the order of the file that they came from; new ones after those they usually follow."""
    kept = spec.front_matter.get(OWN_KEY)
    before = kept.get("order") if isinstance(kept, Mapping) else None
    usual = _usual_order(keys)
    if not isinstance(before, list):
        return usual
    order = [key for key in before if key in keys]
    for place, key in enumerate(usual):
        if key not in order:
            order.insert(order.index(usual[place - 1]) + 1 if place else 0, key)
    return order


def _wrong(fields: FrontMatter, key: str, what: str) -> InvalidInput:
    line = fields.lines.get(key)
    return InvalidInput(f"line {line}: {key}: {what}." if line else f"{key}: {what}.")


def _string(fields: FrontMatter, key: str) -> str | None:
    value = fields.values.get(key)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise _wrong(fields, key, f"{value!r} is not a text")
    return value


def _integer(fields: FrontMatter, key: str) -> int | None:
    value = fields.values.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise _wrong(fields, key, f"{value!r} is not a whole number")


def _tools(fields: FrontMatter, key: str) -> list[str] | None:
    value = fields.values.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        return split_tools(value)
    if isinstance(value, list) and all(isinstance(tool, str) for tool in value):
        return [tool.strip() for tool in value]
    raise _wrong(fields, key, "give tools as one text, `Read, Bash(git diff:*)`, or as a list of texts")


def _as_written(tools: list[str]) -> str | list[str]:
    """One string, as people write it, where that means the same; else a list."""
    text = ", ".join(tools)
    return text if tools and split_tools(text) == tools else list(tools)


def _mcp_servers(fields: FrontMatter) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The inline definitions; and, if names of servers configured elsewhere are there too, all names."""
    value = fields.values.get("mcpServers")
    if isinstance(value, Mapping):
        value = [{name: definition} for name, definition in value.items()]
    inline: dict[str, dict[str, Any]] = {}
    names: list[str] = []
    for item in value if isinstance(value, list) else [] if value is None else [None]:
        for name, definition in item.items() if isinstance(item, Mapping) else [(item, None)]:
            if not isinstance(name, str) or not isinstance(definition, Mapping | None):
                raise _wrong(fields, "mcpServers", "give a list of names and of definitions, `name: {...}`")
            if name in names:
                raise _wrong(fields, "mcpServers", f"the server {name!r} is there twice")
            names.append(name)
            if definition is not None:
                inline[name] = dict(definition)
    return inline, names if len(names) > len(inline) else []


def _servers_as_written(spec: AgentSpec) -> list[Any]:
    kept = spec.front_matter.get("mcpServers")
    names = [name for name in kept if isinstance(name, str)] if isinstance(kept, list) else []
    names += [name for name in spec.mcp_servers if name not in names]
    return [{name: spec.mcp_servers[name]} if name in spec.mcp_servers else name for name in names]


def _own(fields: FrontMatter) -> dict[str, Any]:
    """This project's own fields, checked here only for what is unknown."""
    own = fields.values.get(OWN_KEY)
    if own is None:
        return {}
    if not isinstance(own, Mapping):
        raise _wrong(fields, OWN_KEY, f"give fields under it: {', '.join(OWN_FIELDS)}")
    if unknown := sorted(set(own) - set(OWN_FIELDS)):
        raise _wrong(fields, OWN_KEY, f"{unknown[0]!r} is no field of it; these are: {', '.join(OWN_FIELDS)}")
    return {name: value for name, value in own.items() if value is not None}


def _from_validation(fields: FrontMatter, error: ValidationError) -> InvalidInput:
    """What pydantic found first, in the words of the file."""
    first = error.errors(include_url=False)[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    file_key = next((key for key, name in KNOWN.items() if name == field), field)
    own = fields.values.get(OWN_KEY)
    if isinstance(own, Mapping) and field in own:
        return _wrong(fields, OWN_KEY, f"{field}: {first['msg']}")
    part = first["loc"][1] if len(first["loc"]) > 1 else ""
    where = f", entry {part + 1}" if isinstance(part, int) else f", {part}" if part else ""
    return _wrong(fields, file_key, f"{first['msg']}{where} (it is {str(first['input'])[:100]!r})")
