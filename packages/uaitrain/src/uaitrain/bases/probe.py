"""Which Python a base has at ``/usr/bin/python``: by its label, else by looking into its layers."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator

from uaitrain.atomic import write_bytes
from uaitrain.bases import labels
from uaitrain.errors import StorageError, UaitrainError
from uaitrain.oci.digest import hex_part
from uaitrain.oci.image import Image
from uaitrain.oci.layer import Layer
from uaitrain.paths import cache_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    import tarfile

PROGRAM = "usr/bin/python"
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_VERSION = re.compile(r"python([0-9]+(?:\.[0-9]+)*)\Z")
_MAX_LINKS = 40
"""As many as the kernel follows (path_resolution(7))."""


def has_python(image: Image, *, local: bool) -> bool | None:
    """Whether ``/usr/bin/python`` is there; None when nobody knows without a download."""
    if labels.PYTHON in image.labels:
        return bool(image.labels[labels.PYTHON])
    found = _look(image) if local else None
    return None if found is None else found != ""


def python_of(image: Image, *, local: bool) -> str | None:
    """The version of ``/usr/bin/python``, as exact as the label or the program's name tells it.

    Empty when there is no such program or its name holds no version; None when nobody knows.
    ``local`` says that the layers are files here, so that they may be read.
    """
    if labels.PYTHON in image.labels:
        return image.labels[labels.PYTHON]
    found = _look(image) if local else None
    if found is None:
        return None
    version = _VERSION.search(found)
    return version[1] if version else ""


def _look(image: Image) -> str | None:
    """The path that ``/usr/bin/python`` leads to, empty when to none; remembered by digest."""
    memory = cache_dir() / "base-python" / f"{hex_part(image.digest)}.json"
    try:
        remembered = json.loads(memory.read_text("utf-8"))
        if isinstance(remembered, str):
            return remembered
    except (OSError, ValueError):
        pass
    import tarfile
    import zlib

    try:
        found = _resolve(files_of(image), PROGRAM)
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, UaitrainError):
        return None
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(memory, json.dumps(found).encode())
    except (OSError, StorageError):
        # Only a convenience is lost: the layers are read again next time.
        return found
    return found


def files_of(image: Image) -> dict[str, str]:
    """Every file or link of an image that is here: a link's target, or empty for a file.

    Raises what ``tarfile`` and the decompressor raise for broken layers.
    """
    tree: dict[str, str] = {}
    for layer in image.layers:
        hidden: list[str] = []
        added: dict[str, str] = {}
        for member in _members(layer):
            name = posixpath.normpath(member.name).lstrip("/")
            folder, _, last = name.rpartition("/")
            if last == _OPAQUE:
                hidden.append(f"{folder}/")
            elif last.startswith(_WHITEOUT):
                gone = posixpath.join(folder, last.removeprefix(_WHITEOUT))
                hidden += [gone, f"{gone}/"]
            elif member.issym():
                added[name] = member.linkname
            elif not member.isdir():
                added[name] = ""
        if hidden:
            tree = {n: t for n, t in tree.items() if not _is_hidden(n, hidden)}
        tree |= added
    return tree


def _is_hidden(name: str, hidden: list[str]) -> bool:
    return any(name == h or (h.endswith("/") and name.startswith(h)) for h in hidden)


def _members(layer: Layer) -> Iterator[tarfile.TarInfo]:
    import tarfile

    from uaitrain.oci.careful_tar import MAX_ENTRIES, CarefulTarInfo

    with layer.open() as blob:
        mode = "r|gz" if layer.descriptor.media_type.endswith("gzip") else "r|"
        with tarfile.open(fileobj=blob, mode=mode, tarinfo=CarefulTarInfo) as tar:  # type: ignore[call-overload] # computed
            for count, member in enumerate(tar):
                if count >= MAX_ENTRIES:
                    raise tarfile.ReadError(f"more than {MAX_ENTRIES} entries")
                yield member
                tar.members = []  # the tar keeps every header it has read


def _resolve(tree: dict[str, str], name: str) -> str:
    """Follow links, also those of folders on the way; empty when the end is not there."""
    for _ in range(_MAX_LINKS):
        for part in _prefixes(name):
            target = tree.get(part)
            if target:
                rest = name[len(part) :].lstrip("/")
                # An absolute target replaces what stands before it in a join.
                joined = posixpath.join("/", posixpath.dirname(part), target, rest)
                name = posixpath.normpath(joined).strip("/")
                break
        else:
            return name if name in tree else ""
    return ""


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split("/")
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])
