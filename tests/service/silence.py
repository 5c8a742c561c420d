"""A silence of over five minutes, beside all other tests: `python -m tests.service.silence FOLDER`.

A process of its own, with a hub, its service and an upstream that says nothing for SILENCE_S seconds: before an answer
begins, and in its middle; once direct and once through the gateway, all at the same time. What came is in
FOLDER/answers.json at the end. `tests/conftest.py` starts it with the first test, `tests/test_silence.py` looks last.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.service.conftest import ORGANISATION_KEY, hub_with_service, service_url
from tests.service.wire import Answer, Caller, RawUpstream, Request

SILENCE_S = float(os.environ.get("GATEWAY_SILENCE_S") or (310 if os.environ.get("CI") else 6))
ANSWERS = "answers.json"
FAILED = "failed"
LOG = "silence.log"
START_AND_STOP_S = 180.0
SSE = {"Content-Type": "text/event-stream; charset=utf-8"}
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
BEGIN = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":1}}}\n\n' + PING
)
END = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
WHOLE = BEGIN + END
PLACES = ("before", "within")


async def _silent(request: Request) -> AsyncIterator[bytes]:
    if b"before" in request.body:
        await asyncio.sleep(SILENCE_S)
    yield BEGIN
    if b"within" in request.body:
        await asyncio.sleep(SILENCE_S)
    yield END


def main(folder: Path) -> None:
    with RawUpstream() as upstream:
        upstream.answer = lambda _: Answer(headers=SSE, pieces=_silent)
        environment = {"ANTHROPIC_API_KEY": ORGANISATION_KEY, "ANTHROPIC_BASE_URL": upstream.url}
        with hub_with_service(folder, environment=environment) as hub:
            ways = {
                "direct": Caller(upstream.url, **{"x-api-key": ORGANISATION_KEY}),
                "gateway": Caller(f"{service_url(hub)}anthropic", Authorization=f"Bearer {hub.person('ada').token}"),
            }

            def call(way: Caller, place: str) -> str:
                body = b'{"model":"claude-haiku-4-5","max_tokens":8,"stream":true,"x":"%s"}' % place.encode()
                reply = way.send("POST", "/v1/messages?beta=true", body, patience_s=SILENCE_S + 60)
                return reply.body.decode()

            with ThreadPoolExecutor(2 * len(ways)) as pool:
                calls = {
                    f"{name} {place}": pool.submit(call, way, place) for name, way in ways.items() for place in PLACES
                }
                answers = {name: each.result() for name, each in calls.items()}
    new = folder / f"{ANSWERS}.new"
    new.write_text(json.dumps(answers))
    new.rename(folder / ANSWERS)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except BaseException:
        Path(sys.argv[1], FAILED).touch()
        raise
