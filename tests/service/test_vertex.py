"""Claude on Vertex AI, with Google's metadata server and Vertex AI itself standing in on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import pytest

from jupyterhub_agents.service.gateway.vertex import address_of
from tests.hub.people import RunningHub
from tests.service.conftest import hub_with_service, service_url
from tests.service.wire import Answer, Caller, RawUpstream, Request

MODELS = "/v1/projects/acme-ai/locations/europe-west1/publishers/anthropic/models"
BODY = {
    "model": "claude-sonnet-4-5-20250929",
    "max_tokens": 8,
    "stream": True,
    "unheard_of": {"x": "é 안녕"},
    "messages": [{"role": "user", "content": "hello"}],
}


def metadata(request: Request) -> Answer:
    """As Google documents the metadata server ("About VM metadata")."""
    flavor = {"Metadata-Flavor": "Google", "Content-Type": "application/json"}
    path = request.line.split()[1].split("?")[0]
    if path.endswith("/token"):
        body = {"access_token": "google-token-of-the-service", "expires_in": 3599, "token_type": "Bearer"}
        return Answer(headers=flavor, body=json.dumps(body).encode())
    if path.endswith("/project/project-id"):
        return Answer(headers={**flavor, "Content-Type": "application/text"}, body=b"acme-ai")
    if path.endswith("/universe/universe-domain"):
        return Answer(headers={**flavor, "Content-Type": "application/text"}, body=b"googleapis.com")
    body = {"email": "service@acme-ai.iam.gserviceaccount.com", "aliases": ["default"], "scopes": []}
    return Answer(headers=flavor, body=json.dumps(body).encode())


@pytest.fixture(scope="module")
def google() -> Iterator[RawUpstream]:
    with RawUpstream() as running:
        running.answer = metadata
        yield running


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, upstream: RawUpstream, google: RawUpstream) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("vertex")
    home = folder / "home"
    home.mkdir()
    environment = {
        "ANTHROPIC_VERTEX_PROJECT_ID": "acme-ai",
        "CLOUD_ML_REGION": "europe-west1",
        "GCE_METADATA_HOST": f"127.0.0.1:{google.port}",
        "GCE_METADATA_IP": f"127.0.0.1:{google.port}",
        "HOME": str(home),
        "GOOGLE_APPLICATION_CREDENTIALS": "",
    }
    arguments = [f"--Gateway.vertex_base_url={upstream.url}", "--Gateway.vertex_models=claude-latest=claude-opus-4-1"]
    keep = 'c.AgentHub.environment_keep = ["GCE_METADATA_HOST", "GCE_METADATA_IP"]'
    with hub_with_service(folder, *arguments, environment=environment, more=keep) as running:
        yield running


@pytest.fixture
def through(hub: RunningHub, upstream: RawUpstream) -> Caller:
    upstream.requests.clear()
    return Caller(f"{service_url(hub)}anthropic", **{"x-api-key": hub.person("ada").token})


def test_the_model_goes_into_the_path_and_the_version_into_the_body(through: Caller, upstream: RawUpstream) -> None:
    async def stream(_: Request) -> AsyncIterator[bytes]:
        yield b"event: ping\ndata: {}\n\n"
        yield b"event: message_stop\ndata: {}\n\n"

    upstream.answer = lambda _: Answer(headers={"Content-Type": "text/event-stream"}, pieces=stream)
    headers = [("anthropic-beta", "a,b"), ("anthropic-version", "2023-06-01"), ("X-Unheard-Of", "1")]
    reply = through.send("POST", "/v1/messages?beta=true", json.dumps(BODY).encode(), headers)
    assert (reply.status, reply.body) == (200, b"event: ping\ndata: {}\n\nevent: message_stop\ndata: {}\n\n")
    (request,) = upstream.requests
    assert request.line == f"POST {MODELS}/claude-sonnet-4-5@20250929:streamRawPredict HTTP/1.1"
    expected = {key: value for key, value in BODY.items() if key != "model"}
    assert json.loads(request.body) == {"anthropic_version": "vertex-2023-10-16", **expected}
    assert request.all("authorization") == ["Bearer google-token-of-the-service"]
    assert request.all("anthropic-beta") == ["a,b"]
    assert request.all("x-unheard-of") == ["1"]
    assert request.all("x-api-key") == request.all("anthropic-version") == []


def test_an_answer_in_one_piece_and_a_count_have_paths_of_their_own(through: Caller, upstream: RawUpstream) -> None:
    upstream.answer = lambda _: Answer(body=b'{"ok": 1}')
    plain = {**BODY, "stream": False, "model": "claude-latest"}
    assert through.send("POST", "/v1/messages", json.dumps(plain).encode()).status == 200
    assert through.send("POST", "/v1/messages/count_tokens", json.dumps(plain).encode()).status == 200
    first, second = upstream.requests
    assert first.line == f"POST {MODELS}/claude-opus-4-1:rawPredict HTTP/1.1"
    assert second.line == f"POST {MODELS}/count-tokens:rawPredict HTTP/1.1"
    assert json.loads(second.body)["model"] == "claude-opus-4-1"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no json", 400),
        (b'{"max_tokens": 1}', 400),
        (b"[]", 400),
        (b'{"model": "../../../secrets:predict"}', 404),
        (b'{"model": 7}', 404),
        (b'{"model": "a/b?c"}', 404),
    ],
)
def test_a_model_that_is_no_name_never_becomes_a_path(
    through: Caller, upstream: RawUpstream, body: bytes, status: int
) -> None:
    reply = through.send("POST", "/v1/messages", body)
    assert (reply.status, reply.get("x-should-retry")) == (status, "false")
    assert upstream.requests == []


def test_errors_of_vertex_ai_come_through(through: Caller, upstream: RawUpstream) -> None:
    said = b'{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED"}}'
    upstream.answer = lambda _: Answer(429, {"Content-Type": "application/json", "Retry-After": "5"}, said)
    reply = through.send("POST", "/v1/messages", json.dumps(BODY).encode())
    assert (reply.status, reply.body, reply.get("retry-after")) == (429, said, "5")


def test_the_token_is_asked_for_once(through: Caller, upstream: RawUpstream, google: RawUpstream) -> None:
    upstream.answer = lambda _: Answer()
    for _ in range(5):
        assert through.send("POST", "/v1/messages", json.dumps(BODY).encode()).status == 200
    assert sum("/token" in request.line for request in google.requests) == 1


@pytest.mark.parametrize(
    ("region", "address"),
    [
        ("global", "https://aiplatform.googleapis.com"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
        ("europe-west1", "https://europe-west1-aiplatform.googleapis.com"),
    ],
)
def test_each_region_has_its_address(region: str, address: str) -> None:
    assert address_of(region) == address
