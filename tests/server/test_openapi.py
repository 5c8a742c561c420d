"""The OpenAPI document says what the handlers do."""

from __future__ import annotations

from typing import Any

from openapi_spec_validator import validate

from jupyterhub_agents.server.openapi import document
from jupyterhub_agents.server.routes import ROUTES
from tests.workspace import Server


def test_the_document_is_valid_and_is_served(server: Server) -> None:
    served = server.get("api/agents-openapi.json").json()
    validate(served)
    assert served == document("/user/ana/")


def test_every_operation_of_every_handler_is_in_the_document_and_no_other() -> None:
    paths = document("/")["paths"]
    for route in ROUTES:
        defined = {method for method in ("get", "post", "put", "patch", "delete") if _own(route.handler, method)}
        assert defined == set(route.operations), route.path
        assert set(paths[f"/{route.path}"]) - {"parameters"} == defined


def test_every_path_of_the_document_answers_as_it_says(server: Server) -> None:
    """Each operation is called with nothing known to it: the status is one of those it names."""
    for path, operations in document("/")["paths"].items():
        concrete = path.replace("{id}", "nothing").replace("{number}", "1")
        for method, operation in operations.items():
            if method == "parameters":
                continue
            answer = server.http.request(method, concrete.lstrip("/"), json={} if "requestBody" in operation else None)
            assert str(answer.status_code) in operation["responses"], (method, path, answer.text)


def test_the_document_shows_every_field_that_a_change_may_hold() -> None:
    schemas: dict[str, Any] = document("/")["components"]["schemas"]
    assert set(schemas["AgentUpdate"]["properties"]) == {"revision", *schemas["AgentSpec"]["properties"]}


def _own(handler: type, method: str) -> bool:
    found = next((c for c in handler.__mro__ if method in c.__dict__), None)
    return found is not None and found.__module__.startswith("jupyterhub_agents")
