"""Runs on a Slurm cluster, by the programs of this machine and the folder that its nodes share."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from uaitrain import atomic
from uaitrain.backends import Job, State, Status
from uaitrain.backends.slurm import images, states, tools
from uaitrain.backends.slurm.follow import follow_logs
from uaitrain.backends.slurm.options import SlurmOptions
from uaitrain.backends.slurm.render import Places, render
from uaitrain.backends.slurm.request import SBATCH, SlurmRequest
from uaitrain.backends.slurm.states import Task
from uaitrain.bundles.store import Bundles
from uaitrain.errors import BackendError, UsageError
from uaitrain.progress import Progress, Silent
from uaitrain.values import dataclass

_POLL_SECONDS = 1.0
_REPEAT_SECONDS = 5.0
"""A script that is only just being started does not get a signal."""
_KILL_SECONDS = 180
"""What Slurm gets to end a job by force; its own KillWait is 30 s unless somebody changed it."""


@dataclass(frozen=True)
class Record:
    """What ``submit`` wrote about a Slurm job: Slurm forgets it some minutes after its end."""

    handle: str
    run_id: str
    array: bool
    submitted: float


class SlurmBackend:
    """See :class:`uaitrain.backends.Backend`. ``progress`` shows the unpacking of an image."""

    def __init__(self, options: SlurmOptions, progress: Progress | None = None) -> None:
        self.options = options
        self.progress: Progress = progress or Silent()
        self._places = Places(options.folder)

    def render(self, job: Job) -> SlurmRequest:
        return render(job, self.options)

    def submit(self, request: SlurmRequest) -> str:
        values = {name: os.environ.get(name) for name in request.secrets}
        if missing := [name for name, value in values.items() if value is None]:
            raise UsageError(
                f"the secret {missing[0]} is not set here", next_step=f"export {missing[0]}=…"
            )
        digest = request.image.digest
        assert digest is not None, "render judges it"
        bundles = Bundles(self._places.bundles)
        if not bundles.has(digest):
            image = images.find(request.image, self.options.layout)
            bundles.unpack(image, digest, str(request.image), self.progress)
        folder = self._places.run(request.run_id)
        self._prepare(folder)
        if values:
            lines = [f"export {name}={shlex.quote(str(value))}\n" for name, value in values.items()]
            atomic.write_bytes(folder / "secrets", "".join(lines).encode(), 0o600)
        try:
            told = tools.call(*SBATCH, text=request.script, without=request.secrets)
        except BackendError:
            _remove(folder / "secrets")
            raise
        handle = told.strip().partition(";")[0]
        if not handle.isdigit():
            raise BackendError(f"sbatch told no job number: {told[:200]!r}")
        self._write_record(handle, request.run_id, bool(self.options.array))
        return handle

    def status(self, handles: Sequence[str]) -> Mapping[str, Status]:
        records = {handle: self._record(handle) for handle in handles}
        found = self._tasks(handles)
        result = {}
        for handle, record in records.items():
            tasks = [self._judged(task, record) for task in found.get(handle, ())]
            if not tasks and record:
                tasks = list(self._from_files(record))
            status = states.together(handle, record.run_id if record else "", tasks)
            if record and status.state.is_over:
                _remove(self._places.run(record.run_id) / "secrets")
            result[handle] = status
        return result

    def logs(self, handle: str, *, follow: bool) -> Iterator[str]:
        record = self._record(handle)
        if record is None:
            raise BackendError(
                f"{self.options.folder} knows no job {handle!r}",
                next_step="uaitrain runs lists the runs; slurm.folder is where they were written",
            )
        folder = self._places.run(record.run_id)
        yield from follow_logs(folder, lambda: self._is_over(handle), follow)

    def cancel(self, handle: str) -> None:
        if self._is_over(handle):
            self.status([handle])
            return
        if not self._ends_within(handle, self.options.grace, self._ask_to_stop):
            tools.call("scancel", "--quiet", handle)
            if not self._ends_within(handle, _KILL_SECONDS):
                raise BackendError(
                    f"Slurm could not end the job {handle} within {_KILL_SECONDS} s",
                    next_step=f"scontrol show job {handle} says on which nodes it hangs",
                )
        self.status([handle])

    def list(self) -> tuple[Status, ...]:
        self._adopt()
        try:
            files = sorted(self._places.job("0").parent.glob("*.json"))
        except OSError:
            files = []
        records = [record for file in files if (record := self._record(file.stem))]
        # A run that was started again has a job for each start; the newest one counts.
        records.sort(key=lambda record: record.submitted)
        newest = {record.run_id: record.handle for record in records}
        handles = [record.handle for record in records if newest[record.run_id] == record.handle]
        known = self.status(handles) if handles else {}
        return tuple(known[handle] for handle in reversed(handles))

    def _adopt(self) -> None:
        """Write down jobs of ours that Slurm has and the folder does not: their ``submit`` was
        killed before it could."""
        queue = tools.call(*states.SQUEUE, f"--user={os.geteuid()}")
        for task in states.parse_squeue(queue):
            known = self._record(task.job) is not None
            if task.run_id and not known and self._places.run(task.run_id).is_dir():
                self._write_record(task.job, task.run_id, bool(task.number))

    def _write_record(self, handle: str, run_id: str, array: bool) -> None:
        record = {"run_id": run_id, "array": array, "submitted": time.time()}
        atomic.write_bytes(self._places.job(handle), json.dumps(record).encode())

    def _prepare(self, folder: Path) -> None:
        """The run's folder, for its owner alone, without what an earlier start left."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._places.job("0").parent.mkdir(parents=True, exist_ok=True)
            for left in folder.rglob("exit"):
                left.unlink()
        except OSError as error:
            raise atomic.storage_error(error, folder) from None

    def _record(self, handle: str) -> Record | None:
        try:
            value: Any = json.loads(self._places.job(handle).read_text(encoding="utf-8"))
            return Record(handle, value["run_id"], value["array"], value["submitted"])
        except (OSError, ValueError, KeyError):
            return None

    def _tasks(self, handles: Iterable[str]) -> Mapping[str, Sequence[Task]]:
        """What Slurm knows of the jobs: its queue, and its accounting for what left the queue."""
        wanted = [handle for handle in handles if handle.isdigit()]
        found: dict[str, list[Task]] = {}
        if not wanted:
            return found
        queue = tools.attempt(*states.SQUEUE, f"--jobs={','.join(wanted)}")
        if queue.returncode and "Invalid job id" not in queue.stderr:
            # Says why in the words of the error that it raises.
            tools.call(*states.SQUEUE, f"--jobs={','.join(wanted)}")
        for task in states.parse_squeue(queue.stdout):
            found.setdefault(task.job, []).append(task)
        if gone := [handle for handle in wanted if handle not in found]:
            # Many clusters keep no accounts; then the run's own files have to do.
            with contextlib.suppress(BackendError):
                told = tools.attempt(*states.SACCT, f"--jobs={','.join(gone)}")
                for task in states.parse_sacct(told.stdout if told.returncode == 0 else ""):
                    found.setdefault(task.job, []).append(task)
        return found

    def _judged(self, task: Task, record: Record | None) -> Task:
        code = _exit_code(self._places.run(record.run_id) / task.number) if record else None
        return states.with_exit_code(task, code)

    def _from_files(self, record: Record) -> Iterator[Task]:
        folder = self._places.run(record.run_id)
        for file in sorted(folder.glob("*/exit" if record.array else "exit")):
            number = file.parent.name if record.array else ""
            task = Task(record.handle, number, State.UNKNOWN, "", run_id=record.run_id)
            yield states.with_exit_code(task, _exit_code(file.parent))

    def _is_over(self, handle: str) -> bool:
        """UNKNOWN is over, too: what Slurm has forgotten does not run."""
        status = self.status([handle])[handle]
        return status.state.is_over or status.state is State.UNKNOWN

    def _ends_within(
        self, handle: str, seconds: float, ask: Callable[[str], None] | None = None
    ) -> bool:
        """Whether it is over in time; ``ask`` is called at once and then again and again."""
        began = asked = time.monotonic()
        if ask:
            ask(handle)
        while not self._is_over(handle):
            now = time.monotonic()
            if now - began > seconds:
                return False
            if ask and now - asked > _REPEAT_SECONDS:
                asked = now
                ask(handle)
            time.sleep(_POLL_SECONDS)
        return True

    def _ask_to_stop(self, handle: str) -> None:
        # Neither has a task to find where all wait or all run, and Slurm calls that an error.
        tools.attempt("scancel", "--quiet", "--state=PENDING", handle)
        tools.attempt("scancel", "--quiet", "--batch", "--signal=TERM", handle)


def _exit_code(folder: Path) -> int | None:
    try:
        return int((folder / "exit").read_text())
    except (OSError, ValueError):
        return None


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
