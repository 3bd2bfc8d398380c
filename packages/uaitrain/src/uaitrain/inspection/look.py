"""Layers read for a listing or a comparison: no more of them than the question needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from uaitrain.inspection import compare
from uaitrain.inspection.compare import CHANGED, FileChange, Setting
from uaitrain.inspection.layer_files import FILE, MAX_BODY_BYTES, LayerFiles, read_layer
from uaitrain.inspection.source import Found
from uaitrain.inspection.stack import Placed, stack
from uaitrain.inspection.summary import Summary, summarize
from uaitrain.oci.careful_tar import MAX_ENTRIES
from uaitrain.oci.digest import Digest
from uaitrain.oci.layer import Layer
from uaitrain.progress import Progress
from uaitrain.values import dataclass, field


@dataclass(frozen=True)
class Difference:
    """``read_layers`` counts the layers that had to be read, of both images together.

    ``patches`` has the changed lines of text files by path.
    """

    before: Summary
    after: Summary
    settings: tuple[Setting, ...]
    files: tuple[FileChange, ...]
    read_layers: int
    patches: dict[str, list[str]] = field(default_factory=dict)

    @property
    def same_base(self) -> bool:
        return self.before.base_digest == self.after.base_digest

    @property
    def nothing(self) -> bool:
        return not self.settings and not self.files


def list_files(
    found: Found, summary: Summary, progress: Progress, *, everything: bool
) -> dict[Digest, LayerFiles]:
    """What each layer brings, by diff_id: those of a pack; ``everything``, or of an image that no
    pack made: all. Raises what :func:`read_layer` raises."""
    wanted = {layer.diff_id for layer in summary.layers if layer.own or everything} or set(
        found.image.diff_ids
    )
    return dict(_read(found, wanted, progress))


def difference(
    before: Found, after: Found, progress: Progress, *, patches: bool = False
) -> Difference:
    """Read the layers that only one of the images has, and compare what they show.

    Raises what :func:`read_layer` raises.
    """
    old_only, new_only = compare.unshared(before.image, after.image)
    old = stack(_read(before, old_only, progress))
    new = stack(_read(after, new_only, progress))
    files = compare.compare_files(old, new)
    return Difference(
        summarize(before.image),
        summarize(after.image),
        compare.compare_settings(before.image, after.image),
        files,
        len(old_only) + len(new_only),
        _patches(before, after, files, progress) if patches else {},
    )


def _read(
    found: Found, wanted: Collection[Digest], progress: Progress
) -> Iterator[tuple[Digest, LayerFiles]]:
    left = MAX_ENTRIES
    for number, layer in _numbered(found, wanted):
        what = f"layer {number} of {found.name}"
        files = read_layer(layer, what, progress, most=left)
        left -= len(files.entries) + len(files.hidden)
        yield layer.diff_id, files


def _numbered(found: Found, wanted: Collection[Digest]) -> Iterator[tuple[int, Layer]]:
    for number, layer in enumerate(found.image.layers, 1):
        if layer.diff_id in wanted:
            yield number, layer


def _patches(
    before: Found, after: Found, files: tuple[FileChange, ...], progress: Progress
) -> dict[str, list[str]]:
    """The small layers are read a second time, for the few files that turned out to differ."""
    changed = {
        change.path: (change.before, change.after)
        for change in files
        if change.how == CHANGED and "content" in change.what and change.before and change.after
    }
    small = {
        path: pair
        for path, pair in changed.items()
        if all(p.entry.kind == FILE and p.entry.size <= MAX_BODY_BYTES for p in pair)
    }
    old = _bodies(before, {path: pair[0] for path, pair in small.items()}, progress)
    new = _bodies(after, {path: pair[1] for path, pair in small.items()}, progress)
    lines = {path: compare.patch(path, old[path], new[path]) for path in small}
    return {path: each for path, each in lines.items() if each}


def _bodies(found: Found, placed: dict[str, Placed], progress: Progress) -> dict[str, bytes]:
    bodies: dict[str, bytes] = {}
    for number, layer in _numbered(found, {each.layer for each in placed.values()}):
        keep = {path for path, each in placed.items() if each.layer == layer.diff_id}
        bodies |= read_layer(layer, f"layer {number} of {found.name}", progress, keep=keep).bodies
    return bodies
