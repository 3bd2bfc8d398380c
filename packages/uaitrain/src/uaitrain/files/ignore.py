"""Which paths stay out of the image: gitignore's pattern language (gitignore(5)).

Supported: comments, ``!`` to take back, ``/`` at the start or inside to anchor, ``/`` at the end
for folders only, ``*``, ``?``, ``[...]``, ``**`` and backslash escapes. The last match decides;
what lies in an ignored folder stays out, as in git.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from uaitrain.values import dataclass

DEFAULT_PATTERNS = (
    ".git",
    ".hg/",
    ".svn/",
    "__pycache__/",
    "*.pyc",
    ".ipynb_checkpoints/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".venv/",
    ".DS_Store",
    ".env",
    ".env.*",
    "*.pem",
    "*.key",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    ".netrc",
    ".ssh/",
    ".aws/",
    ".docker/",
    ".uaitrainignore",
    "/uaitrain.toml",
    "uaitrain_cmd.txt",
    "uaitrain.log",
    "/uaitrain_images/",
)
"""Version control, caches, keys and our own files: never wanted in an image."""


@dataclass(frozen=True)
class _Rule:
    """One line: what it matches, and whether it takes back instead of leaving out."""

    pattern: re.Pattern[str]
    keep: bool
    folders_only: bool


def _translate(glob: str) -> str:
    """A regular expression for one gitignore glob over a ``/``-separated path."""
    anchored = "/" in glob.rstrip("/")
    glob = glob.strip("/") if glob.startswith("/") else glob.rstrip("/")
    out = "" if anchored else "(?:.*/)?"
    i = 0
    while i < len(glob):
        char = glob[i]
        if glob.startswith("**/", i) and (i == 0 or glob[i - 1] == "/"):
            out += "(?:.*/)?"
            i += 3
            continue
        if glob[i:] == "**" and i > 0 and glob[i - 1] == "/":
            out += ".+"
            break
        if char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[" and "]" in glob[i + 2 :]:
            end = glob.index("]", i + 2)
            inside = glob[i + 1 : end].replace("\\", "\\\\")
            if inside.startswith("!"):
                inside = "^" + inside[1:]
            out += f"(?!/)[{inside}]"
            i = end
        elif char == "\\" and i + 1 < len(glob):
            i += 1
            out += re.escape(glob[i])
        else:
            out += re.escape(char)
        i += 1
    return out


def _parse(line: str) -> _Rule | None:
    text = line.rstrip("\r\n")
    while text.endswith(" ") and not text.endswith("\\ "):
        text = text[:-1]
    if not text or text.startswith("#"):
        return None
    keep = text.startswith("!")
    text = text[1:] if keep else text
    if not text.strip("/"):
        return None
    try:
        pattern = re.compile(_translate(text) + r"\Z", re.DOTALL)
    except re.error:
        pattern = re.compile(re.escape(text.strip("/")) + r"\Z")
    return _Rule(pattern, keep, text.endswith("/"))


class IgnoreRules:
    """Parsed patterns; any text is accepted, as git accepts it."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._rules = tuple(rule for line in patterns if (rule := _parse(line)))
        # One combined expression answers for the many paths that no rule matches at all.
        self._any = re.compile(
            "|".join(f"(?:{rule.pattern.pattern})" for rule in self._rules) or r"(?!)", re.DOTALL
        )

    def ignores(self, path: str, is_folder: bool) -> bool:
        """Whether ``path`` (relative, with ``/``) itself is matched; parents are the caller's."""
        if not self._any.match(path):
            return False
        for rule in reversed(self._rules):
            if (is_folder or not rule.folders_only) and rule.pattern.match(path):
                return not rule.keep
        return False
