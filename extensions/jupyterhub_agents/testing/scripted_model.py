"""`ScriptedModel`: a local server that speaks the Messages API and answers from a script, so that the real
Claude Code CLI, or any other client of that API, runs without a network.

    with ScriptedModel({"list the files": [use("Bash", {"command": "ls"}), say("Two files.")]}) as model:
        subprocess.run([claude, "-p", "please list the files"], env=os.environ | model.env())
        assert model.messages[0].prompt == "please list the files"

A script is one of

- a mapping: the first of its keys that the latest prompt contains gives the replies;
- a list of replies, for every prompt;
- a callable that takes a `Request` and gives one reply, or a list as above.

Which reply of a list is due follows from the request alone: it is the number of assistant messages since the
latest prompt. So one model serves any number of runs at once, retries, resumed and compacted sessions, and
subagents, whose prompt is what the Agent tool was given. Past the end of a script the model says a closing
sentence, so a run always ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .conversation import Request
from .model_server import ModelServer
from .replies import Entry, Obstacle, Reply, fail, say, silent, think, use

__all__ = [
    "CLOSING",
    "Entry",
    "Reply",
    "Request",
    "Script",
    "ScriptedModel",
    "fail",
    "say",
    "silent",
    "think",
    "use",
]

Replies = Sequence[Entry] | Entry
Answer = Callable[[Request], Replies]
Script = Mapping[str, Replies | Answer] | Replies | Answer

CLOSING = "The script has nothing more to say."
"""What the model says past the end of its script."""


class ScriptedModel(ModelServer):
    """Answers from `script`; the rest is as `ModelServer` says."""

    def __init__(
        self, script: Script = (), *, host: str = "127.0.0.1", port: int = 0, api_key: str | None = None
    ) -> None:
        super().__init__(host=host, port=port, api_key=api_key)
        self.script = script

    def play(self, request: Request) -> Entry:
        """What the script has for `request` now."""
        found = self.script
        step = request.step
        if isinstance(found, Mapping):
            found = next((found[key] for key in found if key in request.prompt), ())
        if callable(found):
            found = found(request)
            if isinstance(found, Reply | Obstacle):
                step = 0
        entries = [found] if isinstance(found, Reply | Obstacle) else list(found)
        for number, entry in enumerate(_due(entries, step)):
            if isinstance(entry, Reply):
                return entry
            if entry.count is None or self.attempt(request, number) <= entry.count:
                return entry
        return say(CLOSING)


def _due(entries: Sequence[Entry], step: int) -> Sequence[Entry]:
    """The entries from the end of reply number `step` - 1 up to reply number `step`."""
    ends = [index + 1 for index, entry in enumerate(entries) if isinstance(entry, Reply)]
    if step > len(ends):
        return ()
    return entries[ends[step - 1] if step else 0 : ends[step] if step < len(ends) else None]
