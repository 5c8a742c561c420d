"""The chart, which helm reads; no cluster is needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chart.helm import official_chart, with_dependency


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart's folder with all it depends on."""
    schema = os.environ.get("JUPYTERHUB_CHART_SCHEMA", "")
    return with_dependency(tmp_path_factory.mktemp("chart"), official_chart(), schema)
