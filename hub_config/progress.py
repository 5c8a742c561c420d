"""What a cluster's events say to the person who waits for a workspace."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple


class Step(NamedTuple):
    """How far a start has come, in percent, and a sentence about it."""

    progress: int
    message: str


NO_ROOM = Step(10, "No machine of the cluster has room for your workspace right now. It starts as soon as one has.")
NO_VOLUME = Step(10, "The volume for your home folder is being made.")
NO_IMAGE = Step(
    45,
    "The image of workspaces cannot be fetched. The cluster tries again; if this stays, tell the hub's administrator.",
)
NO_START = Step(75, "Your workspace ended as soon as it had started, and is started again.")

STEPS: Mapping[str, Step] = {
    "TriggeredScaleUp": Step(
        15, "The cluster starts another machine, because none has room. That takes a minute or two."
    ),
    "NotTriggerScaleUp": NO_ROOM,
    "Scheduled": Step(30, "There is a machine for your workspace."),
    "FailedAttachVolume": Step(30, "Another machine still has your home folder, and lets go of it soon."),
    "FailedMount": Step(30, "Your home folder is not ready yet. The cluster tries again."),
    "SuccessfulAttachVolume": Step(40, "Your home folder is there."),
    "Pulling": Step(
        45, "This machine has not had the image of workspaces yet, and fetches it. That takes a minute or so."
    ),
    "ErrImageNeverPull": NO_IMAGE,
    "InspectFailed": NO_IMAGE,
    "Pulled": Step(70, "The image of workspaces is there."),
    "Created": Step(75, "Your workspace has been made."),
    "Started": Step(80, "Your workspace runs. JupyterLab is starting in it."),
}
"""By the reasons that the scheduler, the kubelet, the volumes' controller and the cluster autoscaler give."""

_UNBOUND = re.compile(r"unbound|persistentvolumeclaim \S+ not found|being provisioned", re.IGNORECASE)
_IMAGE = re.compile(r"image|pull", re.IGNORECASE)


def step_of(event: Mapping[str, Any]) -> Step:
    """What an event of a workspace's pod (`v1.Event`, as the API has it) says. What went wrong has the cluster's own
    words with it; so has what is not known here."""
    reason, said = str(event.get("reason") or ""), str(event.get("message") or "")
    if reason == "FailedScheduling":
        step = NO_VOLUME if _UNBOUND.search(said) else NO_ROOM
    elif reason in ("Failed", "BackOff"):
        step = NO_IMAGE if _IMAGE.search(said) else NO_START
    else:
        step = STEPS.get(reason, Step(0, ""))
    if not step.message:
        return Step(0, said)
    return Step(step.progress, f"{step.message} ({said})") if event.get("type") == "Warning" and said else step
