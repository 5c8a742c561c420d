"""Answers that are no answers of ours, and what a person is told of them."""

from __future__ import annotations

import json

import pytest

from jupyterhub_agents.client import NoWorkspace, TokenRefused, Unreachable, WorkspaceNotRunning, protocol
from jupyterhub_agents.errors import AgentsError, InvalidInput, NotAllowed, NotFound, StaleRevision, body
from jupyterhub_agents.models import Trigger

PLACE = "https://hub.example.org/user/ana/"
HTML = b"<!DOCTYPE html><html><title>Jupyter</title></html>"


@pytest.mark.parametrize(
    ("status", "content", "location", "kind"),
    [
        (424, b'{"message": "JupyterHub server no longer running at user/ana/api."}', "", WorkspaceNotRunning),
        (503, b'{"message": "JupyterHub server no longer running at user/ana/api."}', "", WorkspaceNotRunning),
        (424, HTML, "", WorkspaceNotRunning),
        (303, b"", "/hub/spawn-pending/ana", WorkspaceNotRunning),
        (302, b"", "/base/hub/user/ana/api/agents", WorkspaceNotRunning),
        (302, b"", "/hub/services/agents/workspace/ana/api/agents", NoWorkspace),
        (302, b"", "/hub/login?next=x", TokenRefused),
        (403, HTML, "", TokenRefused),
        (401, b"{}", "", TokenRefused),
        (502, HTML, "", Unreachable),
        (503, HTML, "", Unreachable),
        (504, HTML, "", Unreachable),
        (404, HTML, "", NoWorkspace),
        (404, json.dumps(body(404, "not_found", "There is no agent 'x'.")).encode(), "", NotFound),
        (409, json.dumps(body(409, "stale_revision", "Old.", current=7)).encode(), "", StaleRevision),
    ],
)
def test_each_answer_becomes_its_error(status: int, content: bytes, location: str, kind: type[AgentsError]) -> None:
    error = protocol.error_of(PLACE, status, content, location)
    assert type(error) is kind
    assert "<" not in error.message


def test_a_refused_token_can_be_caught_as_not_allowed() -> None:
    assert issubclass(TokenRefused, NotAllowed)


@pytest.mark.parametrize("content", [HTML, b'{"hello": "world"}', b""])
def test_an_answer_of_something_else_is_not_taken_for_ours(content: bytes) -> None:
    with pytest.raises(NoWorkspace, match="not this version's agents API"):
        protocol.read(protocol.get_agent("x"), PLACE, 200, content)


def test_a_service_token_belongs_to_no_person() -> None:
    with pytest.raises(NoWorkspace, match="`user`"):
        protocol.whose_token().read({"kind": "service", "name": "reports"})


def test_ids_stay_within_their_part_of_the_path() -> None:
    assert protocol.get_agent("hub?x#y").path == "api/agents/hub%3Fx%23y"
    assert protocol.get_agent("a/b@x?/hub#y").path == "api/shared/a%2Fb%40x%3F/hub%23y"
    assert protocol.update_agent("../hub", 1, {}).path == "api/agents/..%2Fhub"


@pytest.mark.parametrize("reference", ["../hub", "./hub", "/hub", "ana/", "ana/.."])
def test_what_names_no_agent_of_anybody_is_refused(reference: str) -> None:
    for call in (
        lambda: protocol.get_agent(reference),
        lambda: protocol.start_run(reference, "go", Trigger.API),
        lambda: protocol.copy_agent(reference, None),
    ):
        with pytest.raises(InvalidInput, match="OWNER/ID"):
            call()
    with pytest.raises(InvalidInput, match="nobody's name"):
        protocol.share_agent("reviewer", "person", "..", "use")


def test_wrong_input_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidInput, match=r"max_turns"):
        protocol.create_agent("x", None, {"max_turns": 0})
    with pytest.raises(InvalidInput, match=r"colour: an agent has no such field\. It has name, "):
        protocol.update_agent("x", 1, {"colour": "red"})
    with pytest.raises(InvalidInput, match="'done' is no status"):
        protocol.runs_pages(None, None, "done", 5)
