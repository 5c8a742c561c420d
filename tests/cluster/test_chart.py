"""The chart on a cluster: what an installation keeps, and what it denies."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

from tests.cluster.kubectl import Namespace, own_namespace
from tests.cluster.site import Site


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
