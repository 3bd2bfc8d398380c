"""Runs in Docker or Podman on this machine that nobody watches: containers in the background.

A handle is ``docker/<run id>`` or ``podman/<run id>``, the second part being the container's name.
Containers stay when they end, for their log and exit code, until the run is cancelled or started
again.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from uaitrain.backends import RUN_LABEL, Job, State, Status
from uaitrain.backends.local import render
from uaitrain.engines import Engine, require_engine
from uaitrain.engines.engine import failure
from uaitrain.engines.facts import LocalFacts, local_facts
from uaitrain.engines.find import PROGRAMS
from uaitrain.engines.folders import make_folder
from uaitrain.errors import EXIT_TERMINATED, EngineError, StorageError, UsageError
from uaitrain.shell import quote
from uaitrain.spec import DATA_DIR, OUTPUT_DIR
from uaitrain.values import dataclass, replace

GRACE_SECONDS = 120
"""What a run gets to write its last snapshot when it is asked to end."""

_ALIVE = {
    "created": State.QUEUED,
    "configured": State.QUEUED,
    "initialized": State.QUEUED,
    "running": State.RUNNING,
    "paused": State.RUNNING,
    "restarting": State.RUNNING,
    "stopping": State.RUNNING,
    "removing": State.RUNNING,
}
"""By the engines' own words; all others mean that the container has ended."""


@dataclass(frozen=True)
class DetachedRequest:
    """``argv`` starts the container. ``secrets`` are names of variables, whose values the
    engine's program takes from its environment. ``folders`` must be there (data) or are made
    (output)."""

    program: str
    run_id: str
    argv: tuple[str, ...]
    secrets: tuple[str, ...]
    folders: Mapping[str, str]

    @property
    def handle(self) -> str:
        return f"{self.program}/{self.run_id}"

    def show(self) -> str:
        return " ".join(quote(word) for word in self.argv) + "\n"

    def to_json(self) -> dict[str, Any]:
        return {"argv": list(self.argv), "secrets": list(self.secrets)}


@dataclass(frozen=True)
class LocalOptions:
    """``engine`` is docker, podman or empty; ``network`` a network of the engine or empty."""

    engine: str = ""
    network: str = ""


class LocalBackend:
    """See :class:`uaitrain.backends.Backend`. What the engine refuses is an EngineError.

    ``find`` looks for the engine that a program's name means.
    """

    def __init__(
        self, options: LocalOptions, find: Callable[[str], Engine] = require_engine
    ) -> None:
        self._options, self._find = options, find
        self._engines: dict[str, Engine] = {}

    def render(self, job: Job) -> DetachedRequest:
        """Looks for the program that would run it, for its name begins the command."""
        _check(job)
        engine = self._engine(self._options.engine)
        facts = local_facts(engine)
        words = (*engine.words[:-1], facts.words(gpu=job.gpus > 0)[-1])
        if job.secrets and engine.needs_sudo:
            words = ("sudo", f"--preserve-env={','.join(job.secrets)}", *words[1:])
        command = render(replace(job, user=job.user or facts.user), words, interactive=False).argv
        at = len(words) + 1
        argv = (*command[:at], *self._detached_options(job, engine), *command[at:])
        folders = {mount.target: mount.source for mount in job.mounts}
        return DetachedRequest(engine.program, job.run_id, argv, job.secrets, folders)

    def submit(self, request: DetachedRequest) -> str:
        engine = self._engine(request.program)
        if missing := [name for name in request.secrets if name not in os.environ]:
            raise UsageError(
                f"the secret {missing[0]} is not set here", next_step=f"export {missing[0]}=…"
            )
        _prepare_folders(request.folders, local_facts(engine))
        self._make_room(engine, request.run_id)
        done = engine.run(request.argv)
        if done.returncode:
            # A container that cannot be started may have been made all the same.
            engine.ask("rm", "--force", request.run_id)
            raise failure(engine, "run", done.stderr)
        return request.handle

    def status(self, handles: Sequence[str]) -> Mapping[str, Status]:
        found: dict[str, Status] = {}
        for program in PROGRAMS:
            names = [name for each, name in map(_parts, handles) if each == program]
            if names:
                engine = self._engine(program)
                found |= {each.handle: each for each in _statuses(engine, names)}
        return {
            handle: found.get(handle, Status(handle, _parts(handle)[1], State.UNKNOWN))
            for handle in handles
        }

    def logs(self, handle: str, *, follow: bool) -> Iterator[str]:
        program, name = _parts(handle)
        engine = self._engine(program)
        if not _inspected(engine, [name]):
            raise EngineError(
                f"{program} has no container {name}", next_step="uaitrain runs lists the runs"
            )
        return _log_lines(engine, name, follow=follow)

    def cancel(self, handle: str) -> None:
        """SIGTERM, the grace, SIGKILL; then the container is removed."""
        program, name = _parts(handle)
        engine = self._engine(program)
        engine.ask("stop", "--time", str(GRACE_SECONDS), name)
        removed = engine.ask("rm", "--force", "--volumes", name)
        if _inspected(engine, [name]):
            raise failure(engine, "rm", removed.stderr)

    def list(self) -> tuple[Status, ...]:
        engine = self._engine(self._options.engine)
        names = engine.answer(
            *("ps", "--all", "--no-trunc", "--filter", f"label={RUN_LABEL}"),
            *("--format", "{{.Names}}"),
        ).split()
        return tuple(sorted(_statuses(engine, names), key=lambda each: -each.started))

    def _engine(self, program: str) -> Engine:
        if program not in self._engines:
            self._engines[program] = self._find(program)
        return self._engines[program]

    def _detached_options(self, job: Job, engine: Engine) -> Iterator[str]:
        yield from ("--detach", "--name", job.run_id, "--label", f"{RUN_LABEL}={job.run_id}")
        # A run goes on where it stopped only when somebody says so.
        yield from ("--restart", "no", "--stop-timeout", str(GRACE_SECONDS))
        if self._options.network:
            yield from ("--network", self._options.network)
        if job.cpus:
            yield from ("--cpus", str(job.cpus))
        if job.memory_bytes:
            yield from ("--memory", str(job.memory_bytes))
        for name in job.secrets:
            yield from ("-e", name)

    def _make_room(self, engine: Engine, name: str) -> None:
        """A run that is started again takes its own name; one that runs is left alone."""
        for status in _statuses(engine, [name]):
            if not status.state.is_over:
                raise UsageError(
                    f"the run {name} is {status.state}", next_step=f"uaitrain cancel {name}"
                )
            engine.answer("rm", "--volumes", name)


def options_from(values: Mapping[str, Any]) -> LocalOptions:
    """``values`` by their keys (``local.engine``, …). Raises UsageError."""
    engine = values["local.engine"]
    if engine not in ("", *PROGRAMS):
        raise UsageError(f"local.engine = {engine!r}", allowed=" or ".join(PROGRAMS))
    network = values["local.network"]
    if network.startswith("-") or not network.isprintable() or " " in network:
        raise UsageError(
            f"local.network = {network!r}", allowed="a network of the engine, such as host"
        )
    return LocalOptions(engine, network)


def _check(job: Job) -> None:
    if job.nodes != 1:
        raise UsageError(f"--nodes {job.nodes}", allowed="1: this machine is one")
    if job.seconds:
        raise UsageError(
            f"--time of {job.seconds} s: neither Docker nor Podman ends a run in time for a "
            "snapshot",
            next_step="leave it out here: --time 0",
        )
    for mount in job.mounts:
        if not Path(mount.source).is_absolute():
            raise UsageError(
                f"{mount.source!r} cannot be {mount.target} here",
                allowed="an absolute path of this machine, or a URI such as s3://bucket/prefix",
            )


def _prepare_folders(folders: Mapping[str, str], facts: LocalFacts) -> None:
    data = folders.get(DATA_DIR)
    if data and not Path(data).is_dir():
        raise StorageError(
            f"no such data folder: {data}", next_step="give --data, or put the data there"
        )
    # An engine would make it as root, and a run as the person could not write to it.
    if OUTPUT_DIR in folders:
        make_folder(Path(folders[OUTPUT_DIR]), facts)


def _parts(handle: str) -> tuple[str, str]:
    program, _, name = handle.partition("/")
    return program, name


def _inspected(engine: Engine, names: Sequence[str]) -> list[dict[str, Any]]:
    """Those of the containers that are there. Raises EngineError where nobody answers."""
    done = engine.ask("inspect", "--type", "container", *names)
    try:
        told = json.loads(done.stdout or "[]")
    except ValueError:
        told = None
    if not isinstance(told, list) or (done.returncode and not _says_missing(done.stderr)):
        raise failure(engine, "inspect", done.stderr)
    return told


def _says_missing(stderr: str) -> bool:
    lines = [line.lower() for line in stderr.splitlines() if line.strip()]
    return all("no such container" in line for line in lines)


def _statuses(engine: Engine, names: Sequence[str]) -> Iterator[Status]:
    for told in _inspected(engine, names) if names else ():
        name = told["Name"].lstrip("/")
        yield _status(f"{engine.program}/{name}", name, told["State"])


def _status(handle: str, run_id: str, told: Mapping[str, Any]) -> Status:
    started, ended = _seconds(told.get("StartedAt")), _seconds(told.get("FinishedAt"))
    if alive := _ALIVE.get(told["Status"]):
        return Status(handle, run_id, alive, started=started)
    code = int(told["ExitCode"])
    reason = "OutOfMemory" if told.get("OOMKilled") else str(told.get("Error") or "")
    if code == 0 and not reason:
        state = State.SUCCEEDED
    elif code == EXIT_TERMINATED:
        state = State.STOPPED
    else:
        state = State.FAILED
    return Status(handle, run_id, state, code, reason, started, ended)


def _seconds(text: str | None) -> float:
    """Unix seconds of an engine's RFC 3339 time; 0 where there is none."""
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, datetime.fromisoformat(str(text)).timestamp())
    return 0.0


def _log_lines(engine: Engine, name: str, *, follow: bool) -> Iterator[str]:
    """Line by line; what it prints on standard error is among it."""
    options = ("--follow",) if follow else ()
    with subprocess.Popen(
        engine.argv("logs", *options, name),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=engine.child_environment(),
    ) as process:
        assert process.stdout is not None
        try:
            for raw in process.stdout:
                yield from raw.decode(errors="replace").rstrip("\r\n").split("\r")
        finally:
            process.terminate()
