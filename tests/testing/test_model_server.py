"""The Messages API as a plain HTTP client sees it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource

from jupyterhub_agents.testing import ScriptedModel
from jupyterhub_agents.testing.scripted_model import CLOSING, Request, fail, say, silent, think, use

Post = Callable[..., httpx.Response]


def events(model: ScriptedModel, prompt: str = "Hello") -> list[dict[str, Any]]:
    body = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": prompt}]}
    with httpx.stream("POST", f"{model.url}/v1/messages?beta=true", json=body, timeout=20) as response:
        return [json.loads(event.data) for event in EventSource(response).iter_sse()]


def test_an_answer_without_streaming_is_one_message(post: Post) -> None:
    with ScriptedModel([think("Hm.") + say("Hello!") + use("Bash", {"command": "ls"}, id="toolu_1")]) as model:
        answer = post(model).json()
    assert [block["type"] for block in answer["content"]] == ["thinking", "text", "tool_use"]
    assert answer["content"][0]["signature"]
    assert answer["content"][2] == {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}
    assert answer["model"] == "some-model"
    assert answer["stop_reason"] == "tool_use"
    assert answer["usage"]["input_tokens"] > 0


def test_a_streamed_answer_has_the_events_of_the_api_in_their_order() -> None:
    with ScriptedModel([think("Hm.") + say("One two three") + use("Bash", {"command": "ls"})]) as model:
        seen = events(model)
    kinds = [event["type"] for event in seen]
    assert kinds[:2] == ["message_start", "ping"]
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 3
    deltas = [event["delta"] for event in seen if event["type"] == "content_block_delta"]
    assert "".join(delta.get("thinking", "") for delta in deltas) == "Hm."
    assert [delta["text"] for delta in deltas if "text" in delta] == ["One", " two", " three"]
    assert json.loads("".join(delta.get("partial_json", "") for delta in deltas)) == {"command": "ls"}
    assert [delta["type"] for delta in deltas].count("signature_delta") == 1


@pytest.mark.parametrize("text", ["", " ", "one", " two  words \n", "a\n\nb\n", "x" * 500, "wörd " * 50])
def test_the_pieces_of_a_stream_make_the_whole(text: str) -> None:
    for reply in (say(text), say(text).paced(0.0001), say(text).chunks(7)):
        (block,) = reply.blocks
        assert "".join(reply.streamed_pieces(block)) == text


def test_options_say_how_a_reply_is_delivered(post: Post) -> None:
    reply = say("abcdef").chunks(3).usage(input_tokens=7, output_tokens=8, cache_read=9).stopping("max_tokens")
    with ScriptedModel(reply.as_model("another")) as model:
        seen = events(model)
        answer = post(model).json()
    assert [e["delta"]["text"] for e in seen if e["type"] == "content_block_delta"] == ["ab", "cd", "ef"]
    assert answer["usage"]["cache_read_input_tokens"] == 9
    assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (7, 8)
    assert answer["stop_reason"] == "max_tokens"
    assert answer["model"] == "another"


def test_a_pace_is_kept_between_words() -> None:
    with ScriptedModel(say("one two three four").paced(0.1)) as model:
        begin = time.monotonic()
        events(model)
    assert time.monotonic() - begin >= 0.4


def test_a_delay_comes_before_the_first_byte(post: Post) -> None:
    with ScriptedModel(say("Late.").delayed(0.4)) as model:
        begin = time.monotonic()
        assert post(model).status_code == 200
    assert time.monotonic() - begin >= 0.4


def test_the_reply_due_follows_from_the_history_alone(post: Post) -> None:
    history: list[Any] = [{"role": "user", "content": "Count"}]
    with ScriptedModel({"Count": [say("one"), say("two")], "other": say("Other.")}) as model:
        for expected in ("one", "two", CLOSING, CLOSING):
            for _ in range(2):
                assert post(model, history).json()["content"][0]["text"] == expected
            history += [{"role": "assistant", "content": expected}]
        assert post(model, [*history, {"role": "user", "content": "An other"}]).json()["content"][0]["text"] == "Other."
        assert post(model, "Neither").json()["content"][0]["text"] == CLOSING


def test_what_is_not_the_conversation_is_no_prompt(post: Post) -> None:
    def reminder(text: str) -> dict[str, str]:
        return {"type": "text", "text": f"<system-reminder>{text}</system-reminder>"}

    result = {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "gone\n"}, reminder("y")]}
    history: list[Any] = [
        {"role": "user", "content": [reminder("Count this.")]},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, reminder("Count that.")]},
        {"role": "system", "content": "# Environment"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "Bash", "input": {}}]},
        {"role": "user", "content": [result, reminder("Count.")]},
        {"role": "system", "content": "Count."},
    ]
    with ScriptedModel({"Count": say("Wrong."), "Look": [use("Bash"), say("Right.")]}) as model:
        assert post(model, history).json()["content"][0]["text"] == "Right."
        (request,) = model.requests
    assert (request.prompt, request.step) == ("Look", 1)
    assert [(result.tool, result.text) for result in request.results] == [("Bash", "gone")]


def test_a_prompt_after_an_interruption_is_the_one_that_counts(post: Post) -> None:
    history: list[Any] = [
        {"role": "user", "content": "First"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "Bash", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": "rejected", "is_error": True},
            {"type": "text", "text": "[Request interrupted by user for tool use]"},
            {"type": "text", "text": "Second"},
        ]},
    ]  # fmt: skip
    with ScriptedModel(lambda request: say(f"{request.prompt} {request.step}")) as model:
        assert post(model, history).json()["content"][0]["text"] == "Second 0"


def test_a_request_for_a_title_gets_one_and_not_the_script(post: Post) -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    form = {"format": {"type": "json_schema", "schema": schema}}
    with ScriptedModel([use("Bash", {"command": "ls"})]) as model:
        answer = post(model, "<session>\nlist it\n</session>", output_config=form, headers={"x-app": "cli"}).json()
    assert json.loads(answer["content"][0]["text"]) == {"title": "list it"}


def test_a_callable_may_answer_by_what_it_is_asked(post: Post) -> None:
    def answer(request: Request) -> Any:
        return say(request.prompt.upper()) if request.step == 0 else fail(500)

    with ScriptedModel(answer) as model:
        assert post(model, "hello").json()["content"][0]["text"] == "HELLO"
        history = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        assert post(model, history).status_code == 500


def test_failures_come_first_and_as_often_as_the_script_says(post: Post) -> None:
    script = [fail(429, retry_after=3).times(2), fail(529), say("At last.")]
    with ScriptedModel(script) as model:
        answers = [post(model) for _ in range(5)]
        other = post(model, "A conversation of its own")
    assert [answer.status_code for answer in answers] == [429, 429, 529, 200, 200]
    assert answers[0].headers["retry-after"] == "3"
    assert answers[0].json()["error"]["type"] == "rate_limit_error"
    assert answers[2].json()["error"]["type"] == "overloaded_error"
    assert other.status_code == 429


def test_a_failure_may_last(post: Post) -> None:
    with ScriptedModel(fail(403, "permission_error", "No.", headers={"x-should-retry": "false"}).always()) as model:
        for _ in range(3):
            answer = post(model)
            assert (answer.status_code, answer.json()["error"]["message"]) == (403, "No.")
            assert answer.headers["x-should-retry"] == "false"


def test_a_broken_stream_ends_in_the_middle_and_is_whole_the_next_time() -> None:
    with ScriptedModel(say("one two three").broken(after_events=4)) as model:
        with pytest.raises(httpx.RemoteProtocolError):
            events(model)
        assert events(model)[-1]["type"] == "message_stop"


def test_an_error_may_come_within_a_stream() -> None:
    with ScriptedModel(say("one two").broken(after_events=4, error="overloaded_error")) as model:
        body = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "x"}]}
        seen = httpx.post(f"{model.url}/v1/messages", json=body, timeout=60).content
    # It is the last that is said, and then the stream ends as any other.
    last = seen.removesuffix(b"\n\n").rpartition(b"\n\n")[2]
    assert last.startswith(b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"')


def test_silence_ends_with_a_closed_connection(post: Post) -> None:
    with ScriptedModel([silent(0.2), say("Now.")]) as model:
        with pytest.raises(httpx.RemoteProtocolError):
            post(model)
        assert post(model).json()["content"][0]["text"] == "Now."
        assert [request.status for request in model.requests] == [None, 200]


def test_a_client_that_goes_away_is_noticed() -> None:
    with ScriptedModel(say("one two").delayed(30)) as model:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{model.url}/v1/messages",
                json={"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]},
                timeout=httpx.Timeout(60, read=1),
            )
        deadline = time.monotonic() + 60
        while not (model.requests and model.requests[0].finished) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert model.requests[0].disconnected


def test_tokens_are_counted(post: Post) -> None:
    with ScriptedModel() as model:
        body = {"model": "m", "messages": [{"role": "user", "content": "x" * 400}]}
        counted = httpx.post(f"{model.url}/v1/messages/count_tokens", json=body, timeout=60).json()
        assert 100 <= counted["input_tokens"] <= 120
        assert post(model, "x" * 400).json()["usage"]["input_tokens"] == counted["input_tokens"]


def test_models_can_be_listed_and_looked_up() -> None:
    with ScriptedModel() as model:
        page = httpx.get(f"{model.url}/v1/models", timeout=60).json()
        first = page["data"][0]
        assert page["first_id"] == first["id"]
        assert httpx.get(f"{model.url}/v1/models/{first['id']}", timeout=60).json() == first
        assert httpx.get(f"{model.url}/v1/models/none-such", timeout=60).status_code == 404


def test_the_greeting_of_the_cli_is_answered_and_other_paths_are_not() -> None:
    with ScriptedModel(api_key="secret") as model:
        assert httpx.head(f"{model.url}/api/hello", timeout=60).status_code == 200
        answer = httpx.get(f"{model.url}/v1/batches", headers={"x-api-key": "secret"}, timeout=60)
    assert answer.status_code == 404
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["type"] == "not_found_error"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401), ({"x-api-key": "wrong"}, 401), ({"authorization": "Basic secret"}, 401),
        ({"x-api-key": "secret"}, 200), ({"Authorization": "Bearer secret"}, 200),
    ],
)  # fmt: skip
def test_a_key_is_asked_for(post: Post, headers: dict[str, str], status: int) -> None:
    with ScriptedModel(say("In."), api_key="secret") as model:
        answer = post(model, headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"messages": []}, "at least one message"),
        ({"max_tokens": "many"}, "max_tokens: Input should be a valid int"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        (
            {"messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_9", "name": "B", "input": {}}]},
                {"role": "user", "content": "y"},
            ]},
            "without `tool_result` blocks immediately after: toolu_9",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_8"}]}]},
            "unexpected `tool_use_id` found in `tool_result` blocks: toolu_8",
        ),
    ],
)  # fmt: skip
def test_a_request_that_the_api_would_refuse_is_refused(post: Post, change: dict[str, Any], said: str) -> None:
    with ScriptedModel(say("Never.")) as model:
        answer = post(model, **change)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert said in answer.json()["error"]["message"]


def test_what_is_no_json_is_refused() -> None:
    with ScriptedModel() as model:
        assert httpx.post(f"{model.url}/v1/messages", content=b"{", timeout=60).status_code == 400
        assert httpx.post(f"{model.url}/v1/messages", content=b"[]", timeout=60).status_code == 400


def test_ids_follow_from_the_request_and_differ_between_places(post: Post) -> None:
    with ScriptedModel([use("Bash") + use("Bash")]) as model:
        first, again, other = post(model).json(), post(model).json(), post(model, "Else").json()
    assert first["id"] == again["id"] != other["id"]
    ids = {block["id"] for answer in (first, other) for block in answer["content"]}
    assert len(ids) == 4


def test_many_conversations_are_served_at_once(post: Post) -> None:
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        answers[number] = post(model, f"number {number}").json()["content"][0]["text"]

    with ScriptedModel(lambda request: say(request.prompt).delayed(2)) as model:
        begin = time.monotonic()
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == {number: f"number {number}" for number in range(20)}
    assert time.monotonic() - begin < 20  # one after the other they take 40


def test_a_port_in_use_is_said_at_once() -> None:
    with ScriptedModel() as model, pytest.raises(OSError, match="in use"):
        ScriptedModel(port=model.port).start()


def test_stopping_cuts_what_is_still_being_said(post: Post) -> None:
    model = ScriptedModel(say("one two").delayed(60))
    model.start()
    failed = threading.Event()

    def ask() -> None:
        with pytest.raises(httpx.TransportError):
            post(model)
        failed.set()

    thread = threading.Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + 60
    while not model.requests and time.monotonic() < deadline:
        time.sleep(0.01)
    model.stop()
    model.stop()
    thread.join(60)
    assert failed.is_set()
