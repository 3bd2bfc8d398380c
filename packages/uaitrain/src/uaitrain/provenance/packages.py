"""What package databases say is installed (pure): Debian's, Python's, and the system's name.

Formats: deb-control(5) and dpkg's ``status``; Python's core metadata (PEP 566 and later), in
``*.dist-info/METADATA`` and ``*.egg-info``; os-release(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from uaitrain.values import dataclass

DEB = "deb"
PYPI = "pypi"

MAX_DOCUMENT_BYTES = 16 << 20
"""More than any database has; what is longer is cut there."""

_STATUS = re.compile(r"var/lib/dpkg/(?:status|status\.d/[^/]+)\Z")
_PYTHON = re.compile(
    r".*(?:\.dist-info/METADATA|\.egg-info/PKG-INFO|(?:site|dist)-packages/[^/]+\.egg-info)\Z"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,199}\Z")
_VERSION = re.compile(r"[!-~]{1,200}\Z")
"""What dpkg and pip take for names and versions, and a little more."""

_SYSTEM = ("etc/os-release", "usr/lib/os-release")
_LONGEST = 200
"""Characters of any other value that is kept."""
_HEAD_BYTES = 256 << 10
"""Of Python's metadata only the head is read; a long description follows it."""


@dataclass(frozen=True)
class Package:
    """One installed package. ``source`` is Debian's source package, with its version after an
    ``@`` where that is another one; ``licence`` is what the package itself says, or empty.
    """

    kind: str
    name: str
    version: str
    architecture: str = ""
    source: str = ""
    licence: str = ""


@dataclass(frozen=True)
class System:
    """Which system the image holds, such as ``debian`` ``12``; empty where it does not say."""

    name: str = ""
    version: str = ""


def is_database(path: str) -> bool:
    """Whether the file at ``path`` (relative to the image's root) tells what is installed."""
    return bool(_STATUS.match(path) or _PYTHON.match(path))


def is_system(path: str) -> bool:
    return path in _SYSTEM


def head_bytes(path: str) -> int:
    """How much of the file is worth reading, in bytes."""
    return MAX_DOCUMENT_BYTES if _STATUS.match(path) else _HEAD_BYTES


def read_database(path: str, data: bytes) -> tuple[Package, ...]:
    """The packages that the file at ``path`` tells of. What cannot be read tells of none."""
    text = data.decode("utf-8", "replace")
    return tuple(_debian(text) if _STATUS.match(path) else _python(text))


def read_system(data: bytes) -> System:
    """os-release(5)."""
    values = {}
    for line in data.decode("utf-8", "replace").split("\n"):
        key, equals, value = line.partition("=")
        if equals:
            values[key.strip()] = value.strip().strip("\"'")
    return System(values.get("ID", ""), values.get("VERSION_ID", ""))


def _debian(text: str) -> Iterator[Package]:
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = _fields(stanza)
        name, version = fields.get("package", ""), fields.get("version", "")
        # A list of one package (status.d, of images without dpkg) has no such field.
        installed = fields.get("status", "install ok installed").split()[-1:] == ["installed"]
        if installed and _is_package(name, version):
            yield Package(
                DEB,
                name,
                version,
                fields.get("architecture", "")[:_LONGEST],
                _source(fields.get("source", "")[:_LONGEST]),
            )


def _is_package(name: str, version: str) -> bool:
    return bool(_NAME.match(name) and _VERSION.match(version))


def _source(text: str) -> str:
    name, _, version = text.partition(" ")
    version = version.strip().strip("()")
    return f"{name}@{version}" if version else name


def _python(text: str) -> Iterator[Package]:
    fields = _fields(text.partition("\n\n")[0])
    name, version = fields.get("name", ""), fields.get("version", "")
    if _is_package(name, version):
        yield Package(PYPI, name, version, licence=_licence(fields))


def _licence(fields: dict[str, str]) -> str:
    """The expression, else the free text, else what the classifiers say."""
    if expression := fields.get("license-expression", ""):
        return expression if len(expression) <= 5 * _LONGEST else ""
    free = fields.get("license", "")
    # Some put the whole text there.
    if free and free != "UNKNOWN" and len(free) <= 100:
        return free
    named = [
        line.rpartition("::")[2].strip()
        for line in fields.get("classifier", "").split("\n")
        if line.startswith("License ::") and line.count("::") > 1
    ]
    return ", ".join(named)[:_LONGEST]


def _fields(stanza: str) -> dict[str, str]:
    """Fields by their names in lower case; what came several times is joined by line breaks.

    Continued lines are left out: no field that is asked for has them.
    """
    found: dict[str, str] = {}
    for line in stanza.replace("\r", "").split("\n"):
        key, colon, value = line.partition(":")
        if colon and key and not key[0].isspace():
            name = key.lower()
            found[name] = f"{found[name]}\n{value.strip()}" if name in found else value.strip()
    return found
