"""Tests on a real cluster, the one that KUBECONFIG points at, with the images that `make images` makes.

    kind create cluster && make images && for i in hub service workspace proxy; do kind load ... ; done
    KUBECONFIG=~/.kube/config make cluster-test

They make a namespace of their own, and remove it. Without KUBECONFIG they are left out, with one line that says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.kubectl import Namespace, own_namespace
from tests.cluster.site import Site, running_site

NO_CLUSTER = "" if os.environ.get("KUBECONFIG") else "The tests on a cluster were left out: KUBECONFIG names none."
collect_ignore_glob = ["test_*.py"] if NO_CLUSTER else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Time for what their own limits add up to, the site's start and end included."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(900))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if NO_CLUSTER:
        terminalreporter.write_line(NO_CLUSTER)


@pytest.fixture(scope="session")
def namespace() -> Iterator[Namespace]:
    """A namespace that enforces Pod Security `restricted`."""
    with own_namespace() as made:
        yield made


@pytest.fixture(scope="session")
def site(namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site for all tests that leave it standing."""
    with running_site(namespace, Path(__file__).with_name("script.py"), tmp_path_factory.mktemp("site")) as running:
        yield running
