"""The page about security names tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_test_that_the_page_about_security_names_is_there() -> None:
    named = NAMED.findall(PAGE.read_text())
    assert len(named) > 30
    assert [f"{file}::{name}" for file, name in named if name not in functions_in(ROOT / file)] == []


def functions_in(file: Path) -> set[str]:
    if not file.exists():
        return set()
    return {
        each.name
        for each in ast.parse(file.read_text()).body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_control_on_the_page_about_security_has_a_test() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("|") and not line.startswith("|---")]
    controls = [row for row in rows if "test that shows it" not in row]
    assert len(controls) > 20
    assert [row for row in controls if not NAMED.search(row.split("|")[3])] == []
