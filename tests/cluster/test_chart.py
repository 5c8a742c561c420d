"""The chart on a cluster: what the API server says of all that it renders, and what an installation keeps."""

from __future__ import annotations

import json
import os
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.chart.helm import ENVIRONMENTS, files_of, official_chart, render, with_dependency
from tests.cluster.kubectl import Namespace, own_namespace
from tests.cluster.rules import against_restricted
from tests.cluster.site import Site


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


def test_an_upgrade_keeps_the_secrets_that_were_made_at_the_installation(tmp_path: Path) -> None:
    with own_namespace() as namespace:
        # Nobody has made the secret with the key: the service's pod waits for it.
        installed = Site(namespace, "", tmp_path)
        installed.install()
        before = namespace.get("secret", "agents")["data"]
        assert {"hub-token", "run-key", "user-password", "admin-password"} == set(before)
        installed.install("--set=service.stopSeconds=6")
        assert namespace.get("secret", "agents")["data"] == before


def test_workspaces_are_denied_the_api_servers_own_addresses(site: Site) -> None:
    """Also where they are public."""
    cluster = Namespace("default")
    endpoints = cluster.get("endpointslice", "kubernetes")["endpoints"]
    addresses = [address for endpoint in endpoints for address in endpoint["addresses"]]
    assert addresses
    rules = site.namespace.get("networkpolicy", "agents-workspaces")["spec"]["egress"]
    [internet] = [
        peer["ipBlock"] for rule in rules for peer in rule["to"] if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"
    ]
    excepted = [ip_network(each) for each in internet["except"]]
    assert {f"{address}/32" for address in addresses} <= set(internet["except"])
    service = cluster.get("service", "kubernetes")["spec"]["clusterIP"]
    assert any(ip_address(service) in network for network in excepted)
