"""The commands of ``uaitrain_cmd.txt``: rendered by what also runs them, so they cannot drift.

Pure. The text is the manual's (Step 4), for a POSIX shell; ``$'…'`` appears only for words with
control characters, which bash, zsh and ksh read.
"""

from __future__ import annotations

import re

from uaitrain.backends import Job, Mount
from uaitrain.backends.local import render
from uaitrain.frameworks import caffe
from uaitrain.shell import has_control, quote
from uaitrain.spec import (
    CPU,
    DATA_DIR,
    GPU,
    OUTPUT_DIR,
    PYTHON,
    WORK_DIR,
    Resources,
    TrainSpec,
)
from uaitrain.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from uaitrain.engines.facts import LocalFacts

DEPLOY_HEADING = "CMD Used for deploying:"
CPU_HEADING = "CMD for CPU local test:"
GPU_HEADING = "CMD for GPU local test:"

_SPECIAL_IN_DOUBLE_QUOTES = re.compile(r'["$`\\!]')


@dataclass(frozen=True)
class Command:
    """An argument vector, and the text that gives a shell exactly these words."""

    argv: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Commands:
    """The three of ``uaitrain_cmd.txt``."""

    deploy: Command
    cpu: Command
    gpu: Command


def deploy_argv(spec: TrainSpec) -> tuple[str, ...]:
    """What the platform is told to start: the main file and the user's arguments."""
    return (f"{WORK_DIR}/{spec.main_file}", *caffe.training_arguments(spec))


def run_argv(spec: TrainSpec, accelerator: str) -> tuple[str, ...]:
    """What runs inside the container, in ``/data``."""
    arguments = caffe.run_arguments(spec, accelerator, spec.resources.gpus)
    return (PYTHON, f"{WORK_DIR}/{spec.main_file}", *arguments)


def local_job(spec: TrainSpec, accelerator: str, image: str, user: str = "") -> Job:
    """The local test of ``spec`` in ``image``; ``user`` (``uid:gid``) owns the results."""
    line = " ".join(quote(word) for word in run_argv(spec, accelerator))
    return Job(
        image=image,
        argv=("/bin/bash", "-c", f"cd {WORK_DIR} && {line}"),
        mounts=(Mount(str(spec.data), DATA_DIR), Mount(str(spec.output), OUTPUT_DIR)),
        gpus=spec.resources.gpus if accelerator == GPU else 0,
        shm_bytes=spec.resources.shm_bytes,
        user=user,
    )


def render_commands(spec: TrainSpec, facts: LocalFacts) -> Commands:
    deploy = deploy_argv(spec)
    return Commands(
        Command(deploy, " ".join(quote(word) for word in deploy)),
        _local_test(spec, facts, CPU, str(spec.target.cpu)),
        _local_test(spec, facts, GPU, str(spec.target.gpu)),
    )


def _local_test(spec: TrainSpec, facts: LocalFacts, accelerator: str, image: str) -> Command:
    job = local_job(spec, accelerator, image, facts.user)
    if job.shm_bytes == Resources().shm_bytes:
        # The manual's command sets no size; ours is added when the user chose one.
        job = replace(job, shm_bytes=0)
    argv = render(job, facts.words(gpu=accelerator == GPU), interactive=True).argv
    *words, shell_line = argv
    return Command(argv, " ".join([*map(quote, words), quote_line(shell_line)]))


def text(commands: Commands) -> str:
    """The whole of ``uaitrain_cmd.txt``, as the manual shows it."""
    return (
        f"{DEPLOY_HEADING}\n {commands.deploy.text}\n"
        f"{CPU_HEADING}\n{commands.cpu.text}\n"
        f"{GPU_HEADING}\n{commands.gpu.text}\n"
    )


def quote_line(shell_line: str) -> str:
    """A line for ``bash -c``: in double quotes as the manual writes it, where that is safe."""
    if has_control(shell_line) or _SPECIAL_IN_DOUBLE_QUOTES.search(shell_line):
        return quote(shell_line)
    return f'"{shell_line}"'
