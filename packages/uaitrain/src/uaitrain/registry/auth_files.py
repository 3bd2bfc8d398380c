"""Logins that other tools left: Docker's ``config.json`` and Podman's ``auth.json``.

Formats: docker/cli, "Configuration files"; docker-credential-helpers; containers-auth.json(5).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from uaitrain.errors import CredentialsError, UsageError
from uaitrain.oci.reference import DOCKER_HUB
from uaitrain.registry.credentials import Credentials
from uaitrain.secret import Secret

_HUB_NAMES = (DOCKER_HUB, "index.docker.io", "registry-1.docker.io")
_HUB_KEY = "https://index.docker.io/v1/"
_API_PATHS = ("v1", "v2")
_HELPER_SECONDS = 60
_TOKEN_USER = "<token>"  # noqa: S105 what a helper says instead of a user name


def find(host: str, repository: str = "") -> Credentials | None:
    """The login for ``host`` (for ``repository`` there, where a file tells them apart).

    Raises UsageError for a file that is broken, CredentialsError for a helper that fails.
    """
    for path in _candidates():
        entries = _read(path)
        found = entries and _in_file(entries, path, host, repository)
        if found:
            return found
    return None


def helpers() -> tuple[tuple[str, Path], ...]:
    """The credential helpers that the files name, each with its file.

    Raises UsageError for a file that is broken.
    """
    named: dict[tuple[str, Path], None] = {}
    for path in _candidates():
        entries = _read(path) or {}
        store = [entries["credsStore"]] if entries.get("credsStore") else []
        for helper in (*store, *_section(entries, "credHelpers", path).values()):
            named[str(helper), path] = None
    return tuple(named)


def _candidates() -> Iterator[Path]:
    environment = os.environ
    docker = environment.get("DOCKER_CONFIG")
    yield (Path(docker) if docker else Path.home() / ".docker") / "config.json"
    if named := environment.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
        return
    runtime = environment.get("XDG_RUNTIME_DIR")
    yield (
        Path(runtime) / "containers" if runtime else Path(f"/run/containers/{os.getuid()}")
    ) / "auth.json"
    config = environment.get("XDG_CONFIG_HOME")
    yield (Path(config) if config else Path.home() / ".config") / "containers" / "auth.json"


def _broken(path: Path, what: str) -> UsageError:
    return UsageError(
        f"{path}: {what}",
        allowed="a file as docker login or podman login writes it",
        next_step="mend the file, or move it away and log in again",
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _broken(path, f"cannot be read: {error.strerror}") from None
    if not text.strip():
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise _broken(path, f"is not JSON{where}") from None
    if not isinstance(value, dict):
        raise _broken(path, "is not a JSON object")
    return value


def _section(entries: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    value = entries.get(name) or {}
    if not isinstance(value, dict):
        raise _broken(path, f"{name!r} is not a JSON object")
    return value


def _in_file(entries: dict[str, Any], path: Path, host: str, repository: str) -> Credentials | None:
    helpers = _section(entries, "credHelpers", path)
    for key in _HUB_NAMES if host in _HUB_NAMES else (host,):
        if key in helpers:
            return _ask_helper(str(helpers[key]), host, path)
    if store := entries.get("credsStore"):
        found = _ask_helper(str(store), host, path)
        if found:
            return found
    logins = _section(entries, "auths", path)
    best = max(logins, key=lambda key: _fit(key, host, repository), default="")
    if not best or _fit(best, host, repository) < 0:
        return None
    return _login(logins[best], best, path)


def _fit(key: str, host: str, repository: str) -> int:
    """How well a key of ``auths`` names the repository: the length of what agrees, -1 if not."""
    key_host, _, key_path = re.sub(r"\Ahttps?://", "", key).partition("/")
    if key_host != host and not (host in _HUB_NAMES and key_host in _HUB_NAMES):
        return -1
    prefix = key_path.strip("/")
    if not prefix or prefix in _API_PATHS:
        return 0
    return len(prefix) if f"{repository}/".startswith(f"{prefix}/") else -1


def _login(entry: object, key: str, path: Path) -> Credentials | None:
    if not isinstance(entry, dict):
        raise _broken(path, f"the entry for {key} is not a JSON object")
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if auth := entry.get("auth"):
        try:
            pair = base64.b64decode(str(auth), validate=True).decode()
        except (binascii.Error, ValueError):
            raise _broken(path, f"the entry for {key} has an unreadable 'auth'") from None
        username, colon, password = pair.rstrip("\0").partition(":")
        if not colon:
            raise _broken(path, f"the entry for {key} has an 'auth' without a colon")
    token = entry.get("identitytoken")
    if not username and not token:
        # Docker leaves such an entry for logins that its helper keeps.
        return None
    return Credentials(username, Secret(password), Secret(str(token)) if token else None, str(path))


def _ask_helper(name: str, host: str, path: Path) -> Credentials | None:
    """Run ``docker-credential-<name> get``; the secret comes back on a pipe."""
    program = f"docker-credential-{name}"
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise _broken(path, f"names a credential helper {name[:100]!r}")
    question = _HUB_KEY if host in _HUB_NAMES else host
    advice = "mend the helper, or give the password by --password-stdin"
    try:
        done = subprocess.run(
            [program, "get"],
            input=question.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise CredentialsError(
            f"{path} names the credential helper {program}, which is not installed",
            next_step=f"install {program}, or give the password by --password-stdin",
        ) from None
    except (OSError, subprocess.TimeoutExpired):
        raise CredentialsError(
            f"the credential helper {program} does not run or does not end", next_step=advice
        ) from None
    if done.returncode != 0:
        if b"not found" in done.stdout + done.stderr:
            return None
        raise CredentialsError(
            f"the credential helper {program} failed with status {done.returncode} for {host}",
            next_step=advice,
        )
    try:
        answer = json.loads(done.stdout)
        username, secret = str(answer["Username"]), Secret(str(answer["Secret"]))
    except (ValueError, KeyError, TypeError):
        raise CredentialsError(
            f"the credential helper {program} gave no user name and secret for {host}",
            next_step=advice,
        ) from None
    if username == _TOKEN_USER:
        return Credentials("", Secret(""), secret, program)
    return Credentials(username, secret, None, program)
