"""Claude Code's subagent files, read and written."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyterhub_agents import subagents
from jupyterhub_agents.errors import InvalidInput
from jupyterhub_agents.models import AgentSpec, PermissionMode

FILE = """---
name: code-reviewer
color: blue
description: Reviews code. Use after each change.
tools: Read, Grep, Bash(git diff:*), Agent(worker, researcher)
model: sonnet
hooks:
  PreToolUse:
  - matcher: Bash
maxTurns: 12
---

You review code.

Be brief.
"""


def test_a_file_becomes_an_agent() -> None:
    agent_id, spec = subagents.parse(FILE)
    assert agent_id == "code-reviewer"
    assert spec.name == "code-reviewer"
    assert spec.description == "Reviews code. Use after each change."
    assert spec.tools == ["Read", "Grep", "Bash(git diff:*)", "Agent(worker, researcher)"]
    assert spec.model == "sonnet"
    assert spec.max_turns == 12
    assert spec.instructions == "You review code.\n\nBe brief."


def test_a_file_comes_out_as_it_went_in() -> None:
    assert subagents.render_spec(*subagents.parse(FILE)) == FILE


def test_fields_that_mean_nothing_here_keep_value_and_place() -> None:
    _, spec = subagents.parse(FILE)
    assert spec.front_matter["color"] == "blue"
    assert spec.front_matter["hooks"] == {"PreToolUse": [{"matcher": "Bash"}]}
    keys = list(yaml.safe_load(subagents.render_spec("code-reviewer", spec).split("---")[1]))
    assert keys == ["name", "color", "description", "tools", "model", "hooks", "maxTurns"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Read, Bash(git diff:*)", ["Read", "Bash(git diff:*)"]),
        ("Read Write", ["Read", "Write"]),
        ("Agent(worker, researcher), Read", ["Agent(worker, researcher)", "Read"]),
        ("[Read, 'Bash(npm run test *)']", ["Read", "Bash(npm run test *)"]),
        ("\n- Read\n- mcp__github__search", ["Read", "mcp__github__search"]),
        ("'*'", None),
        ("", None),
        ("[]", []),
    ],
)
def test_tools_are_read_as_claude_code_reads_them(written: str, meant: list[str] | None) -> None:
    assert subagents.parse(f"---\nname: a\ntools: {written}\n---\n")[1].tools == meant


def test_inherit_is_no_choice_of_a_model() -> None:
    assert subagents.parse("---\nname: a\nmodel: inherit\n---\n")[1].model is None


def test_mcp_servers_may_be_defined_or_only_named() -> None:
    text = (
        "---\nname: a\ndescription: b\nmcpServers:\n- github\n- browser:\n    type: stdio\n    command: npx\n---\n\nx\n"
    )
    agent_id, spec = subagents.parse(text)
    assert spec.mcp_servers == {"browser": {"type": "stdio", "command": "npx"}}
    assert subagents.render_spec(agent_id, spec) == text


def test_what_only_we_know_is_under_one_key() -> None:
    spec = AgentSpec(name="Code Reviewer", directory="work/here", max_budget_usd=1.5, timeout_s=60)
    text = subagents.render_spec("code-reviewer", spec)
    front = yaml.safe_load(text.split("---")[1])
    assert front["name"] == "code-reviewer"
    assert front["description"] == "Code Reviewer"
    assert front["jupyterhub-agents"] == {
        "name": "Code Reviewer",
        "description": "",
        "directory": "work/here",
        "max_budget_usd": 1.5,
        "timeout_s": 60,
    }
    assert subagents.parse(text) == ("code-reviewer", spec)


def test_a_name_that_is_no_slug_makes_one_and_stays_the_name() -> None:
    agent_id, spec = subagents.parse("---\nname: Code_Reviewer Ü\n---\n")
    assert (agent_id, spec.name) == ("code-reviewer-u", "Code_Reviewer Ü")


def test_a_description_that_is_no_yaml_is_read_as_it_stands() -> None:
    text = '---\nname: a\ndescription: Use it when: "x".\\n<example>user: it\'s me</example>\ntools: Read\n---\n'
    _, spec = subagents.parse(text)
    assert spec.description == 'Use it when: "x".\\n<example>user: it\'s me</example>'
    assert spec.tools == ["Read"]


def test_words_of_older_yaml_stay_words() -> None:
    _, spec = subagents.parse("---\nname: a\nx: on\ny: 2026-01-02\nz: 010\n---\n")
    assert (spec.front_matter["x"], spec.front_matter["y"], spec.front_matter["z"]) == ("on", "2026-01-02", 10)


def test_files_of_windows_are_read() -> None:
    assert subagents.parse("\ufeff---\r\nname: a\r\n---\r\n\r\nx\r\ny\r\n")[1].instructions == "x\ny"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Just text.", "line 1: a subagent file begins"),
        ("---\nname: a\n", "no end"),
        ("---\ndescription: b\n---\n", "name is missing"),
        ("---\nname: '!'\n---\n", "line 2: name"),
        ("---\nname: a\nname: b\n---\n", "line 3: the field 'name' is there twice"),
        ("---\nname: a\npermissionMode: maybe\n---\n", "line 3: permissionMode: .*acceptEdits"),
        ("---\nname: a\nmaxTurns: many\n---\n", "line 3: maxTurns: 'many'"),
        ("---\nname: a\nmaxTurns: 0\n---\n", "line 3: maxTurns"),
        ("---\nname: a\ntools: 5\n---\n", "line 3: tools"),
        ("---\nname: a\ntools: [Read, '1x']\n---\n", "line 3: tools: .*entry 2"),
        ("---\nname: a\nmcpServers: [1]\n---\n", "line 3: mcpServers"),
        ("---\nname: a\njupyterhub-agents:\n  colour: red\n---\n", "line 3: jupyterhub-agents: 'colour'"),
        ("---\nname: a\njupyterhub-agents:\n  timeout_s: -1\n---\n", "line 3: jupyterhub-agents: timeout_s"),
        ("---\nname: a\n- b\n---\n", "line 3: this is not YAML"),
        ("---\nname: a\nx: &y [1]\nz: *y\n---\n", "anchors"),
        ("---\nname: a\nx: !!python/object:os.system {}\n---\n", "line 3: the tag"),
        ("---\n- a\n---\n", "line 2: the front matter is not made of lines"),
        ("---\nname: a\nx: " + "[" * 100 + "]" * 100 + "\n---\n", "nested"),
        ("---\nname: a\n---\n" + "x" * 1_000_001, "at most"),
    ],
)
def test_a_bad_file_is_refused_with_line_and_field(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        subagents.parse(text)
    assert re.search(says, refused.value.message), refused.value.message


# No NUL and no surrogates: a text file cannot hold them.
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=60)
words = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}(\([a-z:*, ]{0,10}\))?", fullmatch=True)
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
slugs = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
OURS = {"name", "jupyterhub-agents", *subagents.KNOWN}
specs = st.builds(
    AgentSpec,
    name=names,
    description=texts,
    instructions=texts,
    model=st.none() | st.sampled_from(["opus", "claude-sonnet-4-5[1m]", "on", "1.5"]),
    tools=st.none() | st.lists(words, max_size=4),
    disallowed_tools=st.lists(words, max_size=3),
    permission_mode=st.sampled_from(PermissionMode),
    mcp_servers=st.dictionaries(names, st.dictionaries(names, values, max_size=2), max_size=2),
    directory=st.none() | st.sampled_from(["a", "work/x y", "ä"]),
    max_turns=st.none() | st.integers(1, 10_000),
    max_budget_usd=st.none() | st.floats(0.001, 100_000),
    timeout_s=st.none() | st.floats(0.001, 600_000),
    front_matter=st.dictionaries(names.filter(lambda name: name not in OURS), values, max_size=3),
)


@settings(deadline=None, max_examples=300)
@given(slugs, specs)
def test_an_agent_comes_back_from_its_file(agent_id: str, spec: AgentSpec) -> None:
    text = subagents.render_spec(agent_id, spec)
    assert subagents.parse(text) == (agent_id, spec)
    assert subagents.render_spec(*subagents.parse(text)) == text


@settings(deadline=None, max_examples=300)
@given(slugs, specs)
def test_what_is_written_means_the_same_in_older_yaml(agent_id: str, spec: AgentSpec) -> None:
    front = yaml.safe_load(subagents.render_spec(agent_id, spec).split("\n---\n")[0][4:])
    assert {key: front[key] for key in spec.front_matter} == spec.front_matter


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for file in (text, f"---\n{text}\n---\n", f"---\nname: a\nx: {text}\n---\n"):
        try:
            agent_id, spec = subagents.parse(file)
        except InvalidInput:
            continue
        rendered = subagents.render_spec(agent_id, spec)
        assert subagents.render_spec(*subagents.parse(rendered)) == rendered
