"""Where a site meters nothing, the hub's menu still leads to a page."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from jupyterhub_agents.service.app import AgentsService
from jupyterhub_agents.service.web import build

pytestmark = pytest.mark.anyio

PREFIX = "/services/agents/"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    service = AgentsService()
    service.initialize(
        [
            "--Gateway.metering=unlimited", f"--AgentsService.state_dir={tmp_path}", f"--AgentsService.prefix={PREFIX}",
            "--AgentsService.hub_api_url=http://hub.example", "--AgentsService.hub_api_token=none",
            "--Gateway.anthropic_api_key=none", "--AgentsService.hub_url=/hub/",
        ]
    )  # fmt: skip
    # Not entered: the page needs neither the hub nor a ledger.
    async with httpx.AsyncClient(transport=httpx.ASGITransport(build(service)), base_url="http://service") as http:
        yield http


@pytest.mark.parametrize("path", ["", "admin"])
async def test_the_services_menu_leads_to_a_page_that_says_why_there_are_no_figures(
    http: httpx.AsyncClient, path: str
) -> None:
    page = await http.get(f"{PREFIX}{path}")
    assert page.status_code == 200
    assert "neither counts nor limits" in page.text
    korean = await http.get(f"{PREFIX}{path}", headers={"Accept-Language": "ko"})
    assert "사용량을 기록하지 않습니다" in korean.text


async def test_nothing_on_that_page_leads_nowhere(http: httpx.AsyncClient) -> None:
    page = await http.get(PREFIX)
    links = {link for link in re.findall(r'(?:href|src)="([^"]+)"', page.text) if link.startswith(PREFIX)}
    assert len(links) >= 3
    for link in links:
        assert (await http.get(link.replace("&amp;", "&"))).status_code in (200, 302), link
    assert (await http.get(f"{PREFIX}api/usage/me")).status_code == 404
