"""What the chart makes of each environment's values."""

from __future__ import annotations

import base64
import json
import shutil
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.chart.helm import (
    ENVIRONMENTS,
    KUBERNETES,
    NO_HELM,
    VALUES,
    HelmFailed,
    files_of,
    helm,
    of_kind,
    pods_in,
    render,
)
from tests.cluster.rules import against_autopilot, against_restricted

if not shutil.which("helm"):
    pytest.skip(NO_HELM, allow_module_level=True)

LOCAL = files_of("local")
PRODUCTION = files_of("production")


def test_every_values_file_is_tried() -> None:
    assert {name for names in ENVIRONMENTS.values() for name in names} == {file.stem for file in VALUES.glob("*.yaml")}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_helm_finds_nothing_to_complain_about(chart: Path, environment: str) -> None:
    said = helm("lint", "--strict", str(chart), f"--kube-version={KUBERNETES}", *files_of(environment))
    assert "WARNING" not in said and "ERROR" not in said, said


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_pod_is_admitted_by_restricted_and_left_as_it_is_by_autopilot(chart: Path, environment: str) -> None:
    pods = pods_in(render(chart, *files_of(environment)))
    assert "Deployment agents" in pods
    for pod in pods.values():
        # The official chart has one init container for which no requests can be set: Autopilot gives it its own.
        spec = pod["spec"]
        spec["initContainers"] = [each for each in spec.get("initContainers", ()) if each["name"] != "load-acme"]
    assert {name: against_restricted(pod) + against_autopilot(pod) for name, pod in pods.items()} == {
        name: [] for name in pods
    }


def test_the_service_cannot_write_to_its_root_and_has_no_token_of_the_clusters(chart: Path) -> None:
    spec = of_kind(render(chart, *LOCAL), "Deployment")["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["automountServiceAccountToken"] is False
    assert {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")} == {
        "/srv/agents", "/tmp",  # noqa: S108 - a volume
    }  # fmt: skip


def test_the_organisations_key_is_a_file_of_the_sites_secret(chart: Path) -> None:
    objects = render(chart, *LOCAL)
    spec = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    [volume] = [volume for volume in spec["volumes"] if volume["name"] == "key"]
    assert volume["secret"]["secretName"] == "agents-api-key"
    assert volume["secret"]["items"] == [{"key": "api-key", "path": "key"}]
    assert environment_of(spec)["ANTHROPIC_API_KEY_FILE"]["value"] == "/etc/agents-key/key"
    vertex = [*LOCAL, "--set=model.upstream=vertex,model.vertexProject=ours"]
    objects = render(chart, *vertex)
    spec = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    assert "key" not in {volume["name"] for volume in spec["volumes"]}
    assert "ANTHROPIC_API_KEY_FILE" not in environment_of(spec)
    assert settings(objects)["Gateway"] == {
        "upstream": "vertex", "vertex_project": "ours", "vertex_region": "global",
    }  # fmt: skip


def environment_of(spec: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry for entry in spec["containers"][0]["env"]}


def settings(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return dict(json.loads(of_kind(objects, "ConfigMap")["data"]["service.json"]))


def test_secrets_that_nobody_gave_are_made_long_enough(chart: Path) -> None:
    secret = {key: base64.b64decode(value) for key, value in of_kind(render(chart, *LOCAL), "Secret")["data"].items()}
    assert {key: len(value) for key, value in secret.items()} == {
        "hub-token": 64, "run-key": 64, "user-password": 16, "admin-password": 40,
    }  # fmt: skip
    assert all(len(bytes.fromhex(secret[key].decode())) == 32 for key in ("hub-token", "run-key"))
    assert secret["hub-token"] != secret["run-key"]
    # Where Google says who people are there is no password.
    assert set(of_kind(render(chart, *PRODUCTION), "Secret")["data"]) == {"hub-token", "run-key"}


def test_all_replicas_have_the_secrets_that_the_site_gives(chart: Path) -> None:
    where = "jupyterhub.hub.extraEnv.JUPYTERHUB_AGENTS_SERVICE_TOKEN.valueFrom.secretKeyRef.name=ours"
    objects = render(chart, *LOCAL, f"--set=secrets.existingSecret=ours,{where}")
    assert not [each for each in objects if each["kind"] == "Secret" and each["metadata"]["name"] == "agents"]
    environment = environment_of(of_kind(objects, "Deployment")["spec"]["template"]["spec"])
    for name, key in (("JUPYTERHUB_API_TOKEN", "hub-token"), ("JUPYTERHUB_AGENTS_RUN_KEY_SECRET", "run-key")):
        assert environment[name]["valueFrom"]["secretKeyRef"] == {"name": "ours", "key": key}


def test_with_firestore_there_are_one_to_three_replicas_and_always_one_that_answers(chart: Path) -> None:
    objects = render(chart, *files_of("staging"))
    spec = of_kind(objects, "Deployment")["spec"]
    assert "replicas" not in spec
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    [container] = spec["template"]["spec"]["containers"]
    wait = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    service = settings(objects)["AgentsService"]
    assert (
        spec["template"]["spec"]["terminationGracePeriodSeconds"]
        > wait + service["drain_s"] + service["stop_timeout_s"]
    )
    assert container["startupProbe"]["httpGet"]["path"].endswith("/health/ready")
    scaler = of_kind(objects, "HorizontalPodAutoscaler")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 3)
    assert of_kind(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert settings(objects)["Keeping"]["firestore_project"] == "agents-staging"
    volumes = spec["template"]["spec"]["volumes"]
    assert not [volume for volume in volumes if "persistentVolumeClaim" in volume]


def test_with_sqlite_there_is_one_replica_and_its_volume_stays(chart: Path) -> None:
    objects = render(chart, *LOCAL)
    spec = of_kind(objects, "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    assert not [each for each in objects if each["kind"] == "HorizontalPodAutoscaler"]
    assert of_kind(objects, "PersistentVolumeClaim")["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert {"name": "state", "persistentVolumeClaim": {"claimName": "agents"}} in spec["template"]["spec"]["volumes"]


FORBIDDEN = [
    "169.254.169.254", "169.254.169.252", "169.254.170.2", "10.0.0.1", "10.96.0.1", "172.16.0.1", "172.31.255.255",
    "192.168.1.1", "100.64.0.1", "127.0.0.1", "34.118.224.1",
]  # fmt: skip


@pytest.mark.parametrize("name", ["agents", "agents-workspaces"])
def test_the_internet_is_neither_the_metadata_server_nor_a_private_address(chart: Path, name: str) -> None:
    rules = of_kind(render(chart, *PRODUCTION), "NetworkPolicy", name)["spec"]["egress"]
    blocks = [peer["ipBlock"] for rule in rules for peer in rule["to"] if "ipBlock" in peer]
    [internet] = [block for block in blocks if block["cidr"] == "0.0.0.0/0"]
    excepted = [ip_network(each) for each in internet["except"]]
    assert [each for each in FORBIDDEN if not any(ip_address(each) in network for network in excepted)] == []
    assert not any(ip_address("160.79.104.10") in network for network in excepted)
    # By their own rules: names; and for the service alone the metadata server, which gives it its identity on GKE.
    others = {block["cidr"] for block in blocks} - {"0.0.0.0/0"}
    metadata = {"169.254.169.254/32", "169.254.169.252/32"} if name == "agents" else set()
    assert others == {"169.254.20.10/32"} | metadata


def test_without_the_internet_workspaces_reach_the_sites_own_and_what_it_allows(chart: Path) -> None:
    allowed = '[{"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"port": 5432}]}]'
    words = [
        "--set=networkPolicy.workspaces.internet=false",
        f"--set-json=networkPolicy.workspaces.extraEgress={allowed}",
    ]
    rules = of_kind(render(chart, *LOCAL, *words), "NetworkPolicy", "agents-workspaces")["spec"]["egress"]
    assert [peer["ipBlock"]["cidr"] for rule in rules for peer in rule["to"] if "ipBlock" in peer] == ["10.1.2.3/32"]
    reached = {
        peer["podSelector"]["matchLabels"].get("app.kubernetes.io/component", "names"): [
            port["port"] for port in rule["ports"]
        ]
        for rule in rules for peer in rule["to"] if "podSelector" in peer
    }  # fmt: skip
    assert reached == {
        "names": [53, 53], "hub": [8081], "proxy": [8000, 8443], "autohttps": [8080, 8443], "agents": [8040],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ([], "http://proxy-public/"),
        (
            ["--set=jupyterhub.proxy.https.enabled=true,jupyterhub.proxy.https.type=letsencrypt"],
            "http://proxy-http:8000/",
        ),
        (["--set=service.hubUrl=https://hub.example.org/"], "https://hub.example.org/"),
    ],
)
def test_the_front_door_goes_by_the_proxy(chart: Path, words: list[str], address: str) -> None:
    spec = of_kind(render(chart, *LOCAL, *words), "Deployment")["spec"]["template"]["spec"]
    assert environment_of(spec)["JUPYTERHUB_AGENTS_HUB_URL"]["value"] == address


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("model.existingSecret=", "create secret generic agents-api-key"),
        ("model.upstream=vertex", "model.vertexProject is not set"),
        ("store.backend=firestore", "store.firestoreProject is not set"),
        ("service.autoscaling.enabled=true", "store.backend is sqlite"),
        ("service.replicas=2", "store.backend=firestore"),
        ("secrets.existingSecret=ours", "need the same token"),
        ("jupyterhub.fullnameOverride=ours", "leave it empty"),
        ("jupyterhub.hub.baseUrl=/hub/", "at the root of its address"),
        ("jupyterhub.singleuser.networkPolicy.enabled=true", "Use networkPolicy.workspaces"),
        ("jupyterhub.singleuser.storage.type=dynamic", "two homes"),
        ("jupyterhub.cull.enabled=true", "two cullers"),
        ("jupyterhub.proxy.https.enabled=true,jupyterhub.proxy.https.type=secret", "set service.hubUrl"),
    ],
)
def test_values_that_cannot_work_are_refused_with_what_to_do(chart: Path, word: str, says: str) -> None:
    with pytest.raises(HelmFailed, match=says):
        render(chart, *LOCAL, f"--set={word}")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("service.replica=2", "replica"),
        ("sevice.replicas=2", "sevice"),
        ("store.backend=mysql", "store.backend|/store/backend"),
        ("service.stopSeconds=soon", "stopSeconds"),
        ("networkPolicy.denied={everything}", "denied"),
    ],
)
def test_a_value_that_is_misspelt_is_refused_by_its_name(chart: Path, word: str, says: str) -> None:
    with pytest.raises(HelmFailed, match=says):
        render(chart, *LOCAL, f"--set={word}")
