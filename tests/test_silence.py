"""A silence of over five minutes ends no stream. `tests/service/silence.py` makes it, from the first test on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.service.silence import ANSWERS, FAILED, LOG, PLACES, SILENCE_S, START_AND_STOP_S, WHOLE


@pytest.mark.timeout(SILENCE_S + 2 * START_AND_STOP_S)
def test_a_silence_of_over_five_minutes_ends_no_stream_and_changes_no_byte(silence: Path) -> None:
    deadline = time.monotonic() + SILENCE_S + START_AND_STOP_S
    while not (silence / ANSWERS).exists():
        assert time.monotonic() < deadline, (silence / LOG).read_text()
        assert not (silence / FAILED).exists(), (silence / LOG).read_text()
        time.sleep(0.2)
    answers = json.loads((silence / ANSWERS).read_text())
    assert answers == {f"{way} {place}": WHOLE.decode() for way in ("direct", "gateway") for place in PLACES}
