"""YAML front matter as JSON values: read as Claude Code reads it, and written so that any YAML reader agrees.

Claude Code reads YAML 1.2, PyYAML 1.1: there `on`, `no` and `2026-01-01` are no texts. Reading keeps to the
core schema of YAML 1.2.2 (section 10.3.2); writing quotes a text that either version would take for more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from .errors import InvalidInput

_CORE = (
    ("tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")),
    ("tag:yaml.org,2002:int", re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"), list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"),
        list("-+.0123456789"),
    ),
)
MAX_DEPTH = 50
"""How deep values may be nested; deeper ones would exhaust Python's stack."""


@dataclass(frozen=True)
class FrontMatter:
    """The fields in their order, and the line of the file (from 1) that each begins on."""

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


class _NotYaml(Exception):
    """The text breaks YAML's grammar, at `line` of the front matter, from 0."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


class _Loader(yaml.SafeLoader):
    """Composes nodes by the core schema; values are made of them by `_value`."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 -- PyYAML's own name


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


for _tag, _pattern, _first in _CORE:
    _Loader.add_implicit_resolver(_tag, _pattern, _first)
    _Dumper.add_implicit_resolver(_tag, _pattern, _first)


def load(text: str) -> FrontMatter:
    """The fields of front matter, whose first line is line 2 of its file. Raises InvalidInput."""
    try:
        return _load(text)
    except _NotYaml as problem:
        first = problem
    # Claude Code writes descriptions in one line without quotes, colons and all, and reads them back.
    try:
        return _load(_quoted(text))
    except _NotYaml:
        raise InvalidInput(f"line {first.line + 2}: this is not YAML: {first}.") from first


def dump(fields: dict[str, Any]) -> str:
    """Front matter of JSON values, one line a simple field."""
    return yaml.dump(
        fields, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**31, default_flow_style=False
    )  # fmt: skip


def _refusal(mark: yaml.Mark, what: str) -> InvalidInput:
    return InvalidInput(f"line {mark.line + 2}: {what}.")


def _load(text: str) -> FrontMatter:
    try:
        node = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _NotYaml(mark.line if mark else 0, str(error.problem or error.context)) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise _NotYaml(0, str(error).partition("\n")[0]) from error
    if node is None:
        return FrontMatter()
    if not isinstance(node, yaml.MappingNode):
        raise _refusal(node.start_mark, "the front matter is not made of lines `field: value`")
    values = _value(node, set(), 0)
    return FrontMatter(values, {key.value: key.start_mark.line + 2 for key, _ in node.value})


def _value(node: yaml.Node, seen: set[int], depth: int) -> Any:
    """The JSON value of a node. One met twice is an alias: these can blow up a small file without bound."""
    if id(node) in seen:
        raise _refusal(node.start_mark, "anchors and aliases (`&a`, `*a`) are not read here; write it out")
    seen.add(id(node))
    if depth > MAX_DEPTH:
        raise _refusal(node.start_mark, f"values are nested more than {MAX_DEPTH} deep")
    if not isinstance(node, yaml.ScalarNode) and node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
        raise _refusal(node.start_mark, f"the tag {node.tag!r} is not read here")
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refusal(key.start_mark, "a field's name is not a text")
            if key.value in result:
                raise _refusal(key.start_mark, f"the field {key.value!r} is there twice")
            result[key.value] = _value(value, seen, depth + 1)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, seen, depth + 1) for item in node.value]
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    text: str = node.value
    match node.tag.removeprefix("tag:yaml.org,2002:"):
        case "str":
            return text
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int" if len(text) < 100:
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        case "float" if (number := float(text)) not in (float("inf"), float("-inf")):
            return number
        case "int" | "float":
            return text
        case other:
            raise _refusal(node.start_mark, f"the tag {other!r} is not read here")


def _quoted(text: str) -> str:
    """The same with each top-level `field: value` quoted whose value is no YAML of its own."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        match = re.match(r"([A-Za-z_][\w-]*):[ \t]+(\S.*?)[ \t]*\Z", line)
        if not match or match[2][0] in "|>":
            continue
        try:
            _load(line)
        except _NotYaml:
            lines[number] = f"{match[1]}: '{match[2].replace(chr(39), chr(39) * 2)}'"
    return "\n".join(lines)
