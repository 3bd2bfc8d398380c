"""Real Caffe, with Python 3 (pycaffe) and Python 2.7 (the caffe program), as a root folder.

It is bootstrapped once from Debian and kept in ``.state/test-cache``. Each run gets a mount
namespace of its own with the run's folder at ``/data``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uaitrain

_PACKAGES = "caffe,python3-caffe,python3-lmdb,libopenblas0-pthread,python2.7"
_SUITE = "bullseye"
_CACHE = Path(__file__).parents[4] / ".state" / "test-cache"
_TRAIN = Path(uaitrain.__file__).parent / "container" / "train.py"
_ENTER = (
    'mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && '
    'mount --rbind "$1" "$0/data" && user=$2 && root=$0 && shift 2 && '
    'exec chroot --userspec="$user" "$root" "$@"'
)
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "MPLBACKEND": "Agg",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
PATIENCE_SECONDS = 120


def caffe_root() -> Path:
    """The root folder; bootstrapped (about a minute) when it is not there yet."""
    name = hashlib.sha256(f"{_SUITE} {_PACKAGES}".encode()).hexdigest()[:12]
    root = _CACHE / f"caffe-root-{name}"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.is_dir():
            part = root.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            subprocess.run(
                [
                    "mmdebstrap",
                    "--variant=minbase",
                    f"--include={_PACKAGES}",
                    '--aptopt=Acquire::Check-Valid-Until "false"',
                    "--customize-hook=mkdir $1/data",
                    _SUITE,
                    str(part),
                ],
                check=True,
                capture_output=True,
            )
            part.rename(root)
    return root


@dataclass
class Box:
    """A container's ``/data`` on this machine, and the means to run in it."""

    root: Path
    data: Path
    python: str = "python3"
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.data / "output"

    def write(self, name: str, text: str) -> str:
        """A file in ``/data``; the path it has inside."""
        (self.data / name).write_text(text)
        return f"/data/{name}"

    def start(
        self,
        *argv: str,
        uid: int = 0,
        first: tuple[str, ...] = (),
        stdin: int = subprocess.DEVNULL,
        shown: str = "shown",
        stdout: int | None = None,
        stderr: int = subprocess.STDOUT,
        **environment: str,
    ) -> subprocess.Popen[bytes]:
        """Run ``argv`` inside as ``uid`` without a home; ``first`` goes before the program, what
        it writes goes to the file ``shown`` in ``/data``, or where ``stdout`` says."""
        namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
        enter = ["sh", "-c", _ENTER, str(self.root), str(self.data), f"+{uid}:+{uid}"]
        with (self.data / shown).open("wb") as output:
            process = subprocess.Popen(
                [*first, *namespace, *enter, *argv],
                stdout=output if stdout is None else stdout,
                stderr=stderr,
                stdin=stdin,
                env={**_ENVIRONMENT, **environment},
            )
        self.started.append(process)
        return process

    def train(self, *arguments: str, **options: object) -> subprocess.Popen[bytes]:
        program = (f"/usr/bin/{self.python}", "/data/train.py")
        return self.start(*program, *arguments, **options)  # type: ignore[arg-type]  # start's own

    def finish(self, *arguments: str, **options: object) -> int:
        """Train to the end; the exit code."""
        return self.train(*arguments, **options).wait(PATIENCE_SECONDS)

    @property
    def shown(self) -> str:
        return (self.data / "shown").read_text("utf-8", "replace")

    @property
    def failure(self) -> str:
        return (self.output / "failure").read_text()

    def wait_until(self, fact: Callable[[], bool], running: bool = True) -> None:
        """Until ``fact``; fails when the last process ends before it while it should run."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not fact():
            ended = running and self.started[-1].poll() is not None and not fact()
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"it never came true; the output:\n{self.shown}")
            time.sleep(0.02)

    def wait_for(self, text: str) -> None:
        """Until the output has ``text``."""
        self.wait_until(lambda: text in self.shown)


def worker_of(process: subprocess.Popen[bytes]) -> int:
    """The process id of the worker that train.py, ``process``, supervises."""
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


@contextmanager
def new_box(data: Path, python: str) -> Iterator[Box]:
    (data / "output").mkdir(parents=True)
    shutil.copy(_TRAIN, data / "train.py")
    box = Box(caffe_root(), data, python)
    try:
        yield box
    finally:
        for process in box.started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture(params=["python3", "python2.7"])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    """Real Caffe under each Python."""
    with new_box(tmp_path / "data", request.param) as new:
        yield new


@pytest.fixture
def box3(tmp_path: Path) -> Iterator[Box]:
    """Real Caffe under Python 3 alone."""
    with new_box(tmp_path / "data", "python3") as new:
        yield new
