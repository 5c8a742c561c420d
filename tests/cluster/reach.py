"""Who reaches whom: connections tried from inside a pod, all at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from tests.cluster.kubectl import Namespace, Object

Address = tuple[str, int]

ATTEMPT_S = 3
"""The network drops what a policy does not allow: who tries waits so long."""

PROGRAM = """
import concurrent.futures, json, socket

def attempt(address):
    try:
        socket.create_connection(address, timeout=LIMIT).close()
    except ConnectionRefusedError:
        return "reached"  # nobody listens there, and it was that machine that said so
    except OSError as error:
        return type(error).__name__
    return "reached"

addresses = json.loads(ADDRESSES)
with concurrent.futures.ThreadPoolExecutor(len(addresses)) as pool:
    print(json.dumps(dict(zip(addresses, pool.map(attempt, map(tuple, addresses.values()))))))
"""


def reached(run: Callable[[str], str], addresses: Mapping[str, Address]) -> set[str]:
    """The names of those addresses that are reached by who runs a program in Python with `run`."""
    given = f"LIMIT = {ATTEMPT_S}\nADDRESSES = {json.dumps(addresses)!r}\n"
    answers: dict[str, str] = json.loads(run(given + PROGRAM))
    assert set(answers.values()) <= {"reached", "TimeoutError"}, answers
    return {name for name, answer in answers.items() if answer == "reached"}


def in_pod(namespace: Namespace, pod: str) -> Callable[[str], str]:
    """To run a program in Python in a pod."""
    return lambda program: namespace.inside(pod, "python3", "-c", program)


def address_of(pod: Object, port: int) -> Address:
    return str(pod["status"]["podIP"]), port


def control_plane() -> dict[str, Address]:
    """Where the cluster's own parts listen: the API server by its service and by its own address, and the kubelet."""
    cluster = Namespace("default")
    found: dict[str, Address] = {"API server": (cluster.get("service", "kubernetes")["spec"]["clusterIP"], 443)}
    endpoints = cluster.get("endpointslice", "kubernetes")
    for endpoint in endpoints["endpoints"]:
        for address in endpoint["addresses"]:
            found[f"API server at {address}"] = (address, endpoints["ports"][0]["port"])
    for node in cluster.all("nodes"):
        for each in node["status"]["addresses"]:
            if each["type"] == "InternalIP":
                port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
                found[f"kubelet of {node['metadata']['name']}"] = (each["address"], port)
    return found


def names_server(port: int) -> Address:
    """A port of a pod that tells names."""
    pods = Namespace("kube-system").all("pods", **{"k8s-app": "kube-dns"})
    return address_of(pods[0], port)
