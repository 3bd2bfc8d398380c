"""A run's id: one for its whole life, over restarts, machines and attempts."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

MAX_LENGTH = 52
"""Kubernetes' limit for the name of a Job whose pods get an index appended."""

RUN_ID = re.compile(r"[a-z](?:[a-z0-9-]{0,50}[a-z0-9])?\Z")
_RANDOM_BYTES = 3


def new_run_id(image_name: str, when: float) -> str:
    """``mnist-20261124-191500-3f2a1c``: the image's name, ``when`` (Unix seconds) in UTC, and
    something random. What no cluster takes in a name becomes a dash."""
    time = datetime.fromtimestamp(when, UTC).strftime("%Y%m%d-%H%M%S")
    end = f"-{time}-{secrets.token_hex(_RANDOM_BYTES)}"
    name = re.sub(r"[^a-z0-9]+", "-", image_name.rpartition("/")[2].lower()).strip("-")
    if not name or not name[0].isalpha():
        name = f"run-{name}".rstrip("-")
    return name[: MAX_LENGTH - len(end)].rstrip("-") + end
