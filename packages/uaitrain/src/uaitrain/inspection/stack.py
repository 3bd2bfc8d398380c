"""Layers laid one upon the other: which entry of which layer a path shows (pure)."""

from __future__ import annotations

from collections.abc import Iterable

from uaitrain.inspection.layer_files import FOLDER, Entry, LayerFiles
from uaitrain.oci.digest import Digest
from uaitrain.values import dataclass


@dataclass(frozen=True)
class Placed:
    """``layer`` is the diff_id of the layer that the entry comes from."""

    entry: Entry
    layer: Digest


@dataclass(frozen=True)
class Stacked:
    """``files`` by path; ``hidden`` as the layers say it: what lies below may have such a path."""

    files: dict[str, Placed]
    hidden: frozenset[str]


def stack(layers: Iterable[tuple[Digest, LayerFiles]]) -> Stacked:
    """From the lowest layer up. What a layer hides lies in those below it (layer.md)."""
    files: dict[str, Placed] = {}
    hidden: set[str] = set()
    for diff_id, layer in layers:
        gone = set(layer.hidden)
        # Whatever is no folder takes the place of all that lay in a folder of that name.
        covered = {
            f"{path}/"
            for path, entry in layer.entries.items()
            if entry.kind != FOLDER and path in files and files[path].entry.kind == FOLDER
        }
        if gone or covered:
            files = {p: placed for p, placed in files.items() if not _is_gone(p, gone | covered)}
        hidden = {path for path in hidden if path not in layer.entries} | gone
        files.update({path: Placed(entry, diff_id) for path, entry in layer.entries.items()})
    return Stacked(files, frozenset(hidden))


def _is_gone(path: str, gone: set[str]) -> bool:
    if path in gone or "/" in gone:
        return True
    parts = path.split("/")
    folders = ("/".join(parts[:count]) for count in range(1, len(parts)))
    return any(folder in gone or f"{folder}/" in gone for folder in folders)
