"""What differs between two images: their files, and what their configs say (pure)."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from uaitrain.inspection.layer_files import FILE, FOLDER, Entry
from uaitrain.inspection.stack import Placed, Stacked
from uaitrain.oci.digest import Digest
from uaitrain.oci.image import Image
from uaitrain.values import dataclass

ADDED, REMOVED, CHANGED = "added", "removed", "changed"

_FACTS = ("os", "architecture", "variant", "created", "author")
_MAX_PATCH_LINES = 10_000


@dataclass(frozen=True)
class FileChange:
    """``what`` says in which ways a changed file differs: kind, content, mode, owner, target.

    ``before`` is empty for a file that was added, and for one of a shared lower layer that
    was not read; ``after`` for one that was removed.
    """

    path: str
    how: str
    what: tuple[str, ...] = ()
    before: Placed | None = None
    after: Placed | None = None


@dataclass(frozen=True)
class Setting:
    """One setting of the config; a side where it is not set is None."""

    name: str
    before: str | None
    after: str | None


def unshared(before: Image, after: Image) -> tuple[set[Digest], set[Digest]]:
    """The diff_ids of either image's layers that the other one lacks: what has to be read."""
    ours, theirs = set(before.diff_ids), set(after.diff_ids)
    return ours - theirs, theirs - ours


def compare_files(before: Stacked, after: Stacked) -> tuple[FileChange, ...]:
    """From what the layers show that only one of the images has, by path.

    Folders are compared where both have them: layers repeat the folders of their files, so one
    that is missing here may well lie in a layer that both share.
    """
    return tuple(_changes(before, after))


def _changes(before: Stacked, after: Stacked) -> Iterator[FileChange]:
    gone = {path for path in after.hidden - before.hidden if path not in before.files}
    came = {path for path in before.hidden - after.hidden if path not in after.files}
    for path in sorted(before.files.keys() | after.files.keys() | gone | came):
        old, new = before.files.get(path), after.files.get(path)
        if old and new:
            what = tuple(_ways(old.entry, new.entry))
            if what:
                yield FileChange(path, CHANGED, what, old, new)
        elif new and new.entry.kind != FOLDER:
            yield FileChange(path, ADDED, after=new)
        elif old and old.entry.kind != FOLDER:
            yield FileChange(path, REMOVED, before=old)
        elif not old and not new:
            yield FileChange(path, REMOVED if path in gone else ADDED)


def _ways(old: Entry, new: Entry) -> Iterator[str]:
    if old.kind != new.kind:
        yield "kind"
    elif old.kind == FILE and old.sha256 != new.sha256:
        yield "content"
    if old.mode != new.mode:
        yield "mode"
    if (old.uid, old.gid) != (new.uid, new.gid):
        yield "owner"
    if old.kind == new.kind and old.target != new.target:
        yield "target"


def compare_settings(before: Image, after: Image) -> tuple[Setting, ...]:
    """Environment, command, labels and all else that the configs say but for layers, history."""
    old, new = _settings(before), _settings(after)
    return tuple(
        Setting(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def _settings(image: Image) -> dict[str, str]:
    found = {name: str(image.config[name]) for name in _FACTS if name in image.config}
    inner: Mapping[str, Any] = image.config.get("config") or {}
    for key, value in inner.items():
        if key == "Env" and isinstance(value, list):
            for each in value:
                name, _, text = str(each).partition("=")
                found[f"environment {name}"] = text
        elif key == "Labels" and isinstance(value, dict):
            found |= {f"label {name}": str(text) for name, text in value.items()}
        elif value not in (None, "", [], {}, False):
            found[key] = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return found


def patch(path: str, before: bytes, after: bytes) -> list[str] | None:
    """A unified diff, line by line; None where one of the two is no UTF-8 text."""
    try:
        texts = [data.decode() for data in (before, after)]
    except UnicodeDecodeError:
        return None
    if any("\0" in text for text in texts):
        return None
    old, new = (text.splitlines() for text in texts)
    if len(old) + len(new) > _MAX_PATCH_LINES:
        return None
    lines = difflib.unified_diff(old, new, f"a/{path}", f"b/{path}", lineterm="")
    return list(lines)
