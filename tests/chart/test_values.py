"""The values: each explained, the official chart's as its schema wants them, and the workspaces that they make."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from traitlets.config import Config

from tests.chart.helm import CHART, ENVIRONMENTS, ROOT, values_of
from tests.cluster.rules import against_autopilot, against_restricted
from tests.hub.spawner_pod import pod_of

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
NO_SCHEMA = "JUPYTERHUB_CHART_SCHEMA does not name the values.schema.json of the official JupyterHub chart."


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_official_charts_values_are_as_its_schema_wants_them(environment: str) -> None:
    if not (schema := os.environ.get("JUPYTERHUB_CHART_SCHEMA")):
        pytest.skip(NO_SCHEMA)
    validator = Draft7Validator(json.loads(Path(schema).read_text()))
    values = values_of(environment)["jupyterhub"]
    assert values["hub"]["image"]["name"]
    # What it requires besides is in its own values.yaml.
    errors = [error for error in validator.iter_errors(values) if error.validator != "required"]
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_the_official_charts_schema_would_object_to_a_value_that_is_none() -> None:
    """So that the test above says something."""
    if not (schema := os.environ.get("JUPYTERHUB_CHART_SCHEMA")):
        pytest.skip(NO_SCHEMA)
    validator = Draft7Validator(json.loads(Path(schema).read_text()))
    values = values_of("local")["jupyterhub"]
    values["singleuser"]["storage"]["type"] = "dinamic"
    values["hub"]["imagee"] = {}
    errors = [error.json_path for error in validator.iter_errors(values) if error.validator != "required"]
    assert sorted(errors) == ["$.hub", "$.singleuser.storage.type"]


def test_the_schema_is_one_of_draft_7_and_closed_in_the_charts_own_part() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    open_ = [
        path for path, node in nodes(SCHEMA)
        if "properties" in node and node.get("additionalProperties") is not False and path[:1] != ("jupyterhub",)
    ]  # fmt: skip
    assert open_ == []


def nodes(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, (*path, name))


def leaves(
    values: dict[str, Any], schema: dict[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each value of values.yaml that the schema does not take apart further, and what the schema says of it."""
    for name, value in values.items():
        inner = schema.get("properties", {}).get(name, {})
        if isinstance(value, dict) and "properties" in inner:
            yield from leaves(value, inner, (*path, name))
        else:
            yield ".".join((*path, name)), inner


def test_every_value_is_explained_in_the_schema_and_on_the_page() -> None:
    page = (ROOT / "docs" / "chart.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    found = dict(leaves(values, SCHEMA))
    assert len(found) > 50
    assert [path for path, node in found.items() if len(node.get("description", "").split()) < 4] == []
    assert [path for path in found if f"`{path}`" not in page] == []


def test_every_value_of_the_schema_has_its_default_in_values_yaml() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    known = {path for path, _ in leaves(values, SCHEMA)}
    ends = {".".join(path) for path, node in nodes(SCHEMA) if path and "properties" not in node}
    optional = {path for path in ends if path.endswith(("secretKeyRef.optional",))} | {"global"}
    assert ends - optional <= known


def test_the_page_is_made_of_the_schema_as_it_is() -> None:
    command = [sys.executable, "tools/chart_values.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def hub_of(environment: str, monkeypatch: pytest.MonkeyPatch) -> Config:
    """What a hub is told that is installed with these values, in the order in which the official chart tells it."""
    values = values_of(environment)["jupyterhub"]
    for name in values["hub"]["extraEnv"]:
        monkeypatch.setenv(name, f"{name.lower().replace('_', '-')}-{'0' * 32}")
    monkeypatch.setenv("JUPYTERHUB_AGENTS_PLATFORM", "kubernetes")
    c = Config()
    c.KubeSpawner.image = "{name}:{tag}".format(**values["singleuser"]["image"])
    c.KubeSpawner.environment = {}
    c.KubeSpawner.volumes = c.KubeSpawner.volume_mounts = {}
    c.KubeSpawner.mem_guarantee = "1G"
    c.JupyterHub.services, c.JupyterHub.load_roles = [], []
    for section, choices in values["hub"]["config"].items():
        c[section].update(choices)
    for _, text in sorted(values["hub"]["extraConfig"].items()):
        exec(text, {"c": c})  # noqa: S102 - as the official chart does
    return c


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_workspace_of_each_environment_is_admitted(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    c = hub_of(environment, monkeypatch)
    sizes = [profile["slug"] for profile in c.KubeSpawner.profile_list] or [None]
    for size in sizes:
        pod = pod_of(c, size)
        assert against_restricted(pod) + against_autopilot(pod) == []
        [container] = pod["spec"]["containers"]
        assert container["image"].endswith("/workspace:1" if environment == "local" else "/workspace:0.1.0")
        names = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert names["ANTHROPIC_BASE_URL"] == "http://agents:8040/services/agents/anthropic"
    [service] = [service for service in c.JupyterHub.services if service["name"] == "agents"]
    assert service["oauth_client_allowed_scopes"] == ["access:services!service=agents", "access:servers"]
    assert {role["name"] for role in c.JupyterHub.load_roles} >= {"agents-service", "user", "server"}


@pytest.mark.parametrize("environment", ["development", "staging", "production"])
def test_the_front_door_waits_longer_than_the_hub_for_a_workspace(environment: str) -> None:
    values = values_of(environment)
    spawn_timeout = values["jupyterhub"]["hub"]["config"]["AgentHub"]["spawn_timeout"]
    assert values["service"]["config"]["FrontDoor"]["start_timeout_s"] > spawn_timeout


def test_placeholders_are_as_large_as_the_workspaces_that_take_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    [container] = pod_of(hub_of("production", monkeypatch))["spec"]["containers"]
    requests = values_of("production")["jupyterhub"]["scheduling"]["userPlaceholder"]["resources"]["requests"]
    assert container["resources"]["requests"]["cpu"] == 0.5 and requests["cpu"] == "500m"
    assert int(container["resources"]["requests"]["memory"]) == 2 * 2**30 and requests["memory"] == "2Gi"
    assert container["resources"]["requests"]["ephemeral-storage"] == requests["ephemeral-storage"] == "2Gi"
