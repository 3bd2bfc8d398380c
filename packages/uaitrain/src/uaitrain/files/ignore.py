"""Which paths stay out of the image: gitignore's pattern language (gitignore(5)).

Supported: comments, ``!`` to take back, ``/`` at the start or inside to anchor, ``/`` at the end
for folders only, ``*``, ``?``, ``[...]``, ``**`` and backslash escapes. The last match decides;
what lies in an ignored folder stays out, as in git.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property

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
    "/uaitrain.lock",
    "/uaitrain.packages.lock",
    "uaitrain_cmd.txt",
    "uaitrain.log",
    "/uaitrain_images/",
)
"""Version control, caches, keys and our own files: never wanted in an image."""


@dataclass(frozen=True)
class _Rule:
    """One line: what it matches, and whether it takes back instead of leaving out."""

    glob: str
    keep: bool
    folders_only: bool

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Made when a path comes near it: to compile all takes longer than a small walk."""
        try:
            return re.compile(_translate(self.glob) + r"\Z", re.DOTALL)
        except re.error:
            return re.compile(re.escape(self.glob.strip("/")) + r"\Z")


def _translate(glob: str) -> str:
    """A regular expression for one gitignore glob over a ``/``-separated path."""
    anchored = "/" in glob.rstrip("/")
    glob = glob.strip("/") if glob.startswith("/") else glob.rstrip("/")
    out = "" if anchored else "(?:.*/)?"
    segment: list[str] = [""]
    i = 0
    while i < len(glob):
        char = glob[i]
        if glob.startswith("**/", i) and (i == 0 or glob[i - 1] == "/"):
            out, segment = out + _starred(segment) + "(?:.*/)?", [""]
            i += 3
            continue
        if glob[i:] == "**" and i > 0 and glob[i - 1] == "/":
            segment[-1] += ".+"
            break
        if char == "*":
            segment.append("")
        elif char == "/":
            out, segment = out + _starred(segment) + "/", [""]
        elif char == "?":
            segment[-1] += "[^/]"
        elif char == "[" and "]" in glob[i + 2 :]:
            end = glob.index("]", i + 2)
            # What Python may give a meaning of its own in sets one day, it warns of today.
            inside = re.sub(r"[\\\[&~|]", r"\\\g<0>", glob[i + 1 : end]).replace("--", r"-\-")
            if inside.startswith("!"):
                inside = "^" + inside[1:]
            segment[-1] += f"(?!/)[{inside}]"
            i = end
        elif char == "\\" and i + 1 < len(glob):
            i += 1
            segment[-1] += re.escape(glob[i])
        else:
            segment[-1] += re.escape(char)
        i += 1
    return out + _starred(segment)


def _starred(parts: Sequence[str]) -> str:
    """One name of a path: expressions with a star between each and the next.

    What stands between two stars is looked for once, at its first place: if the rest does not fit
    behind that, it fits behind no later one. So a name is read once, not once for each star.
    """
    first, *others = parts
    if not others:
        return first
    return first + "".join(f"(?>[^/]*?{part})" for part in others[:-1]) + "[^/]*" + others[-1]


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
    return _Rule(text, keep, text.endswith("/"))


class IgnoreRules:
    """Parsed patterns; any text is accepted, as git accepts it."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._rules = tuple(rule for line in patterns if (rule := _parse(line)))
        # Most paths match no rule at all, and most rules are a name, its end or its beginning:
        # those are told by three look-ups, ten times as fast as by one expression for all.
        plain = [(rule, _plain(rule.glob)) for rule in self._rules]
        self._names = frozenset(text for _, (shape, text) in plain if shape == _NAME)
        self._paths = frozenset(text for _, (shape, text) in plain if shape == _PATH)
        self._ends = tuple(text for _, (shape, text) in plain if shape == _END)
        self._starts = tuple(text for _, (shape, text) in plain if shape == _START)
        others = [rule.pattern.pattern for rule, (shape, _) in plain if not shape]
        self._any = re.compile("|".join(f"(?:{text})" for text in others), re.DOTALL)
        self._has_others = bool(others)

    def ignores(self, path: str, name: str, item: os.DirEntry[str]) -> bool:
        """Whether ``path`` (relative, with ``/``; ``name`` is its last part) itself is matched;
        parents are the caller's. ``item`` is asked whether it is a folder, where that counts."""
        if not (
            name in self._names
            or path in self._paths
            or name.endswith(self._ends)
            or name.startswith(self._starts)
            or (self._has_others and self._any.match(path))
        ):
            return False
        for rule in reversed(self._rules):
            if rule.pattern.match(path) and (
                not rule.folders_only or item.is_dir(follow_symlinks=False)
            ):
                return not rule.keep
        return False


_NAME, _PATH, _END, _START = "name", "path", "end", "start"
_MAGIC = frozenset("*?[\\")


def _plain(glob: str) -> tuple[str, str]:
    """The shape of a glob that needs no expression, and its text; else two empty texts."""
    text = glob.rstrip("/")
    if _MAGIC.isdisjoint(text):
        return (_PATH, text.strip("/")) if "/" in text else (_NAME, text)
    if "/" not in text and text[:1] == "*" and _MAGIC.isdisjoint(text[1:]):
        return _END, text[1:]
    if "/" not in text and text[-1:] == "*" and _MAGIC.isdisjoint(text[:-1]):
        return _START, text[:-1]
    return "", ""
