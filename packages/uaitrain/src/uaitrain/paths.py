"""Where uaitrain keeps things on this machine (XDG base directories)."""

from __future__ import annotations

import os
from pathlib import Path


def _folder(own: str, xdg: str, fallback: str) -> Path:
    if os.environ.get(own):
        return Path(os.environ[own]).absolute()
    parent = os.environ.get(xdg)
    return (Path(parent) if parent else Path.home() / fallback).absolute() / "uaitrain"


def cache_dir() -> Path:
    """Things that can be made again: base images, known layers."""
    return _folder("UAITRAIN_CACHE", "XDG_CACHE_HOME", ".cache")


def state_dir() -> Path:
    """What would be missed: the list of runs, ``runs.sqlite``."""
    return _folder("UAITRAIN_STATE", "XDG_STATE_HOME", ".local/state")


def config_dir() -> Path:
    """The user's own settings: ``catalogue.toml``."""
    return _folder("UAITRAIN_CONFIG", "XDG_CONFIG_HOME", ".config")
