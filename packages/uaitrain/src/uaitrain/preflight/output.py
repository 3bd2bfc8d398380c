"""The results: will they be written, and where they are kept?"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from pathlib import Path

from uaitrain.preflight.finding import Finding
from uaitrain.preflight.look import Look
from uaitrain.preflight.paths import OUTPUT, is_folder
from uaitrain.preflight.paths import fault as absent
from uaitrain.preflight.rule import error, warning
from uaitrain.spec import OUTPUT_DIR

NOT_WRITABLE = error(
    "output-not-writable",
    "the output folder is a file, cannot be written, or cannot be created",
    "Caffe aborts at the first snapshot; nothing is kept",
    "choose a folder of yours as test_output_path, or correct its permissions",
)
SAME = warning(
    "output-is-data",
    "the output folder is the data folder, or one lies inside the other",
    "results and data get mixed; the platform keeps them apart",
    "use two folders side by side",
)
PREFIX_LOST = error(
    "snapshot-prefix-outside",
    "snapshot_prefix points outside /data/output",
    "the weights are written inside the container and are lost with it",
    'set snapshot_prefix: "/data/output/<name>"',
)
NO_PREFIX = error(
    "snapshot-prefix-absent",
    "no snapshot_prefix: Caffe writes beside the solver, outside /data/output",
    "the weights are written inside the container and are lost with it",
    'set snapshot_prefix: "/data/output/<name>"',
)
PREFIX_FOLDER = error(
    "snapshot-folder-missing",
    "the folder of snapshot_prefix does not exist, and your own main file is the one to make it",
    "Caffe aborts: cannot write to snapshot prefix, make sure that the directory exists",
    "create the folder in the output folder, or let the main file create it",
)
NEVER = error(
    "snapshot-never",
    "snapshot is 0 and snapshot_after_train is false",
    "no weights are ever written",
    "set snapshot, or leave snapshot_after_train alone",
)
RARE = warning(
    "snapshot-only-at-end",
    "snapshot is 0 or above max_iter: nothing is written before the end",
    "a run that is stopped by force starts from the beginning",
    "set snapshot to some thousands of iterations",
)
RULES = (NOT_WRITABLE, SAME, PREFIX_LOST, NO_PREFIX, PREFIX_FOLDER, NEVER, RARE)

MAKES_FOLDERS = (b"makedirs", b"mkdir")


def check(look: Look) -> Iterator[Finding]:
    fault = _fault(look.spec.output)
    if fault:
        yield NOT_WRITABLE.finding(f"output folder: {fault}", str(look.spec.output))
    data, output = look.spec.data.absolute(), look.spec.output.absolute()
    if data == output or data in output.parents or output in data.parents:
        yield SAME.finding(f"output {output} and data {data} overlap", str(output))
    yield from _prefix(look)
    yield from _frequency(look)


def _fault(folder: Path) -> str:
    existing = folder
    while absent(existing) and existing != existing.parent:
        existing = existing.parent
    if not is_folder(existing):
        return f"{existing} is not a folder"
    effective = os.access in os.supports_effective_ids
    if not os.access(existing, os.W_OK | os.X_OK, effective_ids=effective):
        made = "" if existing == folder else f", so {folder} cannot be created"
        return f"no permission to write in {existing}{made}"
    return ""


def _prefix(look: Look) -> Iterator[Finding]:
    if look.solver is None or look.facts is None:
        return
    where = look.solver.where(look.solver.root.at("snapshot_prefix"))
    place = look.resolve(look.facts.snapshot_prefix)
    if place.side != OUTPUT:
        rule = PREFIX_LOST if look.facts.says_prefix else NO_PREFIX
        said = look.solver.message.snapshot_prefix
        what = f'snapshot_prefix "{said}"' if said else "without snapshot_prefix"
        name = posixpath.basename(place.container) or "snapshot"
        mend = f'set snapshot_prefix: "{OUTPUT_DIR}/{name}"'
        yield rule.finding(f"{what}: snapshots go to {place.container}_iter_…", where, mend)
        return
    folder = posixpath.dirname(place.container)
    host = look.resolve(folder).host
    by_hand = not look.is_stock and not any(word in look.main_source for word in MAKES_FOLDERS)
    if folder != OUTPUT_DIR and by_hand and host is not None and not is_folder(host):
        yield PREFIX_FOLDER.finding(f"no folder {folder}; looked for {host}", where)


def _frequency(look: Look) -> Iterator[Finding]:
    if look.solver is None or look.facts is None:
        return
    where = look.solver.where(look.solver.root.at("snapshot"))
    often = 0 < look.facts.snapshot <= look.facts.max_iter
    if often or look.facts.max_iter <= 0:
        return
    if not look.solver.message.snapshot_after_train:
        yield NEVER.finding("no snapshot on the way and none at the end", where)
    else:
        yield RARE.finding(f"snapshot is {look.facts.snapshot}", where)
