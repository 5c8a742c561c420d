"""The pages say what is so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from fastapi import APIRouter
from fastapi.routing import APIRoute

from jupyterhub_agents.server.routes import ROUTES
from jupyterhub_agents.service import health, keys_api

ROUTERS = (("", health.router), ("api", keys_api.router))
ROOT = Path(__file__).parents[2]


def test_the_configuration_page_is_made_of_the_traits_as_they_are() -> None:
    command = [sys.executable, "tools/traits.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_trait_has_help_that_a_person_can_act_on() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    entries = page.split("\n### ")[1:]
    assert len(entries) > 20
    for entry in entries:
        name, _, help_ = entry.split("\n\n", 2)
        assert len(help_.split()) >= 8, name


def test_the_http_page_has_every_path_and_method() -> None:
    page = (ROOT / "docs" / "http-api.md").read_text()
    for route in ROUTES:
        for method in route.operations:
            path = route.path.replace("{number}", "{n}")
            assert f"`{method.upper()} {path}" in page, (method, route.path)


def test_the_http_page_has_every_path_of_the_service() -> None:
    page = (ROOT / "docs" / "http-api.md").read_text().partition("## Of the hub's service")[2]
    paths = [f"{method} {path}" for prefix, router in ROUTERS for path, method in operations(prefix, router)]
    assert len(paths) >= 4
    for each in paths:
        assert f"`{each}" in page, each


def operations(prefix: str, router: APIRouter) -> Iterator[tuple[str, str]]:
    for route in router.routes:
        assert isinstance(route, APIRoute)
        for method in route.methods:
            yield f"{prefix}{route.path}".strip("/"), method


def test_the_pages_name_only_pages_and_pictures_that_are_there() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for part in page.read_text().split("](")[1:]:
            target = part.split(")")[0].split("#")[0]
            if target and not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} names {target}"
