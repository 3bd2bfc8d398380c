"""Docker and Podman on this machine: finding the one to use, and asking it for things."""

from __future__ import annotations

from uaitrain.engines.engine import Engine
from uaitrain.engines.find import find_engine, require_engine

__all__ = ["Engine", "find_engine", "require_engine"]
