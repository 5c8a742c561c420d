"""Tests on a real cluster, the one that KUBECONFIG points at, with the images that `make images` makes.

    kind create cluster && make images && for i in hub service workspace proxy; do kind load ... ; done
    KUBECONFIG=~/.kube/config make cluster-test

They make namespaces of their own, and remove them. Without KUBECONFIG they are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.kubectl import Namespace, own_namespace
from tests.cluster.site import Site, running_site


@pytest.fixture(scope="session")
def namespace() -> Iterator[Namespace]:
    """A namespace that enforces Pod Security `restricted`."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG is not set: tests on a cluster need one (make cluster-test)")
    with own_namespace() as made:
        yield made


@pytest.fixture(scope="session")
def site(namespace: Namespace) -> Iterator[Site]:
    """A site for all tests that leave it standing."""
    with running_site(namespace, Path(__file__).with_name("script.py")) as running:
        yield running
