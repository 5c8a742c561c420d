"""The OpenAPI 3.1 document, made of the routes and of the models that the handlers themselves use."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .._version import __version__
from ..errors import reason_phrase
from ..models import AgentSpec, AgentUpdate, Delta, Event, ShareKind
from .routes import ROUTES, Operation

REF = "#/components/schemas/{model}"
ALWAYS = (400, 403, 503)
"""Statuses that every operation may answer with: a wrong query or body, a person who may not, a store that is away."""

ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["code", "message", "reason"],
    "properties": {
        "code": {"type": "string", "description": "For programs; never changes."},
        "message": {"type": "string", "description": "For people; says what to do."},
        "reason": {"type": "string", "description": "The standard phrase of the status."},
        "current": {"type": "integer", "description": "With `stale_revision`: the newest revision."},
        "last_seq": {"type": "integer", "description": "With `sequence_gap`: the newest event's number."},
    },
}


def document(base_url: str) -> dict[str, Any]:
    """The document of a workspace whose base URL is `base_url`."""
    models = _models()
    refs, definitions = models_json_schema([(model, "validation") for model in models], ref_template=REF)
    names = {model: refs[(model, "validation")] for model in models}
    schemas = dict(definitions["$defs"])
    # A change may hold any field of an agent, each as it is there.
    update = dict(schemas["AgentUpdate"])
    update["properties"] = schemas["AgentSpec"]["properties"] | update["properties"]
    update["additionalProperties"] = False
    schemas["AgentUpdate"] = update
    schemas["Error"] = ERROR
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "jupyterhub-agents workspace",
            "version": __version__,
            "description": "Agents, their revisions, runs and events of one person's workspace. The stream of events "
            "can also be had over a WebSocket at the same path.",
        },
        "servers": [{"url": base_url}],
        "security": [{"token": []}],
        "paths": {
            f"/{route.path}": {
                "parameters": _path_parameters(route.path),
                **{method: _operation(op, names, method, route.path) for method, op in route.operations.items()},
            }
            for route in ROUTES
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`token ...`, a JupyterHub or Jupyter Server token",
                }
            },
        },
    }


def _models() -> list[type[BaseModel]]:
    found: dict[type[BaseModel], None] = {AgentSpec: None, AgentUpdate: None, Event: None, Delta: None}
    for route in ROUTES:
        for op in route.operations.values():
            found |= dict.fromkeys(model for model in (op.answer, op.body) if model is not None)
    return list(found)


def _path_parameters(path: str) -> list[dict[str, Any]]:
    found = []
    for name, schema in (
        ("id", {"type": "string"}),
        ("number", {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}),
        ("owner", {"type": "string"}),
        ("kind", {"type": "string", "enum": [kind.value for kind in ShareKind]}),
        ("name", {"type": "string"}),
    ):
        if f"{{{name}}}" in path:
            found.append({"name": name, "in": "path", "required": True, "schema": schema})
    return found


def _operation(op: Operation, names: dict[Any, Any], method: str, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": op.summary}
    if op.status != 204:
        schema = names[op.answer] if op.answer is not None else {"type": "object"}
        answer["content"] = {
            media: {"schema": schema if media == "application/json" else {"type": "string"}} for media in op.media
        }
    responses: dict[str, Any] = {str(op.status): answer}
    for status in sorted({*ALWAYS, *op.errors}):
        if status != op.status:
            responses[str(status)] = {
                "description": reason_phrase(status),
                "content": {"application/json": {"schema": {"$ref": REF.format(model="Error")}}},
            }
    found: dict[str, Any] = {
        "summary": op.summary,
        "operationId": f"{method}_{path.removeprefix('api/').translate(str.maketrans('/-.', '___', '{}'))}",
        "responses": responses,
    }
    if op.query is not None:
        found["parameters"] = _query_parameters(op.query)
    if op.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": names[op.body]}}}
    return found


def _query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema(ref_template=REF)
    required = schema.get("required", [])
    found = []
    for name, value in schema.get("properties", {}).items():
        parameter = {"name": name, "in": "query", "required": name in required, "schema": _absent_not_null(value)}
        if description := value.get("description"):
            parameter["description"] = description
        found.append(parameter)
    return found


def _absent_not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query's parameter is left out where JSON has null."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default", "title", "description")}
    return {**rest, **kinds[0]} if len(kinds) == 1 else rest
