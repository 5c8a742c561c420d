"""A new version of the service, with Firestore and so with several replicas: nobody notices.

Firestore's emulator runs beside the tests, and pods reach it at the node's address: a cluster on this machine."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.cluster.kubectl import Namespace, own_namespace
from tests.cluster.runs import end_of, events, make_agent, start
from tests.cluster.site import Site, running_site
from tests.hub.people import eventually
from tests.store.firestore_emulator import Emulator, NoEmulator, running_emulator

NODE = "{.items[0].status.addresses[?(@.type=='InternalIP')].address}"


@pytest.fixture(scope="module")
def site_with_firestore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("rollout")
    node = Namespace("default").run("get", "nodes", f"--output=jsonpath={NODE}").strip()
    if node not in {address.address for addresses in psutil.net_if_addrs().values() for address in addresses}:
        pytest.skip(
            f"The cluster's node ({node}) is another machine, and pods would not find Firestore's emulator here."
        )
    try:
        with running_emulator(folder, "0.0.0.0") as emulator, own_namespace() as namespace:  # noqa: S104 - pods come by it
            words = words_for(node, emulator)
            with running_site(namespace, Path(__file__).with_name("script.py"), folder, *words) as site:
                yield site
    except NoEmulator as missing:
        pytest.skip(str(missing))


def words_for(node: str, emulator: Emulator) -> list[str]:
    """What helm is told: two replicas, which share a Firestore."""
    return [
        "--set=store.backend=firestore,service.replicas=2",
        f"--set=store.firestoreProject={emulator.new_project()}",
        "--set=service.extraEnv[0].name=FIRESTORE_EMULATOR_HOST",
        f"--set=service.extraEnv[0].value={node}:{emulator.port}",
        f"--set=networkPolicy.service.extraEgress[1].to[0].ipBlock.cidr={node}/32",
        f"--set=networkPolicy.service.extraEgress[1].ports[0].port={emulator.port}",
        "--set=networkPolicy.service.extraEgress[0].to[0].podSelector.matchLabels.app=model",
        "--set=networkPolicy.service.extraEgress[0].ports[0].port=8050",
    ]


def pods(site: Site) -> set[str]:
    selector = "--selector=app.kubernetes.io/component=agents"
    return set(site.namespace.run("get", "pods", selector, "--output=name").split())


@contextmanager
def asked_all_the_time(url: str) -> Iterator[Counter[str]]:
    """Asks an address by a new connection, again and again. What came of it, by how often."""
    answers: Counter[str] = Counter()
    enough = threading.Event()

    def ask() -> None:
        while not enough.is_set():
            try:
                answers[str(httpx.get(url, trust_env=False, timeout=30).status_code)] += 1
            except httpx.HTTPError as error:
                answers[repr(error)] += 1

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield answers
    finally:
        enough.set()
        asker.join()


def test_an_upgrade_of_the_service_is_not_noticed(site_with_firestore: Site) -> None:
    """Neither by who asks the service, nor by a run, whose every call to the model goes by it."""
    site = site_with_firestore
    ana = site.person("ana")
    ana.spawn()
    make_agent(ana, "walker", tools=["Bash(*)"])
    before = pods(site)
    assert len(before) == 2
    with asked_all_the_time(f"{site.url}/services/agents/health") as answers:
        eventually(lambda: answers["200"] >= 10, within=60, what="the service answers")
        run = start(ana, "walker", "Please take the steps.")
        eventually(lambda: "step 1" in str(events(ana, run)), within=60, what="the run takes its steps")
        site.namespace.run("rollout", "restart", "deployment/agents")
        site.namespace.wait_until_available("agents", limit_s=240)
        eventually(lambda: not pods(site) & before, within=120, what="the replicas of before are gone")
        assert end_of(ana, run) == "succeeded"
    assert set(answers) == {"200"}
    assert answers["200"] > 20
    assert "api_retry" not in str(events(ana, run))
