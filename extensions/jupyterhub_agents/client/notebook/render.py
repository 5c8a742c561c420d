"""Parts of a run as HTML and as plain text.

All text is somebody's: the model's, a tool's, a person's. It is escaped, and Markdown is made HTML by markdown-it-py
with raw HTML off. Pictures become links, because a notebook would load them from wherever the text says. Text has the
page's own colour, so that light and dark themes both work; only signs and edges have others.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ...models import Run, RunStatus
from ..transcript import MARKS, clean, one_line
from .story import CallPart, Notice, Part, Story, Words

SIGNS = {"works": "○", "waits": "?", "done": "●", "failed": "✗", "denied": "✗"}
COLOURS = {"works": "#8a8a8a", "waits": "#c77700", "done": "#2e9e4f", "failed": "#d9483b", "denied": "#d9483b"}
STATUS_COLOURS = {
    RunStatus.WAITING: COLOURS["waits"],
    RunStatus.SUCCEEDED: COLOURS["done"],
    RunStatus.FAILED: COLOURS["failed"],
    RunStatus.CANCELLED: COLOURS["failed"],
    RunStatus.INTERRUPTED: COLOURS["failed"],
}
_PRE = (
    "margin:4px 0 4px 18px;padding:6px 8px;max-height:24em;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere;"
    "border-left:2px solid rgba(127,127,127,.35);background:rgba(127,127,127,.08);color:inherit;font-size:90%"
)
_FAILED = f"padding-left:8px;border-left:3px solid {COLOURS['failed']}"
_MONO = "font-family:var(--jp-code-font-family,monospace);font-size:90%;overflow-wrap:anywhere"


def bundle(html: str, plain: str) -> dict[str, str]:
    """What is shown, for frontends that show HTML and for those that do not."""
    return {"text/html": html, "text/plain": plain}


def part_html(part: Part) -> str:
    """One part of a run."""
    if isinstance(part, Notice):
        return f'<div role="note" style="opacity:.75">{MARKS["notice"]} {escape(part.text)}</div>'
    if isinstance(part, Words):
        if part.kind == "text":
            return f'<div class="jp-RenderedMarkdown">{markdown(part.text)}</div>'
        summary = f'<span style="opacity:.7">{"Thought" if part.done else "Thinks…"}</span>'
        return _folded(summary, f'<div style="{_PRE};font-style:italic;opacity:.8">{escape(part.text)}</div>')
    return _call_html(part)


def part_plain(part: Part) -> str:
    if isinstance(part, Notice):
        return f"{MARKS['notice']} {part.text}"
    if isinstance(part, Words):
        return part.text if part.kind == "text" else f"({one_line(part.text)})"
    lines = [f"{'  ' if part.nested else ''}{SIGNS[part.state]} {part.line}"]
    if part.decided:
        lines.append(f"  {part.decided}")
    if part.approval_id:
        lines.append(f"  waits for your consent: %agents allow {part.approval_id}  or  %agents deny {part.approval_id}")
    if part.state == "failed":
        lines.append(f"  {one_line(part.result)}")
    return "\n".join(lines)


def _call_html(part: CallPart) -> str:
    sign = f'<span style="color:{COLOURS[part.state]}" title="{part.state}">{SIGNS[part.state]}</span>'
    note = f' <span style="opacity:.7">{escape(part.decided)}</span>' if part.decided else ""
    name, _, said = part.line.partition(" ")
    summary = f'{sign} <b>{escape(name)}</b> <span style="{_MONO}">{escape(said)}</span>{note}'
    body = f'<pre style="{_PRE}">{escape(part.input)}</pre>'
    if part.result:
        body += f'<pre style="{_PRE}">{escape(part.result)}</pre>'
    html = _folded(summary, body, is_open=part.state == "waits", indent=part.nested)
    if part.approval_id:
        approval = escape(part.approval_id)
        ways = f"<code>%agents allow {approval}</code>, <code>%agents deny {approval}</code>"
        html += (
            f'<div role="status" style="margin-left:18px;padding-left:8px;border-left:3px solid {COLOURS["waits"]}">'
            f"<b>Waits for your consent.</b> Answer below, in the Agents panel, or in another notebook: {ways}</div>"
        )
    if part.state == "failed":
        html += f'<div style="margin-left:18px;{_FAILED}">{escape(one_line(part.result))}</div>'
    return html


def _folded(summary: str, body: str, *, is_open: bool = False, indent: bool = False) -> str:
    style = f"margin:2px 0 2px {18 if indent else 0}px"
    opened = " open" if is_open else ""
    return f'<details style="{style}"{opened}><summary style="cursor:pointer">{summary}</summary>{body}</details>'


def head_html(run: Run, *, now: datetime | None = None) -> str:
    """How a run stands: one line that ticks."""
    colour = STATUS_COLOURS.get(run.status, COLOURS["works"])
    pulse = "" if run.status.is_final else "…"
    facts = "".join(
        f'<span style="opacity:.75;font-variant-numeric:tabular-nums"> · {escape(fact)}</span>'
        for fact in _facts(run, now)
    )
    error = ""
    if run.error is not None:
        error = f'<div role="alert" style="{_FAILED}">{escape(clean(run.error.message))}</div>'
    return (
        f'<div role="status"><span style="color:{colour}">⬤</span> <b>{escape(run.agent_id)}</b> '
        f"{run.status.value}{pulse}{facts}</div>{error}"
    )


def head_plain(run: Run, *, now: datetime | None = None) -> str:
    said = " · ".join([f"[{run.agent_id}: {run.status.value}", *_facts(run, now)]) + "]"
    return f"{said}\n{clean(run.error.message)}" if run.error else said


def _facts(run: Run, now: datetime | None) -> list[str]:
    facts = [f"{run.turns} turn{'s' if run.turns != 1 else ''}"] if run.turns else []
    if run.usage.cost_usd:
        facts.append(f"${run.usage.cost_usd:.4f}")
    end = run.finished_at or (None if run.status.is_final else now or datetime.now(UTC))
    if end is not None:
        facts.append(duration(max((end - (run.started_at or run.created_at)).total_seconds(), 0)))
    return facts


def duration(seconds: float) -> str:
    """12 s, 3 min 05 s, 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def summary(story: Story, run: Run) -> dict[str, str]:
    """A run in a few lines: how it stands, what it does, what it said last."""
    now, words = story.now, run.result if run.result is not None else story.last_words
    html, plain = head_html(run), head_plain(run)
    if now and not run.status.is_final:
        html += f'<div style="{_MONO};opacity:.75">{escape(now)}</div>'
        plain += f"\n{now}"
    if words:
        html += f'<div class="jp-RenderedMarkdown">{markdown(clean(words))}</div>'
        plain += f"\n{clean(words)}"
    html += (
        f'<div style="opacity:.6;font-size:85%">run <code>{escape(run.id)}</code>: {escape(one_line(run.prompt))}</div>'
    )
    return bundle(html, f"{plain}\nrun {run.id}: {one_line(run.prompt)}")


def markdown(text: str) -> str:
    """Markdown as HTML in which nothing runs or is loaded."""
    return str(_parser().render(text))


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")

    def link_open(renderer: object, tokens: list[Token], index: int, options: object, env: object) -> str:
        href = str(tokens[index].attrGet("href") or "")
        if not re.match(r"(?i)https?://|mailto:|#", href):
            href = "#"
        return f'<a href="{escape(href)}" target="_blank" rel="noopener noreferrer nofollow">'

    parser.add_render_rule("link_open", link_open)
    return parser
