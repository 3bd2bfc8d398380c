"""Keys, tokens and passwords that would be pushed with the code. Never prints one."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from uaitrain.files import inventory
from uaitrain.files.inventory import Entry, is_settled
from uaitrain.preflight.finding import Finding
from uaitrain.preflight.look import Look, at
from uaitrain.preflight.rule import note, warning
from uaitrain.preflight.searched import Searched, row
from uaitrain.values import dataclass

FILE = warning(
    "secret-file",
    "a file whose name says that it holds credentials",
    "everybody who may pull the image can read it, also after a later pack removes it",
    "list it under ignore in uaitrain.toml, or move it out of the code folder",
)
TEXT = warning(
    "secret-text",
    "a private key, token or password in a text file",
    "everybody who may pull the image can read it, also after a later pack removes it",
    "read it from the environment or from /data/data, and change it where it was pushed already",
)
LIMIT = note(
    "secret-scan-limited",
    "only a part of the code folder's text was searched for secrets",
    "the search is bounded, so that a pack stays fast",
    "keep data out of the code folder",
)
RULES = (FILE, TEXT, LIMIT)

MOST_FILES = 5_000
MOST_BYTES = 32 << 20
LARGEST_FILE_BYTES = 1 << 20
MOST_FINDINGS = 20
MANY_BYTES = 2 << 20
"""From here on the search is worth a second process."""
BINARY_PROBE_BYTES = 4096

SECRET_NAMES = frozenset(
    (
        "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".netrc", "_netrc", ".pgpass",
        ".git-credentials", ".dockercfg", ".htpasswd", ".pypirc", "service-account.json",
    )
)  # fmt: skip
SECRET_SUFFIXES = (".kdbx", ".p12", ".pfx", ".jks", ".ppk")
SECRET_PATHS = ("/.aws/credentials", "/.docker/config.json", "/.kube/config")
SECRET_PATH_NAMES = frozenset(path.rpartition("/")[2] for path in SECRET_PATHS)
LIKELY_SUFFIXES = (
    ".env", ".ini", ".cfg", ".conf", ".toml", ".yaml", ".yml", ".json", ".properties", ".pem",
    ".key", ".sh", ".py", ".txt",
)  # fmt: skip
"""Searched first, so that the limits cut what matters least."""

NAMES = rb"(?:password|passwd|secret|api_?key|access_?key|private_?key|token)"


@dataclass(frozen=True)
class Kind:
    """What to look for. A pattern takes ten times as long as a search for fixed bytes, so it is
    tried only where one of ``hints`` stands: on their lines, or on all of the text where a match
    may be ``spread`` over several. ``beginning`` is a faster pattern to be found first, for a kind
    whose hint is too short to be one.

    ``folded`` kinds look at the text in lower case: ten times the speed of ``(?i)``.
    """

    name: str
    hints: tuple[tuple[bytes, int], ...]
    """Each with its least common byte: most texts lack it, and one byte is found at once."""
    expression: bytes
    folded: bool = False
    spread: bool = False
    beginning: bytes = b""

    @property
    def pattern(self) -> re.Pattern[bytes]:
        # Compiled where a hint stands, which is seldom; re keeps what it has compiled.
        return re.compile(self.expression)

    def matches(self, text: bytes) -> Iterator[re.Match[bytes]]:
        """Some more than once, where a line has several hints."""
        for hint, seldom in self.hints:
            if seldom not in text or (at := text.find(hint)) < 0:
                continue
            if self.spread or self.beginning:
                if not self.beginning or re.search(self.beginning, text):
                    yield from self.pattern.finditer(text)
                continue
            while at >= 0:
                end = text.find(b"\n", at)
                end = len(text) if end < 0 else end
                yield from self.pattern.finditer(text, text.rfind(b"\n", 0, at) + 1, end)
                at = text.find(hint, end)


_COMMON = b"etaoisnrlcdpumfhbgywv_xk\"':/-SETAIPONRCLDUMFHBGYWVKXzqjZQJ"[::-1]
"""Bytes by how seldom program text has them, the most seldom first."""


def _with_seldom(hints: tuple[bytes, ...]) -> tuple[tuple[bytes, int], ...]:
    return tuple((hint, min(hint, key=_COMMON.find)) for hint in hints)


def _kind(
    name: str, pattern: bytes, *hints: bytes, start: bytes = b"", spread: bool = False
) -> Kind:
    return Kind(name, _with_seldom(hints), pattern, spread=spread, beginning=start)


def _named(pattern: bytes) -> Kind:
    hints = (b"passw", b"secret", b"key", b"token")
    return Kind("a password or key", _with_seldom(hints), pattern, folded=True)


KINDS = (
    _kind(
        "a private key",
        rb"-----BEGIN (?:[A-Z0-9]+ ){0,2}PRIVATE KEY(?: BLOCK)?-----",
        b"PRIVATE KEY",
    ),
    _kind("an AWS access key", rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", b"AKIA", b"ASIA"),
    _kind("a GitHub token", rb"\bgh[pousr]_[A-Za-z0-9]{36}", b"gh", start=rb"gh[pousr]_"),
    _kind("a GitHub token", rb"\bgithub_pat_[A-Za-z0-9_]{60,}", b"github_pat_"),
    _kind("a GitLab token", rb"\bglpat-[A-Za-z0-9_-]{20}", b"glpat-"),
    _kind("a Hugging Face token", rb"\bhf_[A-Za-z0-9]{34}\b", b"hf_"),
    _kind("a Google API key", rb"\bAIza[0-9A-Za-z_-]{35}", b"AIza"),
    _kind("a Slack token", rb"\bxox[abprs]-[0-9A-Za-z-]{20,}", b"xox"),
    _kind("a PyPI token", rb"\bpypi-AgE[A-Za-z0-9_-]{40,}", b"pypi-AgE"),
    _kind(
        "a JSON web token",
        rb"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
        b"eyJ",
    ),
    _kind(
        "a registry login",
        rb"\"auth\"\s*:\s*\"[A-Za-z0-9+/]{12,}={0,2}\"",
        b'"auth"',
        spread=True,
    ),
    _kind(
        "a password in an address",
        rb"://[^\s/:@\"'<>${}]+:[^\s/@\"'<>${}*]{3,}@",
        b"://",
    ),
    _named(NAMES + rb"[\"']?[ \t]*[=:][ \t]*[\"'][^\"'\s<>${}*]{8,200}[\"']"),
)
UNQUOTED = _named(
    rb"(?m)^[ \t]*(?:export[ \t]+)?[a-z0-9_.-]{0,40}"
    + NAMES
    + rb"[ \t]*[=:][ \t]*[^\s\"'<>${}*#(\[]{8,200}[ \t]*\r?$"
)
UNQUOTED_SUFFIXES = (".env", ".ini", ".cfg", ".conf", ".properties", ".yaml", ".yml")
"""Where a value stands without quotes; in program text it would be a variable."""

PLACEHOLDER = (
    rb"(?i)your|example|changeme|change_me|placeholder|xxxx|dummy|os\.environ|getenv|getpass"
)


def check(look: Look) -> Iterator[Finding]:
    root = look.spec.code
    candidates: list[Entry] = []
    for entry in look.entries.values():
        if entry.kind is not inventory.Kind.FILE:
            continue
        if _secret_name(entry.path):
            yield FILE.finding(f"{entry.path} looks like credentials", str(root / entry.path))
        elif 0 < entry.size <= LARGEST_FILE_BYTES:
            candidates.append(entry)
    candidates.sort(key=lambda entry: not entry.path.endswith(LIKELY_SUFFIXES))
    began = time.time_ns()
    table = Searched(look.memory / "searched", root, rules()) if look.memory else None
    known = table.load() if table else frozenset()
    chosen = [(entry, row(entry)) for entry in _within_limits(candidates)]
    unknown = [entry for entry, own in chosen if own not in known]
    found = dict(zip(unknown, _in_files(root, unknown), strict=True))
    all_settled = is_settled(unknown, began)
    told, searched = 0, 0
    clean: set[str] = set()
    for entry, own in chosen:
        if told >= MOST_FINDINGS:
            break
        searched += 1
        if own in known:
            clean.add(own)
            continue
        lines = found[entry]
        for line, kind in lines or ():
            told += 1
            yield TEXT.finding(f"{kind} in {entry.path}", at(root / entry.path, line))
        if lines == [] and (all_settled or is_settled((entry,), began)):
            clean.add(own)
    if table and clean != known:
        table.save(clean)
    if searched < len(candidates):
        what = f"{searched:,} of {len(candidates):,} text-sized files searched for secrets"
        yield LIMIT.finding(what, str(root))


def _within_limits(candidates: list[Entry]) -> list[Entry]:
    chosen: list[Entry] = []
    size = 0
    for entry in candidates[:MOST_FILES]:
        if size > MOST_BYTES:
            break
        size += entry.size
        chosen.append(entry)
    return chosen


def _secret_name(path: str) -> bool:
    name = path[path.rfind("/") + 1 :]
    return (
        name in SECRET_NAMES
        or name.endswith(SECRET_SUFFIXES)
        or (name in SECRET_PATH_NAMES and f"/{path}".endswith(SECRET_PATHS))
    )


def rules() -> str:
    """What is looked for, as a text that changes with it."""
    return repr([(kind.expression, kind.folded) for kind in (*KINDS, UNQUOTED)]) + repr(PLACEHOLDER)


def _in_files(root: Path, entries: list[Entry]) -> list[list[tuple[int, str]] | None]:
    if sum(entry.size for entry in entries) < MANY_BYTES:
        return [_in_file(root, entry) for entry in entries]
    from uaitrain.preflight.two_processes import for_all

    return for_all(lambda entry: _in_file(root, entry), entries)


def _in_file(root: Path, entry: Entry) -> list[tuple[int, str]] | None:
    """Lines (from 1) with the kind that each has, at most 20; None where it can't be read."""
    try:
        data = (root / entry.path).read_bytes()
    except OSError:
        return None
    if b"\0" in data[:BINARY_PROBE_BYTES]:
        return []
    lower = data.lower()
    kinds = (*KINDS, UNQUOTED) if entry.path.endswith(UNQUOTED_SUFFIXES) else KINDS
    found = {
        (data.count(b"\n", 0, match.start()) + 1, kind.name)
        for kind in kinds
        for match in kind.matches(lower if kind.folded else data)
        if not re.search(PLACEHOLDER, match.group())
    }
    return sorted(found)[:MOST_FINDINGS]
