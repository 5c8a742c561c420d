"""The chart as helm sees it, with the official chart's place taken by an empty one, unless there is a copy of that."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "chart"
VALUES = ROOT / "helm-values"
NO_HELM = "helm is not on PATH: get it from https://helm.sh/docs/intro/install/."
ENVIRONMENTS = {
    "local": ("local",),
    "development": ("common", "gke-autopilot", "development"),
    "staging": ("common", "gke-autopilot", "staging"),
    "production": ("common", "gke-autopilot", "production"),
}
"""The values files that are given together, in this order."""
RELEASE = "agents"
KUBERNETES = "1.34.0"
VERSION = "4.4.0"
LIMIT_S = 60

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, where PyYAML was built with it: many times as fast."""

Object = dict[str, Any]


class HelmFailed(Exception):
    """What helm said."""


def helm(*words: str, limit_s: float = LIMIT_S) -> str:
    """What helm says on its standard output. Raises HelmFailed with all it said."""
    done = subprocess.run(["helm", *words], capture_output=True, text=True, timeout=limit_s, check=False)
    if done.returncode:
        raise HelmFailed(f"{done.stdout}\n{done.stderr}")
    return done.stdout


def with_dependency(folder: Path, official: str = "", schema: str = "") -> Path:
    """A copy of the chart in `folder` with what it depends on: the official chart from `official`, else an empty one.

    A checkout of the official chart's repository has neither a version nor the schema as JSON: these are put in.
    """
    chart = folder / "chart"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("charts", "Chart.lock"))
    dependency = chart / "charts" / "jupyterhub"
    if official:
        shutil.copytree(official, dependency)
        about = yaml.safe_load((dependency / "Chart.yaml").read_text())
        if "chartpress" in about["version"]:
            about["version"] = VERSION
        (dependency / "Chart.yaml").write_text(yaml.safe_dump(about))
        if schema and not (dependency / "values.schema.json").exists():
            shutil.copy(schema, dependency / "values.schema.json")
    else:
        (dependency / "templates").mkdir(parents=True)
        about = {"apiVersion": "v2", "name": "jupyterhub", "version": VERSION}
        (dependency / "Chart.yaml").write_text(yaml.safe_dump(about))
    return chart


def official_chart() -> str:
    """The folder of a copy of the official chart, where the machine has one."""
    return os.environ.get("JUPYTERHUB_CHART", "")


def files_of(environment: str) -> list[str]:
    return [f"--values={VALUES / name}.yaml" for name in ENVIRONMENTS[environment]]


def render(chart: Path, *words: str) -> list[Object]:
    """All objects that come out."""
    return [each for each in yaml.load_all(rendered(chart, *words), LOADER) if each]


@cache
def rendered(chart: Path, *words: str) -> str:
    """What comes out, as text."""
    return helm("template", RELEASE, str(chart), f"--kube-version={KUBERNETES}", *words)


def merged(*files: Path) -> dict[str, Any]:
    """Values as helm merges them: the later wins, mappings are merged, null takes away."""
    whole: dict[str, Any] = {}
    for file in files:
        _merge(whole, yaml.safe_load(file.read_text()))
    return whole


def values_of(environment: str) -> dict[str, Any]:
    """The chart's own values with those of an environment."""
    return merged(CHART / "values.yaml", *(VALUES / f"{name}.yaml" for name in ENVIRONMENTS[environment]))


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = deepcopy(value)


def of_kind(objects: Sequence[Object], kind: str, name: str = RELEASE) -> Object:
    """The one object of this kind and name."""
    found = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} objects are called {kind} {name}"
    return found[0]


def pods_in(objects: Sequence[Object]) -> dict[str, Object]:
    """Each pod that the objects make, by the kind and name of what makes it."""
    return {
        f"{each['kind']} {each['metadata']['name']}": each["spec"]["template"]
        for each in objects
        if "containers" in each.get("spec", {}).get("template", {}).get("spec", {})
    }
