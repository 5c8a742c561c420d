"""The map of the parts, and who may import whom, as docs/architecture.md has it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "extensions" / "jupyterhub_agents"

NOUNS = {"models", "errors", "ids", "_version"}
ALLOWED = {
    "models": NOUNS,
    "errors": NOUNS,
    "ids": NOUNS,
    "queries": NOUNS,
    "_version": set(),
    "_frontmatter": NOUNS,
    "subagents": NOUNS | {"_frontmatter"},
    "store": NOUNS,
    "runtime": NOUNS | {"store"},
    "server": NOUNS | {"queries", "subagents", "store", "runtime"},
    "service": NOUNS | {"queries", "store"},
    "client": NOUNS | {"subagents"},
    "testing": NOUNS | {"store"},
    # __init__.py tells Jupyter Server and IPython where their extensions are, when they ask.
    "": {"_version", "server", "client"},
}
ONLY_IMPORTERS = {"claude_agent_sdk": {"runtime"}, "sqlite3": {"store", "service"}}


def part_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """The absolute names of all that a file imports, also within functions."""
    package = ["jupyterhub_agents", *path.relative_to(PACKAGE).parts[:-1]] if path.is_relative_to(PACKAGE) else []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = [*base, *(node.module or "").split(".")] if node.module else base
            for alias in node.names:
                yield node.lineno, ".".join([*module, alias.name] if not node.module else module)


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    part = part_of(path)
    for line, name in imports(path):
        names = name.split(".")
        if names[0] == "jupyterhub_agents" and len(names) > 1:
            assert names[1] in ALLOWED[part] | {part}, f"{path}:{line} imports {name}"
        assert names[0] != "hub_config", f"{path}:{line} imports {name}"
        if names[0] in ONLY_IMPORTERS:
            assert part in ONLY_IMPORTERS[names[0]], f"{path}:{line} imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "hub_config").rglob("*.py")), ids=lambda path: path.name)
def test_hub_config_imports_nothing_of_the_package(path: Path) -> None:
    for line, name in imports(path):
        assert not name.startswith("jupyterhub_agents"), f"{path}:{line} imports {name}"


def test_every_part_is_on_the_map() -> None:
    assert {part_of(path) for path in FILES} == set(ALLOWED)


def loaded_by(module: str, heavy: list[str]) -> str:
    """Which modules of `heavy` an import brings along."""
    code = f"import sys, {module}; print([m for m in sys.argv[1:] if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code, *heavy], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_a_workspace_does_not_wait_for_the_sdk_when_it_starts() -> None:
    assert loaded_by("jupyterhub_agents.server.app", ["claude_agent_sdk", "mcp", "mcp_types"]) == "[]"


def test_the_launcher_does_not_wait_for_the_hubs_own_packages() -> None:
    assert loaded_by("hub_config.launch", ["jupyterhub", "sqlalchemy", "tornado"]) == "[]"


def test_the_client_needs_neither_server_nor_sdk() -> None:
    """A script outside the hub installs the client alone."""
    heavy = ["claude_agent_sdk", "jupyter_server", "tornado", "jupyterhub", "traitlets", "sqlite3", "rich", "click"]
    assert loaded_by("jupyterhub_agents.client", heavy) == "[]"
