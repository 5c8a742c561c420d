"""What Prometheus reads of a workspace."""

from __future__ import annotations

import time

from jupyterhub_agents.runtime.metrics import model_label
from jupyterhub_agents.testing.replies import fail, say
from tests.workspace import StartServer

WORDS = "a-name-that-somebody-typed"


def test_runs_tokens_and_the_store_are_counted_and_no_words_of_people_are_told(start_server: StartServer) -> None:
    script = {
        "well": [say("Done.").usage(input_tokens=1000, output_tokens=20)],
        "badly": [fail(400, message="No.").always()],
    }
    with start_server(script) as server:
        server.agent(WORDS, model="claude-sonnet-5", instructions=WORDS)
        server.agent("odd", model=WORDS)
        server.finish(server.start("well done", WORDS, trigger="cli")["id"])
        server.finish(server.start("badly done", WORDS)["id"])
        server.finish(server.start("well done", "odd")["id"])
        # A run gives up its place and is counted a moment after its end is there to read.
        deadline = time.monotonic() + 60
        counted = 0.0
        while counted < 3:
            assert time.monotonic() < deadline
            time.sleep(0.1)
            text = server.get("metrics").text
            told = figures(text)
            counted = sum(count for name, count in told.items() if name.startswith("jupyterhub_agents_runs_total{"))
    assert told['jupyterhub_agents_runs_total{status="succeeded",trigger="cli"}'] == 1
    assert told['jupyterhub_agents_runs_total{status="failed",trigger="api"}'] == 1
    assert told['jupyterhub_agents_tokens_total{kind="input",model="claude-sonnet-5"}'] == 1000
    assert told['jupyterhub_agents_tokens_total{kind="output",model="claude-sonnet-5"}'] == 20
    assert told['jupyterhub_agents_cost_usd_total{model="claude-sonnet-5"}'] > 0
    assert told['jupyterhub_agents_tokens_total{kind="input",model="other"}'] == 1000
    assert told['jupyterhub_agents_run_seconds_count{status="succeeded"}'] == 2
    assert told["jupyterhub_agents_first_event_seconds_count"] == 3
    assert told['jupyterhub_agents_store_seconds_count{operation="append_events"}'] > 6
    assert (told["jupyterhub_agents_unfinished_runs"], told["jupyterhub_agents_cli_processes"]) == (0, 0)
    assert told["jupyterhub_agents_open_streams"] == 0
    assert WORDS not in "".join(line for line in text.splitlines() if "jupyterhub_agents" in line)


def figures(text: str) -> dict[str, float]:
    """Ours, by name and labels."""
    lines = (line.rpartition(" ") for line in text.splitlines())
    return {name: float(value) for name, _, value in lines if name.startswith("jupyterhub_agents")}


def test_a_model_is_named_only_when_it_is_claudes() -> None:
    for name in ("claude-sonnet-5", "claude-opus-5-5", "claude-haiku-4-5-20251001", "claude-sonnet-5[1m]"):
        assert model_label(name) == name
    for name in ("my secret project", "claude-x" * 30, "gpt", "claude-sonnet-5\n", "claude-the-name-of-a-customer"):
        assert model_label(name) == "other"
