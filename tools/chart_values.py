"""Writes docs/chart.md from chart/values.yaml and its schema: `python tools/chart_values.py` (`--check` compares)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
CHART = ROOT / "chart"
TARGET = ROOT / "docs" / "chart.md"

HEAD = """\
# The chart's values

`chart/` installs the service and its network policies beside the official JupyterHub chart; [Kubernetes](kubernetes.md)
has how. The values under `jupyterhub` are that chart's own, of which any can be set; here are those that this one sets.
In `helm-values/` there is a file for what all environments share, one for GKE Autopilot, and one for each environment.

This page is made of `chart/values.yaml` and `chart/values.schema.json` by `python tools/chart_values.py`.
"""


def text() -> str:
    """The page."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    parts = [HEAD]
    for name, node in schema["properties"].items():
        if name not in values:
            continue
        parts.append(f"\n## `{name}`\n\n{node['description']}\n\n| value | default | |\n|---|---|---|\n")
        parts += [f"| `{path}` | {default} | {said} |\n" for path, default, said in rows(node, values[name], name)]
    return "".join(parts)


def rows(node: dict[str, Any], values: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    """A value's name, default and description, for all that the schema does not take apart further."""
    for name, inner in node["properties"].items():
        if name not in values:
            continue
        if "properties" in inner:
            yield from rows(inner, values[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}", shown(values[name]), inner["description"].replace("|", "\\|")


def shown(value: Any) -> str:
    """A default as YAML on one line, where that is short enough."""
    line = json.dumps(value, ensure_ascii=False).replace("|", "\\|")
    return f"`{line}`" if len(line) <= 60 else "in `chart/values.yaml`"


if __name__ == "__main__":
    if "--check" in sys.argv:
        old = not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text()
        sys.exit(f"{TARGET.name} is old: run tools/chart_values.py" if old else 0)
    TARGET.write_text(text(), encoding="utf-8")
