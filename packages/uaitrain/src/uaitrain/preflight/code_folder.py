"""The code folder: does it hold code, and only that?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from uaitrain.files.inventory import Kind
from uaitrain.preflight.databases import LMDB_FILE
from uaitrain.preflight.finding import Finding
from uaitrain.preflight.look import Look
from uaitrain.preflight.rule import warning

LARGE_BYTES = 1 << 30
DATABASE_BYTES = 16 << 20
MOST_NAMED = 3
IGNORE = "list it under ignore in uaitrain.toml, or move it out of the code folder"

EMPTY = warning(
    "code-empty",
    "no file of the code folder goes into the image",
    "the image holds nothing of yours; all must come with the data",
    "check code_path and the ignore rules",
)
LARGE = warning(
    "code-large",
    "the code folder has more than 1 GiB",
    "every pack reads it, and the image carries it to every machine",
    "keep data and weights in the data folder, or list them under ignore",
)
DATABASE = warning(
    "code-holds-database",
    "the code folder holds an LMDB or LevelDB of more than 16 MiB",
    "the data becomes part of the image: slow to push, and not replaceable without a pack",
    "move it to the data folder and name it /data/data/…",
)
HIDDEN = warning(
    "code-hidden-by-mount",
    "the code folder has files in data/ or output/, at its top",
    "the mounts over /data/data and /data/output hide them in every run",
    IGNORE,
)
HOLDS_JOB = warning(
    "code-holds-job-folders",
    "the test data or output folder lies inside the code folder and is packed with it",
    "data and old results become part of the image",
    IGNORE,
)
RULES = (EMPTY, LARGE, DATABASE, HIDDEN, HOLDS_JOB)

MOUNTED = ("data", "output")


def check(look: Look) -> Iterator[Finding]:
    root = look.spec.code
    files = [entry for entry in look.entries.values() if entry.kind is not Kind.FOLDER]
    if not files:
        left_out = look.subject.inventory.ignored
        what = f"nothing to pack in {root}"
        yield EMPTY.finding(f"{what}: the ignore rules leave all out" if left_out else what)
        return
    total = look.subject.inventory.total_bytes
    if total > LARGE_BYTES:
        import heapq

        largest = heapq.nlargest(MOST_NAMED, files, key=lambda entry: entry.size)
        named = ", ".join(f"{entry.path} ({_mib(entry.size)})" for entry in largest)
        yield LARGE.finding(f"{_mib(total)} in {root}; the largest: {named}", str(root))
    yield from _databases(look)
    told = set()
    for said, folder in (("data", look.spec.data), ("output", look.spec.output)):
        relative = _inside(root, folder)
        if relative and relative in look.folders:
            told.add(relative)
            what = f"the {said} folder {folder} is inside the code folder"
            yield HOLDS_JOB.finding(what, str(folder))
    for name in MOUNTED:
        if name in look.folders and name not in told:
            yield HIDDEN.finding(
                f"{root / name} is hidden by the mount /data/{name}", str(root / name)
            )


def _databases(look: Look) -> Iterator[Finding]:
    sizes: dict[str, int] = {}
    marks: set[str] = set()
    for path, entry in look.entries.items():
        folder, _, name = path.rpartition("/")
        if name == LMDB_FILE or name.startswith("MANIFEST-"):
            marks.add(folder)
        if name == LMDB_FILE or name.endswith((".ldb", ".sst")):
            sizes[folder] = sizes.get(folder, 0) + entry.size
    for folder in sorted(marks):
        size = sizes.get(folder, 0)
        if size > DATABASE_BYTES:
            what = f"the database {folder or '.'} has {_mib(size)}"
            yield DATABASE.finding(what, str(look.spec.code / folder))


def _inside(root: Path, folder: Path) -> str:
    try:
        relative = folder.resolve().relative_to(root.resolve()).as_posix()
    except (ValueError, OSError, RuntimeError):
        return ""
    return "" if relative == "." else relative


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"
