"""What a bare pack may load: start-up is most of a small pack's time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.jobs import NET, SOLVER
from support.registry import RunningRegistry
from support.tiny_image import layer_of
from uaitrain.bases import labels
from uaitrain.oci.image import History, Image
from uaitrain.oci.reference import Reference
from uaitrain.registry import connect
from uaitrain.registry.push import push_image

STANDARD = frozenset(
    (
        "array", "atexit", "base64", "binascii", "collections", "contextlib",
        "copyreg", "encodings", "enum", "errno", "fcntl", "fnmatch", "functools", "gc",
        "hashlib", "heapq", "importlib", "ipaddress", "itertools", "json", "keyword",
        "locale", "marshal", "math", "ntpath", "operator", "pathlib", "queue", "re", "reprlib",
        "select", "selectors", "shlex", "signal", "socket", "stat", "string", "struct",
        "textwrap", "threading", "time", "types", "urllib", "warnings", "weakref",
        "zlib",
    )
)  # fmt: skip
"""Of the standard library, beside what every Python has loaded anyway. Not among them, for they
are slow: argparse, typing, dataclasses, inspect, http, email, ssl, tomllib, subprocess, shutil,
tempfile, logging, concurrent, datetime, difflib, random, asyncio, sqlite3, xml."""

AT_FIRST = frozenset({"ast"})
"""What the first preflight of a job loads besides, to check program text."""

OURS = frozenset(
    (
        "access", "again", "assemble", "atomic", "backends", "bases", "cli", "commands",
        "destinations", "engines", "entry", "errors", "files", "flow", "frameworks", "job_bases",
        "nearest", "oci", "origin", "paths", "preflight", "progress", "registry", "runlog",
        "secret", "sha256", "setting", "settings", "shell", "ship_settings", "sinks", "spec",
        "typed", "units", "utf8", "values",
    )
)  # fmt: skip
NOT_OURS = frozenset(
    {"backends.kubernetes", "backends.slurm", "backends.uai", "preflight.checks", "bases.build"}
)
"""Parts within them that a bare pack has no use for."""

CODE = """
import sys
before = set(sys.modules)
from uaitrain.cli.main import main
code = main(sys.argv[1:])
print(*sorted(set(sys.modules) - before), file=sys.stderr)
sys.exit(code)
"""


def loaded(folder: Path, registry: RunningRegistry) -> set[str]:
    host = registry.host
    words = ["pack", "--push", "--no-load", f"--image={host}/team/job:v1", "--quiet"]
    words += [f"--base-cpu={host}/base:1", f"--base-gpu={host}/base:1"]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words, "--solver=/data/solver.prototxt"],
        cwd=folder,
        env=os.environ | {"UAITRAIN_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


@pytest.fixture
def folder(tmp_path: Path, registry: RunningRegistry) -> Path:
    for name in ("code", "data", "output"):
        (tmp_path / "job" / name).mkdir(parents=True)
    (tmp_path / "job" / "code" / "solver.prototxt").write_text(SOLVER)
    (tmp_path / "job" / "code" / "net.prototxt").write_text(NET)
    config = {"architecture": "amd64", "os": "linux", "config": {}}
    base = Image((), config).append([layer_of({"usr/bin/python": b"x"})], [History("base")])
    base = base.configure(labels={labels.PYTHON: "3.9.2"})
    push_image(connect(registry.host), base, Reference.parse(f"{registry.host}/base:1"))
    return tmp_path / "job"


def test_a_bare_pack_loads_what_is_listed(folder: Path, registry: RunningRegistry) -> None:
    first, again = loaded(folder, registry), loaded(folder, registry)
    (folder / "code" / "more.py").write_text("MORE = 1\n")
    edited = loaded(folder, registry)

    for found, more in ((first, AT_FIRST), (again, frozenset()), (edited, AT_FIRST)):
        others = {name.partition(".")[0] for name in found} - {"uaitrain", "__future__"}
        public = {name for name in others if not name.startswith("_")}
        assert public - STANDARD - more - {"isal"} == set()
        own = {name.split(".")[1] for name in found if name.startswith("uaitrain.")}
        assert own - OURS == set()
    for part in NOT_OURS:
        assert not {name for name in again if name.startswith(f"uaitrain.{part}")}
