"""A real Docker engine and a real rootless Podman, private to one test session."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from uaitrain.engines import Engine

_ROOT: list[str] = [] if os.geteuid() == 0 else ["sudo", "-n"]
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class RunningDocker:
    """``host`` is what belongs into ``DOCKER_HOST``; ``data`` is where the images lie."""

    host: str
    data: Path
    log: Path

    @property
    def engine(self) -> Engine:
        return Engine("docker", ("docker",), {"DOCKER_HOST": self.host})


@contextmanager
def running_docker(storage: Path | None = None, *, keep: bool = False) -> Iterator[RunningDocker]:
    """A Docker engine with no images, on a socket of its own, until the block ends.

    ``storage`` says where its images go (a folder that exists), else a new folder under the
    system's temporary one; ``keep`` leaves them there for the next time. The engine has no
    network of its own: containers get none. Raises AssertionError with what to install, or with
    the engine's log.
    """
    _must_have("dockerd", "docker.io")
    _must_have("docker", "docker.io")
    _must_have("setpriv", "util-linux")
    # A socket's path may not be longer than 107 bytes: not under pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="uaitrain-docker-"))
    running = RunningDocker(
        f"unix://{folder}/docker.sock", (storage or folder) / "data", folder / "log"
    )
    with running.log.open("wb") as log:
        process = subprocess.Popen(
            # Told to stop when the test process dies, however that ends.
            [
                *_ROOT,
                *("setpriv", "--pdeathsig", "TERM", "dockerd"),
                *("--host", running.host, "--group", str(os.getgid())),
                *("--data-root", str(running.data), "--exec-root", str(folder / "exec")),
                *("--pidfile", str(folder / "pid"), "--bridge=none", "--iptables=false"),
            ],
            env=os.environ | {"PATH": _SYSTEM_PATH},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_it_answers(running, process)
        yield running
    finally:
        _remove_containers(running.engine)
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _unmount_below(folder, running.data)
        gone = [str(folder)] if keep and storage else [str(folder), str(running.data)]
        subprocess.run([*_ROOT, "rm", "-rf", *gone], check=True)


def _unmount_below(*folders: Path) -> None:
    """What dockerd leaves mounted: a shared network's name, and in a chroot its data folder."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in sorted(mounted, key=len, reverse=True):
        if any(Path(point).is_relative_to(folder) for folder in folders):
            subprocess.run([*_ROOT, "umount", point], check=True, capture_output=True)


def _wait_until_it_answers(running: RunningDocker, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while running.engine.ask("version", "--format", "{{.Server.Version}}").returncode:
        text = running.log.read_text(errors="replace")
        assert process.poll() is None, f"dockerd does not start:\n{text}"
        assert time.monotonic() < deadline, f"dockerd does not answer:\n{text}"
        time.sleep(0.05)


def _remove_containers(engine: Engine) -> None:
    if names := engine.ask("ps", "--all", "--quiet").stdout.split():
        engine.ask("rm", "--force", "--volumes", *names)


@dataclass(frozen=True)
class RunningPodman:
    """Rootless Podman of the user ``uid``:``gid``, who can write below ``home``."""

    engine: Engine
    home: Path
    uid: int
    gid: int


@contextmanager
def running_podman() -> Iterator[RunningPodman]:
    """Podman with an empty store, run as a normal user, until the block ends.

    Root makes such a user for the time of the block. Raises AssertionError with what to install.
    """
    _must_have("podman", "podman")
    _must_have("newuidmap", "uidmap")
    _must_have("runc", "runc")
    home = Path(tempfile.mkdtemp(prefix="uaitrain-podman-"))
    made = _make_user(home) if os.geteuid() == 0 else ""
    try:
        user = pwd.getpwnam(made) if made else pwd.getpwuid(os.getuid())
        yield _configured(home, user, bool(made))
    finally:
        if made:
            _remove_user(made, home)
        else:
            _stop_pause_process(home)
            subprocess.run(["podman", "unshare", "rm", "-rf", str(home)], check=True)


def _make_user(home: Path) -> str:
    _must_have("useradd", "passwd")
    for user in pwd.getpwall():
        # A session that was killed could not remove its user.
        owner = re.fullmatch(r"uaitrain-([0-9]+)", user.pw_name)
        if owner and not Path("/proc", owner[1]).exists():
            _remove_user(user.pw_name, Path(user.pw_dir))
    name = f"uaitrain-{os.getpid()}"
    subprocess.run(
        ["useradd", "--no-create-home", "--home-dir", str(home), name],
        check=True,
        capture_output=True,
    )
    return name


def _remove_user(name: str, home: Path) -> None:
    _stop_pause_process(home)
    subprocess.run(["userdel", "--force", name], check=True, capture_output=True)
    shutil.rmtree(home, ignore_errors=True)


def _configured(home: Path, user: pwd.struct_passwd, other: bool) -> RunningPodman:
    settings = home / ".config" / "containers"
    settings.mkdir(parents=True)
    # Neither a network device nor limits above this machine's are needed to run a test.
    (settings / "containers.conf").write_text(
        '[containers]\nnetns = "host"\ndefault_ulimits = []\n'
        '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\n'
    )
    (settings / "storage.conf").write_text('[storage]\ndriver = "overlay"\n')
    (home / "run").mkdir(mode=0o700)
    home.chmod(0o755)
    for path in [home, *home.rglob("*")]:
        os.chown(path, user.pw_uid, user.pw_gid)
    environment = {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "PATH": _SYSTEM_PATH,
    }
    # Podman needs a working directory that its user may enter.
    words = ["env", "--chdir", str(home), *(f"{k}={v}" for k, v in environment.items())]
    if other:
        ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]
        words = ["setpriv", *ids, *words]
    return RunningPodman(
        Engine("podman", (*words, "podman"), environment), home, user.pw_uid, user.pw_gid
    )


def _stop_pause_process(home: Path) -> None:
    """Rootless Podman keeps one process to hold its user namespace open."""
    for file in (home / "run").rglob("pause.pid"):
        with suppress(ProcessLookupError, ValueError):
            os.kill(int(file.read_text()), signal.SIGKILL)


def _must_have(program: str, package: str) -> None:
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}")
    assert found, f"this test needs {program}: sudo apt-get install {package}"


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[RunningDocker]:
    """One Docker engine for all tests; each uses image names of its own."""
    with running_docker() as running:
        yield running


@pytest.fixture(scope="session")
def podman_engine() -> Iterator[RunningPodman]:
    """One rootless Podman for all tests; each uses image names of its own."""
    with running_podman() as running:
        yield running
