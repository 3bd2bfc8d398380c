"""Registries: pull an image as a value, push one. ``connect`` is the way in."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from uaitrain.registry.client import Registry
    from uaitrain.registry.credentials import Credentials


def connect(
    host: str,
    *,
    credentials: Credentials | None = None,
    target: bool = False,
    repository: str = "",
    insecure: Iterable[str] = (),
    ca_file: Path | None = None,
) -> Registry:
    """A client for ``host``; nothing is sent and no login is looked for before it is needed.

    ``target``: this is where the user pushes to, so the environment's login is meant for it
    (see ``credentials.find_credentials``). ``repository`` chooses among Podman's logins.
    ``insecure`` names hosts that plain HTTP may be spoken to, ``ca_file`` a private authority.
    """
    from uaitrain.paths import cache_dir
    from uaitrain.registry.auth import Authorizer
    from uaitrain.registry.client import Registry, api_host
    from uaitrain.registry.credentials import find_credentials
    from uaitrain.registry.transport import Transport

    transport = Transport(insecure=insecure, ca_file=ca_file)
    uploads = cache_dir() / "uploads"
    lookup = partial(find_credentials, host, credentials, repository=repository, target=target)
    return Registry(host, transport, Authorizer(transport, api_host(host), host, lookup), uploads)
