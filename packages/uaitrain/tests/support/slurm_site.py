"""A cluster, an image that its nodes can run, and backends that speak to it."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from uaitrain.backends import Job, Mount, State, Status, connect
from uaitrain.backends.slurm.backend import SlurmBackend
from uaitrain.oci.image import History, Image
from uaitrain.oci.layout import Layout
from uaitrain.ship_settings import table

from support.slurm_cluster import RunningSlurm, User
from support.tiny_image import layer_of

MORE_APPLETS = ("date", "df", "env", "head", "mount", "readlink", "rm", "sort", "stat")


def slurm_options(**given: Any) -> dict[str, Any]:
    """The table ``[slurm]`` with its defaults and what is given."""
    options = {setting.key: setting.default for setting in table("slurm")}
    return options | {f"slurm.{key}": value for key, value in given.items()}


@dataclass
class Site:
    """A shared folder of one test, with an image named ``image`` in a layout."""

    cluster: RunningSlurm
    folder: Path
    layout: Path
    image: str
    handles: list[str] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def backend(self, **options: Any) -> SlurmBackend:
        """The settings beside ``folder`` and ``layout``."""
        given = {"folder": str(self.folder / "slurm"), "layout": str(self.layout)} | options
        backend = connect("slurm", slurm_options(**given))
        assert isinstance(backend, SlurmBackend)
        return backend

    def job(self, *argv: str, run_id: str = "test-run", **more: Any) -> Job:
        mounts = (Mount(str(self.output), "/data/output"),)
        return Job(**{"image": self.image, "argv": argv, "mounts": mounts, "run_id": run_id} | more)

    def script(self, text: str, **more: Any) -> Job:
        """A job that is a shell script."""
        return self.job("/bin/sh", "-c", text, **more)

    def submit(self, job: Job, **options: Any) -> tuple[SlurmBackend, str]:
        backend = self.backend(**options)
        handle = backend.submit(backend.render(job))
        self.handles.append(handle)
        return backend, handle

    def finish(self, job: Job, **options: Any) -> tuple[Status, list[str]]:
        """Run ``job`` to its end: its status and its log."""
        backend, handle = self.submit(job, **options)
        status = self.wait_until_over(backend, handle)
        return status, list(backend.logs(handle, follow=False))

    def wait_for(self, path: Path) -> None:
        self.cluster.wait_until(path.exists, f"{path} appears\n{self.log()}")

    def wait_until_over(self, backend: SlurmBackend, handle: str) -> Status:
        """Slurm lets a requeued job wait for two minutes; here it may start at once."""

        def over() -> bool:
            status = backend.status([handle])[handle]
            if status.state is State.QUEUED and status.reason == "BeginTime":
                self.cluster.hurry(handle)
            return status.state.is_over

        self.cluster.wait_until(over, f"{handle} is over")
        return backend.status([handle])[handle]

    def log(self) -> str:
        logs = sorted((self.folder / "slurm" / "runs").rglob("log*"))
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')}" for path in logs)


def shell_image(tiny: Image) -> Image:
    """busybox with the commands that the tests' scripts use."""
    links = {f"bin/{name}": "busybox" for name in MORE_APPLETS}
    return tiny.append([layer_of({}, links)], [History("more commands")]).configure(
        working_dir="/data", environment={"FROM_IMAGE": "yes"}
    )


@pytest.fixture
def site(
    slurm: RunningSlurm,
    tiny: Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    for key, value in slurm.environment.items():
        monkeypatch.setenv(key, value)
    folder = slurm.shared / tmp_path.name
    folder.mkdir()
    folder.chmod(0o777)
    descriptor = Layout(folder / "layout").put(shell_image(tiny), "shell:v1")
    place = Site(slurm, folder, folder / "layout", f"shell:v1@{descriptor.digest}")
    yield place
    for handle in place.handles:
        slurm.ask("scancel", "--quiet", handle)
    slurm.wait_until(lambda: not running_jobs(slurm), "all jobs are gone")
    shutil.rmtree(folder, ignore_errors=True)


def running_jobs(cluster: RunningSlurm) -> str:
    return cluster.ask("squeue", "--noheader").stdout


def as_user(user: User, work: Callable[[], Any], environment: Mapping[str, str]) -> Any:
    """What ``work`` gives when ``user`` does it, in a process of their own."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def child() -> None:
        os.setgroups([])
        os.setgid(user.gid)
        os.setuid(user.uid)
        os.environ.update(environment)
        try:
            theirs.send((work(), ""))
        except BaseException:  # noqa: BLE001 told to the test
            theirs.send((None, traceback.format_exc()))

    process = context.Process(target=child)
    process.start()
    result, error = ours.recv()
    process.join()
    assert not error, error
    return result


def processes_with(mark: str) -> list[str]:
    """The command lines of processes of this machine that have ``mark`` in them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if mark in line and int(process.name) != os.getpid():
                found.append(line)
    return found
