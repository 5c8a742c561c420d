"""Templates become pages, in the reader's language."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import DictLoader, Environment, StrictUndefined

from ..budgets.money import NANOS, dollars, nanos
from . import words

HERE = Path(__file__).parent
STATIC = HERE / "static"
LANGUAGE_COOKIE = "agents-language"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'{hub}; style-src 'self'{hub}; img-src 'self' data:{hub};"
    " font-src 'self'{hub}; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The data: is for the pictures in Bootstrap's style sheet."""


class Pages:
    """Writes pages. Everything is read from files when it is made, nothing later. A template is compiled when it is
    first asked for: all of them, in all languages, are a fifth of the time that the service takes to start."""

    def __init__(self, *, prefix: str, hub_url: str, time_zone: str, refresh_s: float) -> None:
        self._prefix = prefix
        self._hub_url = hub_url
        self._zone = ZoneInfo(time_zone)
        self._refresh_s = refresh_s
        self._version = _version()
        origin = "/".join(hub_url.split("/")[:3]) if "://" in hub_url else ""
        self._policy = CONTENT_SECURITY_POLICY.format(hub=f" {origin}" if origin else "")
        sources = {path.name: path.read_text(encoding="utf-8") for path in (HERE / "templates").iterdir()}
        self._environments = {
            language: _environment(sources, catalogue) for language, catalogue in words.load().items()
        }

    def language(self, request: Request) -> str:
        """The reader's."""
        return words.choose(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language", ""))

    def answer(self, request: Request, name: str, status: int = 200, **context: Any) -> Response:
        """The page `name`."""
        language = self.language(request)
        text = (
            self._environments[language]
            .get_template(name)
            .render(
                prefix=self._prefix,
                hub_url=self._hub_url,
                static=f"{self._prefix}static/{self._version}/",
                language=language,
                languages=words.LANGUAGES,
                path=request.url.path.removeprefix(self._prefix),
                query=request.url.query,
                refresh_s=self._refresh_s,
                time_zone=self._zone.key,
                f=words.Formats(language, self._zone),
                **context,
            )
        )
        return HTMLResponse(
            text,
            status,
            {
                "Content-Security-Policy": self._policy,
                "Content-Language": language,
                "Cache-Control": "no-store",
                "Vary": "Cookie, Accept-Language",
                "Referrer-Policy": "same-origin",
                "X-Content-Type-Options": "nosniff",
                "X-Frame-Options": "DENY",
                "Cross-Origin-Opener-Policy": "noopener-allow-popups",
            },
        )


def _environment(sources: dict[str, str], catalogue: Any) -> Environment:
    environment = Environment(
        loader=DictLoader(sources),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(catalogue, newstyle=True)  # type: ignore[attr-defined]  # the extension's
    environment.globals.update(nanos=nanos, dollars=dollars, NANOS=NANOS)
    return environment


def _version() -> str:
    """Changes with any file, so that browsers may keep each for good."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
