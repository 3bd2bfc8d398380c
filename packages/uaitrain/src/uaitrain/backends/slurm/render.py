"""A job as one script for sbatch. Pure, but that ``run.sh`` of this package is read."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from uaitrain.backends import RUN_LABEL, Job, Mount
from uaitrain.backends.slurm import runtimes
from uaitrain.backends.slurm.oci import config_text
from uaitrain.backends.slurm.options import SlurmOptions
from uaitrain.backends.slurm.request import SlurmRequest
from uaitrain.errors import UsageError
from uaitrain.oci.digest import hex_part
from uaitrain.oci.reference import Reference
from uaitrain.values import dataclass

DEFAULT_SHM_BYTES = 1 << 30
_RUN_ID = re.compile(r"[a-z][a-z0-9-]{0,51}\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class Places:
    """What lies where in the shared folder."""

    folder: Path

    @property
    def bundles(self) -> Path:
        return self.folder / "images"

    def run(self, run_id: str) -> Path:
        return self.folder / "runs" / run_id

    def job(self, number: str) -> Path:
        """What we know of the Slurm job ``number``."""
        return self.folder / "jobs" / f"{number}.json"


def render(job: Job, options: SlurmOptions) -> SlurmRequest:
    """The whole request. Raises UsageError for a job that Slurm cannot run from here."""
    image = Reference.parse(job.image, default_registry="")
    if image.digest is None:
        raise UsageError(
            f"the image {job.image!r} is not named by its digest",
            allowed="name:tag@sha256:…, of a registry or of the layout slurm.layout",
            next_step="uaitrain pack --push, which makes the image and tells its digest",
        )
    if not _RUN_ID.match(job.run_id):
        raise UsageError(
            f"not a run id: {job.run_id!r}",
            allowed="a lower-case letter, then letters, digits and dashes, at most 52",
        )
    for name in (*job.environment, *job.secrets):
        if not _NAME.match(name):
            raise UsageError(f"not the name of a variable: {name!r}")
    places = Places(options.folder)
    bundle = places.bundles / hex_part(image.digest)
    parts = (
        "#!/bin/bash",
        *(f"#SBATCH {line}" for line in directives(job, options)),
        "# Which job; what is done with it stands below.",
        *_variables(job, options, bundle),
        *options.setup,
        _functions(),
        "main",
    )
    return SlurmRequest(
        image=image,
        run_id=job.run_id,
        script="\n".join(parts) + "\n",
        secrets=job.secrets,
        bundle=str(bundle),
        run_folder=str(places.run(job.run_id)),
    )


def directives(job: Job, options: SlurmOptions) -> Iterator[str]:
    """The options of sbatch; a restarted run appends to its log."""
    run = Places(options.folder).run(job.run_id)
    yield f"--job-name={job.run_id}"
    yield f"--comment={RUN_LABEL}={job.run_id}"
    yield f"--output={run}/log" + ("-%a" if options.array else "")
    yield "--open-mode=append"
    yield f"--chdir={options.folder}"
    yield "--export=NONE"
    yield f"--nodes={job.nodes}"
    yield "--ntasks-per-node=1"
    if job.cpus:
        yield f"--cpus-per-task={job.cpus}"
    if job.memory_bytes:
        yield f"--mem={-(-job.memory_bytes // (1 << 20))}M"
    if job.gpus:
        gres = options.gres
        yield f"--gres={gres}:{job.gpus}" if gres else f"--gpus-per-node={job.gpus}"
    if job.seconds:
        yield f"--time={-(-job.seconds // 60)}"
    named = (("partition", options.partition), ("account", options.account), ("qos", options.qos))
    yield from (f"--{name}={value}" for name, value in named if value)
    yield f"--signal=B:TERM@{options.grace}"
    yield "--requeue"
    if options.array:
        yield f"--array={options.array}"
    yield from options.extra


def _variables(job: Job, options: SlurmOptions, bundle: Path) -> Iterator[str]:
    wanted = runtimes.names(job.gpus)
    if options.runtime != runtimes.AUTO:
        if options.runtime not in wanted:
            raise UsageError(
                f"slurm.runtime = {options.runtime!r} brings no GPUs into the container",
                allowed=", ".join(wanted),
            )
        wanted = (options.runtime,)
    shm = job.shm_bytes or DEFAULT_SHM_BYTES
    mounts = [_judged(mount) for mount in job.mounts]
    yield f"run={job.run_id}"
    yield f"folder={shlex.quote(str(options.folder))}"
    yield f"bundle={shlex.quote(str(bundle))}"
    yield f"nodes={job.nodes} gpus={job.gpus} shm={shm} grace={options.grace}"
    yield f"retries={options.retries}"
    yield _array("runtimes", wanted)
    yield _array("variables", (f"{key}={value}" for key, value in sorted(job.environment.items())))
    yield _array("command", job.argv)
    yield _array(
        "mounts",
        (word for m in mounts for word in (m.source, m.target, "ro" if m.read_only else "rw")),
    )
    if {"runc", "crun"} & set(wanted):
        yield f"oci_config={shlex.quote(config_text(str(bundle / 'rootfs'), mounts, shm))}"
    else:
        yield "oci_config=''"


def _judged(mount: Mount) -> Mount:
    for path in (mount.source, mount.target):
        if not path.startswith("/") or re.search(r"[:,\x00-\x1f]|(\A|/)\.\.(/|\Z)", path):
            raise UsageError(
                f"Slurm's nodes cannot mount {path!r}",
                allowed="an absolute path as the nodes see it, without : and , in it",
                next_step="an s3:// or file:// place is copied by the run itself",
            )
    return mount


def _array(name: str, words: Iterable[str]) -> str:
    return f"{name}=({' '.join(map(shlex.quote, words))})"


@functools.cache
def _functions() -> str:
    """``run.sh`` without its first line."""
    text = (Path(__file__).parent / "run.sh").read_text(encoding="utf-8")
    return text.partition("\n")[2].rstrip("\n")
