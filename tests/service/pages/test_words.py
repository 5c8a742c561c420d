"""The pages' languages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from jupyterhub_agents.service.pages import words
from jupyterhub_agents.service.pages.render import HERE


def test_every_word_of_the_templates_is_translated_and_no_others() -> None:
    used = {
        message
        for _, _, message, _, _ in extract_from_dir(
            HERE / "templates", [("**.html", "jinja2")], options_map={"**.html": {"silent": "false"}}
        )
    }
    assert len(used) > 100
    for path in words.FOLDER.glob("*/messages.po"):
        with path.open("rb") as file:
            catalogue = read_po(file, locale=path.parent.name)
        translated = {message.id: message.string for message in catalogue if message.id}
        assert set(translated) == used
        assert all(translated.values())
        assert [list(message.check()) for message in catalogue if list(message.check())] == []


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        (None, "", "en"),
        (None, "ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        (None, "fr,en;q=0.5,ko;q=0.7", "ko"),
        (None, "fr-FR", "en"),
        (None, "ko;q=nonsense,;;,", "en"),
        ("en", "ko", "en"),
        ("tlh", "ko", "ko"),
    ],
)
def test_the_choice_counts_then_what_the_browser_likes_best(chosen: str | None, accepted: str, language: str) -> None:
    assert words.choose(chosen, accepted) == language


def test_figures_are_written_as_the_language_does() -> None:
    english, korean = (words.Formats(language, ZoneInfo("Asia/Seoul")) for language in ("en", "ko"))
    assert [english.money(nanos) for nanos in (0, 1_234_500_000_000, 1_200_000, None)] == [
        "$0.00", "$1,234.50", "$0.0012", words.NONE,
    ]  # fmt: skip
    assert [english.short(number) for number in (9_999, 1_234_567)] == ["9,999", "1.2M"]
    assert korean.short(1_234_567) == "123.5만"
    assert [english.percent(part) for part in (0, 0.055, 0.5, 1)] == ["0%", "5.5%", "50%", "100%"]
    moment = datetime(2026, 11, 21, 15, 30, tzinfo=UTC)
    assert english.when(moment).startswith("11/22/26")  # it is the day after in Seoul
    assert korean.when(moment) == "26. 11. 22. 오전 12:30"
    assert korean.clock(moment + timedelta(hours=12)) == "오후 12:30"
    assert "PM" in english.clock(moment + timedelta(hours=12))
    assert english.ago(moment, moment + timedelta(hours=3)) == "3 hours ago"
    for formats in (english, korean):
        assert "duration" not in " ".join(map(formats.seconds, (0.4, 59, 61, 3_600, 90_000)))
    assert english.seconds(3_700) == "1 hr 1 min"
