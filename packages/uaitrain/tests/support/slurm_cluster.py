"""A real Slurm cluster on this machine: one slurmctld, two slurmd, a munged of their own.

Debian's packages (``slurmctld``, ``slurmd``, ``slurm-client``, ``munge``) are used with a
configuration in a temporary folder: nothing of the system's is touched. Both nodes are this
machine, with half of its cores each. Processes are tracked by their parents
(``proctrack/linuxproc``), as a container like this one lacks cgroups of its own. There is no
accounting database, so ``sacct`` answers that it is disabled, as on many small clusters.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

NODES = ("n1", "n2")
PATIENCE_SECONDS = 120
_PROGRAMS = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
}
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CONFIGURATION = """\
ClusterName=uaitrain
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
SlurmctldTimeout=10
SlurmdTimeout=5
InactiveLimit=0
MinJobAge=600
KillWait=10
BatchStartTimeout=60
MessageTimeout=30
ReturnToService=2
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port1} CPUs={cpus} RealMemory=2048
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={port2} CPUs={cpus} RealMemory=2048
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
PartitionName=second Nodes=n2 MaxTime=60 State=UP
"""


@dataclass
class RunningSlurm:
    """``folder`` is open to every user; ``shared`` in it plays the shared file system."""

    folder: Path
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a Slurm command needs to reach this cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    @property
    def shared(self) -> Path:
        return self.folder / "shared"

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One of Slurm's own commands, as root."""
        return subprocess.run(
            words, env=os.environ | self.environment, capture_output=True, text=True, check=False
        )

    def logs(self) -> str:
        """The ends of the daemons' logs, for a failed assertion."""
        texts = []
        for path in sorted((*self.folder.glob("*.log"), *self.folder.glob("*.out"))):
            texts.append(f"--- {path.name}\n" + path.read_text(errors="replace")[-3000:])
        return "\n".join(texts)

    def start_node(self, name: str) -> None:
        self.start(name, "slurmd", "-D", "-N", name)

    def start(self, name: str, *words: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                # Killed when the test process dies, however that ends.
                ["setpriv", "--pdeathsig", "KILL", *words],
                env={"PATH": _SYSTEM_PATH, "LANG": "C.UTF-8", **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def kill_node(self, name: str) -> None:
        """As if its power went: slurmd and everything that it started, without a word."""
        daemon = self.daemons.pop(name)
        everything = [daemon.pid, *self.steps_of(name)]
        for pid in list(everything):
            everything += descendants(pid)
        for pid in everything:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        daemon.wait()

    def steps_of(self, name: str) -> list[int]:
        """The slurmstepd processes of the node ``name``; they are no children of its slurmd."""
        spool = str(self.folder / name)
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (process / "cmdline").read_bytes()
                if not words.startswith(b"slurmstepd"):
                    continue
                opened = [str(link.readlink()) for link in (process / "fd").iterdir()]
                if any(target.startswith(spool) for target in opened) or name_of(process) == name:
                    found.append(int(process.name))
        return found

    def wait_until(self, fact: Callable[[], bool], what: str, seconds: float = 0) -> None:
        deadline = time.monotonic() + (seconds or PATIENCE_SECONDS)
        while not fact():
            assert time.monotonic() < deadline, f"never: {what}\n{self.logs()}"
            time.sleep(0.05)

    def hurry(self, job: str) -> None:
        """Let a requeued job begin now. Slurm would wait for two minutes; and for some seconds
        it must, because a node takes no job again in the second in which it gave it back."""
        time.sleep(2)
        self.ask("scontrol", "update", f"JobId={job}", "StartTime=now")

    def nodes_are_idle(self) -> bool:
        told = self.ask("sinfo", "--noheader", "--Node", "--format=%N %t").stdout.split("\n")
        return {line for line in told if line} == {f"{name} idle" for name in NODES}


def name_of(process: Path) -> str:
    """The node that a slurmstepd belongs to, by the variable that slurmd gives its children."""
    for entry in (process / "environ").read_bytes().split(b"\0"):
        if entry.startswith(b"SLURMD_NODENAME="):
            return entry.partition(b"=")[2].decode()
    return ""


def descendants(pid: int) -> list[int]:
    """Every process below ``pid`` that there is right now."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


@contextmanager
def running_slurm() -> Iterator[RunningSlurm]:
    """The cluster with idle nodes and no jobs, until the block ends; then nothing of it runs.

    Needs root. Raises AssertionError with what to install, or with the daemons' logs.
    """
    for program, package in _PROGRAMS.items():
        found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}")
        assert found, f"this test needs {program}: sudo apt-get install {package}"
    assert os.geteuid() == 0, "slurmd starts jobs as other users: run the tests as root"
    folder = Path(tempfile.mkdtemp(prefix="uaitrain-slurm-"))
    folder.chmod(0o755)
    running = RunningSlurm(folder)
    _prepare(folder)
    try:
        munge = folder / "munge"
        running.start(
            "munged",
            *("munged", "--foreground", "--key-file", str(munge / "key")),
            *("--socket", str(munge / "socket"), "--pid-file", str(munge / "pid")),
            *("--log-file", str(munge / "log"), "--seed-file", str(munge / "seed")),
        )
        running.wait_until(lambda: (munge / "socket").exists(), "munged listens")
        running.start("slurmctld", "slurmctld", "-D", "-i")
        for name in NODES:
            running.start_node(name)
        running.wait_until(running.nodes_are_idle, "both nodes are idle")
        yield running
    finally:
        _stop(running)
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(folder: Path) -> None:
    ports = _free_ports(3)
    host = socket.gethostname().partition(".")[0]
    values = {"port": ports[0], "port1": ports[1], "port2": ports[2], "host": host}
    cpus = os.cpu_count() or 1
    text = _CONFIGURATION.format(folder=folder, cpus=max(2, cpus), **values)
    (folder / "slurm.conf").write_text(text)
    for name in ("state", "munge", *NODES):
        (folder / name).mkdir()
    (folder / "munge").chmod(0o755)
    (folder / "munge" / "key").touch(0o600)
    (folder / "munge" / "key").write_bytes(os.urandom(128))
    (folder / "shared").mkdir()
    (folder / "shared").chmod(0o1777)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _stop(running: RunningSlurm) -> None:
    if "slurmctld" in running.daemons:
        running.ask("scancel", "--quiet", "--state=PENDING", "--user=root")
    for name in [name for name in NODES if name in running.daemons]:
        running.kill_node(name)
    for daemon in running.daemons.values():
        daemon.kill()
        daemon.wait()


@dataclass(frozen=True)
class User:
    """A normal user of the cluster; ``words`` make a command theirs."""

    name: str
    uid: int
    gid: int

    @property
    def words(self) -> tuple[str, ...]:
        ids = (f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups")
        return ("setpriv", *ids, "--")


@contextmanager
def normal_user(home: Path) -> Iterator[User]:
    """A user made for the time of the block, who owns ``home``."""
    for user in pwd.getpwall():
        # A session that was killed could not remove its user.
        owner = re.fullmatch(r"uaislurm-([0-9]+)-[0-9a-f]+", user.pw_name)
        if owner and not Path("/proc", owner[1]).exists():
            subprocess.run(["userdel", "--force", user.pw_name], check=True, capture_output=True)
    name = f"uaislurm-{os.getpid()}-{secrets.token_hex(2)}"
    subprocess.run(
        ["useradd", "--no-create-home", "--home-dir", str(home), name],
        check=True,
        capture_output=True,
    )
    try:
        user = pwd.getpwnam(name)
        os.chown(home, user.pw_uid, user.pw_gid)
        yield User(name, user.pw_uid, user.pw_gid)
    finally:
        subprocess.run(["userdel", "--force", name], check=True, capture_output=True)


@pytest.fixture(scope="session")
def slurm() -> Iterator[RunningSlurm]:
    """One cluster for all tests; a test that kills a node starts it again."""
    with running_slurm() as running:
        yield running


@pytest.fixture(scope="session")
def slurm_user(slurm: RunningSlurm) -> Iterator[User]:
    """A normal user, known to the cluster's nodes."""
    home = slurm.folder / "home"
    home.mkdir()
    with normal_user(home) as user:
        yield user
