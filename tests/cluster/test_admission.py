"""What the API server says of all that the chart renders. It needs a cluster, and no images."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.chart.helm import ENVIRONMENTS, files_of, official_chart, render, with_dependency
from tests.cluster.kubectl import Namespace
from tests.cluster.rules import against_restricted


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    schema = os.environ.get("JUPYTERHUB_CHART_SCHEMA", "")
    return with_dependency(tmp_path_factory.mktemp("chart"), official_chart(), schema)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_api_server_takes_all_that_the_chart_renders(namespace: Namespace, chart: Path, environment: str) -> None:
    objects = render(chart, *files_of(environment), f"--namespace={namespace.name}")
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    said = namespace.run_saying_all("apply", "--dry-run=server", "--filename=-", given=given)
    assert said.count("(server dry run)") == len(objects)
    # Such as what violates Pod Security, or a field that there is none of.
    assert "Warning" not in said, said


def test_a_namespace_that_enforces_restricted_would_refuse_another_pod(namespace: Namespace) -> None:
    """So that the test above says something."""
    pod = {"containers": [{"name": "any", "image": "any:1"}]}
    template = {"metadata": {"labels": {"app": "any"}}, "spec": pod}
    spec = {"selector": {"matchLabels": {"app": "any"}}, "template": template}
    other = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "any"}, "spec": spec}
    said = namespace.run_saying_all("apply", "--dry-run=server", "--filename=-", given=json.dumps(other))
    assert "Warning: would violate PodSecurity" in said
    assert against_restricted(template)
