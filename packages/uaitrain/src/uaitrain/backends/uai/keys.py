"""The account's keys: from the environment, else from the file of the vendor's command line.

``~/.ucloud/credential.json`` is a list of ``{"profile", "public_key", "private_key"}``, and
``config.json`` beside it says which profile is active
(github.com/ucloud/ucloud-cli, ``base/config.go``).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from uaitrain.errors import CredentialsError
from uaitrain.secret import Secret
from uaitrain.values import dataclass

PUBLIC_VARIABLE = "UCLOUD_PUBLIC_KEY"
PRIVATE_VARIABLE = "UCLOUD_PRIVATE_KEY"
DEFAULT_PROFILE = "default"

_WHERE = (
    f"{PUBLIC_VARIABLE} and {PRIVATE_VARIABLE} in the environment, "
    "or ~/.ucloud/credential.json as `ucloud init` writes it"
)


@dataclass(frozen=True)
class Keys:
    public: str
    private: Secret


def load_keys(profile: str = "") -> Keys:
    """The environment wins unless a ``profile`` is asked for. Raises CredentialsError."""
    public, private = os.environ.get(PUBLIC_VARIABLE, ""), os.environ.get(PRIVATE_VARIABLE, "")
    if not profile and (public or private):
        if not (public and private):
            missing = PRIVATE_VARIABLE if public else PUBLIC_VARIABLE
            raise CredentialsError(f"{missing} is not set, the other key is", allowed=_WHERE)
        return Keys(public, Secret(private))
    return _from_file(Path.home() / ".ucloud", profile)


def _from_file(folder: Path, profile: str) -> Keys:
    path = folder / "credential.json"
    wanted = profile or _active_profile(folder)
    for entry in _entries(path):
        if entry.get("profile") == wanted:
            public, private = entry.get("public_key"), entry.get("private_key")
            if isinstance(public, str) and isinstance(private, str) and public and private:
                return Keys(public, Secret(private))
    if not path.exists() and not profile:
        raise CredentialsError("no keys of a UCloud account", allowed=_WHERE)
    raise CredentialsError(
        f"{path}: no keys of the profile {wanted!r}",
        allowed=_WHERE,
        next_step="`ucloud config list` shows the profiles",
    )


def _active_profile(folder: Path) -> str:
    for entry in _entries(folder / "config.json"):
        if entry.get("active") is True:
            return str(entry.get("profile") or DEFAULT_PROFILE)
    return DEFAULT_PROFILE


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        # A ValueError of json's may quote what it read.
        reason = error.strerror if isinstance(error, OSError) else "not JSON"
        raise CredentialsError(f"cannot read {path}: {reason}", allowed=_WHERE) from None
    return (
        [entry for entry in document if isinstance(entry, dict)]
        if isinstance(document, list)
        else []
    )
