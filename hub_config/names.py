"""What a person may be called."""

from __future__ import annotations

import re

USERNAME_PATTERN = r"[a-z0-9][a-z0-9._@-]{0,63}\Z"
"""Names that are also safe as the name of a folder. A name comes from a stranger's sign-in form."""


def is_username(name: str) -> bool:
    return re.match(USERNAME_PATTERN, name) is not None
