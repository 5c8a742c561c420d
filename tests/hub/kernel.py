"""A kernel in a workspace, spoken to over the WebSocket that JupyterLab uses."""

from __future__ import annotations

import json
import time
import uuid
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import connect

from tests.hub.people import Person


class Kernel:
    """A new kernel of `person`'s workspace. Closing it leaves the kernel running."""

    def __init__(self, person: Person) -> None:
        answer = person.workspace.post("api/kernels", json={})
        assert answer.status_code == 201, answer.text
        self.session = uuid.uuid4().hex
        self.id = answer.json()["id"]
        address = person.base_url.replace("http://", "ws://", 1)
        self._connecting = connect(
            f"{address}api/kernels/{self.id}/channels?session_id={self.session}",
            additional_headers={"Authorization": f"token {person.token}"},
            proxy=None,
            open_timeout=60,
            ping_timeout=None,  # a busy workspace may say nothing for long
        )

    def __enter__(self) -> Self:
        self.channels = self._connecting.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connecting.__exit__(kind, error, trace)

    def begin(self, code: str) -> str:
        """Send `code` to be executed, and do not wait. Returns the message's id."""
        message_id = uuid.uuid4().hex
        header = {
            "msg_id": message_id, "msg_type": "execute_request", "session": self.session,
            "username": "", "version": "5.3", "date": "",
        }  # fmt: skip
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        self.channels.send(
            json.dumps(
                {
                    "header": header, "parent_header": {}, "metadata": {}, "content": content,
                    "channel": "shell", "buffers": [],
                }
            )
        )  # fmt: skip
        return message_id

    def execute(self, code: str, *, within: float = 60) -> str:
        """Execute `code` to its end. Returns what it printed; fails when it raised."""
        message_id = self.begin(code)
        printed = ""
        deadline = time.monotonic() + within
        while True:
            message: dict[str, Any] = json.loads(self.channels.recv(timeout=deadline - time.monotonic()))
            if message["parent_header"].get("msg_id") != message_id:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    printed += content["text"]
                case "error":
                    raise AssertionError("\n".join(content["traceback"]))
                case "status" if content["execution_state"] == "idle":
                    return printed
