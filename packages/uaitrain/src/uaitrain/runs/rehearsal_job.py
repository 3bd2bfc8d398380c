"""The job of a rehearsal: the user's, with an output folder of its own, shortened when asked."""

from __future__ import annotations

import contextlib
import posixpath
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from uaitrain import atomic
from uaitrain.backends import Job, Mount
from uaitrain.engines import Engine
from uaitrain.engines.engine import last_line
from uaitrain.engines.facts import LocalFacts
from uaitrain.engines.folders import give, make_folder
from uaitrain.errors import UsageError
from uaitrain.frameworks import prototxt
from uaitrain.runs import local_test
from uaitrain.runs.attempts import with_run_id
from uaitrain.runs.identity import new_run_id
from uaitrain.runs.shorten import LEAST, shortened
from uaitrain.spec import DATA_DIR, WORK_DIR, TrainSpec

_CAT = "/bin/cat"


@contextlib.contextmanager
def prepared(
    spec: TrainSpec, accelerator: str, engine: Engine, facts: LocalFacts, iterations: int
) -> Iterator[tuple[Job, Path]]:
    """The job and the folder that gets its results, beside the user's own output folder.

    The folder goes with the block. ``iterations`` shortens the solver, 0 leaves it.

    Raises EngineError, StorageError, UsageError.
    """
    if iterations:
        _check(spec, iterations)
    scratch = spec.output.with_name(f".uaitrain-rehearsal-{secrets.token_hex(4)}")
    own = replace(spec, output=scratch / "output")
    try:
        make_folder(scratch, facts)
        run_id = new_run_id(f"rehearsal-{spec.target.image}", time.time())
        job = with_run_id(local_test.prepare(own, accelerator, engine, facts), run_id)
        if iterations:
            job = _with_solver(job, spec.solver, scratch, engine, facts, iterations)
        elif spec.solver:
            _check_display(job, spec.solver, engine)
        yield job, own.output
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check(spec: TrainSpec, iterations: int) -> None:
    if iterations < LEAST:
        raise UsageError(f"--iterations {iterations}", allowed=f"{LEAST} or more")
    if not spec.solver:
        raise UsageError(
            "--iterations needs the solver: it is the solver that is shortened",
            next_step="give --solver, or leave --iterations out",
        )


def _check_display(job: Job, solver: str, engine: Engine) -> None:
    """Raises UsageError where no iteration would be told: the run would be trained for nothing."""
    path = posixpath.join(WORK_DIR, solver)
    try:
        document = prototxt.parse(_read_inside(job, path, engine), prototxt.SOLVER, Path(path))
    except UsageError:
        return  # What is wrong with it is the run's to say.
    if not document.problems and not document.message.display:
        raise UsageError(
            f"the solver {path} shows no iterations: what the run does could not be seen",
            allowed="a display of 1 or more",
            next_step="add --iterations N, which also makes the rehearsal short",
        )


def _with_solver(
    job: Job, solver: str, scratch: Path, engine: Engine, facts: LocalFacts, iterations: int
) -> Job:
    """The job with a shorter solver where the container has its own."""
    path = posixpath.join(WORK_DIR, solver)
    short = scratch / "solver.prototxt"
    text = shortened(_read_inside(job, path, engine), iterations, path)
    atomic.write_bytes(short, text.encode("utf-8"))
    give(short, facts)
    return replace(job, mounts=(*job.mounts, Mount(str(short), path, read_only=True)))


def _read_inside(job: Job, path: str, engine: Engine) -> str:
    """A text file as the container sees it. Raises UsageError where there is none."""
    # One that lies in the data folder can be read without a container.
    for mount in job.mounts:
        if mount.target == DATA_DIR and path.startswith(f"{DATA_DIR}/"):
            file = Path(mount.source, path.removeprefix(f"{DATA_DIR}/"))
            with contextlib.suppress(OSError):
                return file.read_text("utf-8", "surrogateescape")
    asked = engine.ask("run", "--rm", "--entrypoint", _CAT, job.image, path)
    if asked.returncode:
        raise UsageError(
            f"the image {job.image} has no solver {path}: {last_line(asked.stderr)}",
            next_step="check --solver; it is the path as the container sees it",
        )
    return asked.stdout
