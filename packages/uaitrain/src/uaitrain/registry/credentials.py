"""Where user names and passwords come from, in this order: what the user gave, the environment,
Docker's ``config.json`` with its credential helpers, Podman's ``auth.json``.
"""

from __future__ import annotations

import os

from uaitrain.errors import UsageError
from uaitrain.secret import Secret
from uaitrain.values import dataclass

USERNAME = "UAITRAIN_REGISTRY_USERNAME"
PASSWORD = "UAITRAIN_REGISTRY_PASSWORD"  # noqa: S105 the name of a variable
HOST = "UAITRAIN_REGISTRY_HOST"


@dataclass(frozen=True)
class Credentials:
    """A login. ``identity_token`` replaces the password at token servers; ``origin`` is said in
    messages: the file, the variable or the flag that it came from.
    """

    username: str
    password: Secret = Secret("")
    identity_token: Secret | None = None
    origin: str = "the command line"


def find_credentials(
    host: str,
    explicit: Credentials | None = None,
    *,
    repository: str = "",
    target: bool = False,
) -> Credentials | None:
    """The first login known for ``host``, or None.

    The environment's login is for the host that UAITRAIN_REGISTRY_HOST names; where that is
    unset, only for the registry that the user pushes to (``target``), so that a base image's
    registry never gets it. Raises UsageError for a broken file, CredentialsError for a failed
    helper.
    """
    if explicit is not None:
        return explicit
    if own := _from_environment(host, target):
        return own
    from uaitrain.registry import auth_files

    return auth_files.find(host, repository)


def _from_environment(host: str, target: bool) -> Credentials | None:
    username, password = os.environ.get(USERNAME, ""), os.environ.get(PASSWORD, "")
    if not username and not password:
        return None
    meant = os.environ.get(HOST)
    if meant != host if meant else not target:
        return None
    if not (username and password):
        given, missing = (USERNAME, PASSWORD) if username else (PASSWORD, USERNAME)
        raise UsageError(
            f"the environment has {given} but not {missing}",
            allowed="both or neither",
            next_step=f"set {missing}, or unset {given}",
        )
    return Credentials(username, Secret(password), origin="the environment")
