"""Our engine's own word: can it build the job's nets, and what does their training need?

The engine is a program of its own, ``caffe shapes``: it is asked where it is installed, and never
imported. It builds the nets as a run would and trains nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from uaitrain.preflight.finding import Finding
from uaitrain.preflight.look import Look
from uaitrain.preflight.rule import error, note, warning
from uaitrain.preflight.subject import EngineAnswer
from uaitrain.spec import DATA_DIR, OUTPUT_DIR, WORK_DIR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DISTRIBUTION = "caffe-torch"
_MODULE = "caffe.__main__"
PATIENCE_SECONDS = 60
_UNASKED = frozenset({"Python", "HDF5Output"})
"""Net layers that run the user's code or write a file when a net is built: no check may."""

REFUSES = error(
    "engine-refuses",
    "the engine of an image (caffe-torch) cannot build the job's nets",
    "the run ends at once with the same message",
    "correct the definition",
)
DOUBTS = warning(
    "engine-doubts",
    "caffe-torch, which is installed here, cannot build the job's nets; no image stands on it",
    "Caffe's own engine most likely refuses the same",
    "look at the definition",
)
FAILED = note(
    "engine-failed",
    "caffe-torch, which is installed here, did not answer",
    "shapes and memory were not looked at",
    "caffe shapes --solver FILE shows why",
)
RULES = (REFUSES, DOUBTS, FAILED)


def check(look: Look) -> Iterator[Finding]:
    """What the engine's answer, which was asked for before, has against the job."""
    answer = look.subject.engine
    if answer is not None and answer.failure:
        yield FAILED.finding(f"caffe-torch: {answer.failure}")
    if answer is None or not answer.error:
        return
    ours = any(base.engine for base in look.subject.bases.values())
    rule = REFUSES if ours else DOUBTS
    said = {key: str(value) for key, value in answer.error.items() if value}
    what = said.get("what", "it does not say why")
    allowed = f" (allowed: {said['allowed']})" if "allowed" in said else ""
    yield rule.finding(
        f"caffe-torch: {what}{allowed}", said.get("where", ""), said.get("next_step", "")
    )


def ask(look: Look) -> EngineAnswer | None:
    """The engine's answer; None where there is no engine, or nothing that it may be asked."""
    solver = look.resolve(look.spec.solver).host if look.solver else None
    if solver is None or not look.uses or look.facts is None:
        return None
    if any(layer.type in _UNASKED for use in look.uses for layer in use.layers):
        return None
    program = find()
    if program is None:
        return None
    places = {DATA_DIR: look.spec.data, OUTPUT_DIR: look.spec.output, WORK_DIR: look.spec.code}
    return _run([*program, *_words(solver, places)], look.spec.code)


def find() -> list[str] | None:
    """How the engine is started here: beside this Python, or on the PATH; None without one.

    A ``caffe`` on the PATH may be BVLC's own program: only a script of ours is taken.
    """
    import shutil
    from importlib import metadata

    try:
        metadata.distribution(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        pass
    else:
        # -P: a caffe.py or torch.py in the current folder is not what is meant.
        return [sys.executable, "-P", "-m", "caffe"]
    found = shutil.which("caffe")
    if found:
        try:
            with Path(found).open("rb") as file:
                ours = _MODULE.encode() in file.read(4096)
        except OSError:
            return None
        return [found] if ours else None
    return None


def _words(solver: Path, places: Mapping[str, Path]) -> list[str]:
    maps = [word for inside, here in places.items() for word in ("--map", f"{inside}={here}")]
    return ["shapes", "--solver", str(solver), *maps, "--json"]


def _run(argv: list[str], folder: Path) -> EngineAnswer:
    import subprocess

    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return EngineAnswer(failure=f"no answer in {PATIENCE_SECONDS} seconds")
    except OSError as failure:
        return EngineAnswer(failure=f"it cannot be started: {failure.strerror}")
    try:
        told = json.loads(done.stdout)
    except ValueError:
        told = None
    if done.returncode == 0 and isinstance(told, dict) and "memory" in told:
        return EngineAnswer(facts=told)
    if isinstance(told, dict) and isinstance(told.get("error"), dict):
        return EngineAnswer(error=told["error"])
    last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    return EngineAnswer(failure=f"it failed: {last}")


def summary(facts: Mapping[str, Any]) -> str:
    """One line for people: the net, its size, and the memory for training by batch size."""
    values = sum(_product(each["shape"]) for each in facts["parameters"])
    needs = ", ".join(f"{_mib(row['total'])} at batch {row['batch']}" for row in facts["per_batch"])
    return (
        f'caffe-torch builds net "{facts["net"]}": {len(facts["blobs"])} blobs, {values:,} '
        f"learnable values; training needs {needs or _mib(facts['memory']['total'])}"
    )


def _product(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"
