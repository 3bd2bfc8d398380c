"""Where this machine finds Python packages, for uv: pip's own configuration, said in uv's words.

It goes to uv by environment variables, never by arguments, which everybody can read.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from uaitrain.bases.wheels import pip_program
from uaitrain.paths import cache_dir

_LINE = re.compile(r"(?P<section>[^.=]+|:env:)\.(?P<key>[a-z-]+)=(?P<value>.*)")
_SECTIONS = ("global", "install", "download", ":env:")
"""Later ones win, as in pip."""

_SAME = {
    "index-url": "UV_DEFAULT_INDEX",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
}
_LISTS = {
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
}
_OWN = {
    "UV_NO_CONFIG": "1",
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_NO_PROGRESS": "1",
    # As pip does: the best version of all indexes, not of the first one that has the package.
    "UV_INDEX_STRATEGY": "unsafe-best-match",
}


def pip_settings() -> Mapping[str, str]:
    """What pip is configured with, by the long names of its options."""
    done = subprocess.run(
        [*pip_program(), "config", "list"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in done.stdout.splitlines():
        match = _LINE.fullmatch(line)
        if match and match["section"] in found:
            try:
                value = ast.literal_eval(match["value"])
            except (ValueError, SyntaxError):
                continue
            found[match["section"]][match["key"]] = str(value)
    return {key: value for section in _SECTIONS for key, value in found[section].items()}


def for_uv(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that tell uv the same."""
    told = dict(_OWN)
    for key, name in _SAME.items():
        if settings.get(key):
            told[name] = settings[key]
    for key, (name, between) in _LISTS.items():
        if words := settings.get(key, "").split():
            told[name] = between.join(words)
    if settings.get("no-index", "").lower() in ("1", "true", "yes"):
        told["UV_NO_INDEX"] = "1"
    return told


def environment() -> dict[str, str]:
    """The whole environment for uv on this machine."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
    return {
        **inherited,
        **for_uv(pip_settings()),
        "UV_CACHE_DIR": str(cache_dir() / "packages" / "uv"),
    }


def local_paths(told: Mapping[str, str]) -> list[Path]:
    """The files and folders of this machine that the variables name: a container needs them too."""
    words = [told.get("SSL_CERT_FILE", ""), told.get("UV_DEFAULT_INDEX", "")]
    words += told.get("UV_INDEX", "").split() + told.get("UV_FIND_LINKS", "").split(",")
    found = []
    for word in words:
        path = unquote(urlsplit(word).path) if word.startswith("file:") else word
        if path.startswith("/") and Path(path).exists():
            # An index's pages name files beside its own folder.
            found.append(Path(path).parent if word.startswith("file:") else Path(path))
    return list(dict.fromkeys(found))
