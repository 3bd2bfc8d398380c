"""How this run reaches registries: one connection a host, made when it is first needed."""

from __future__ import annotations

import threading
from pathlib import Path

from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from uaitrain.registry.client import Registry
    from uaitrain.registry.credentials import Credentials


@dataclass(frozen=True)
class Access:
    """``credentials`` are what the user gave for ``target_host``; no other host gets them."""

    target_host: str = ""
    credentials: Credentials | None = None
    insecure: frozenset[str] = frozenset()
    ca_file: Path | None = None


class Registries:
    """Connections by host; the same host is asked for credentials and tokens once."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._open: dict[str, Registry] = {}
        self._lock = threading.Lock()

    def connect(self, host: str, repository: str = "") -> Registry:
        """Nothing is sent and no login looked for before the connection is used."""
        from uaitrain import registry

        access = self._access
        is_target = host == access.target_host
        with self._lock:
            if host not in self._open:
                self._open[host] = registry.connect(
                    host,
                    credentials=access.credentials if is_target else None,
                    target=is_target,
                    repository=repository,
                    insecure=access.insecure,
                    ca_file=access.ca_file,
                )
            return self._open[host]
