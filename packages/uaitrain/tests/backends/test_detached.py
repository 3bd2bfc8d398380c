"""Runs in the background, in a real Docker and a real rootless Podman."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.engines import RunningDocker, RunningPodman
from support.tiny_image import with_code
from uaitrain import backends
from uaitrain.backends import Job, Mount, State, Status, detached
from uaitrain.backends.detached import LocalBackend, LocalOptions
from uaitrain.engines import Engine, store
from uaitrain.errors import EngineError, StorageError, UsageError
from uaitrain.oci.image import Image
from uaitrain.oci.reference import Reference
from uaitrain.progress import Silent
from uaitrain.sinks.engine import EngineSink

NAME = Reference("", "detached-cpu", "uaitrain")
WAITS = (
    "trap 'echo snapshot; touch /data/output/kept; exit 143' TERM; echo begun; "
    "while :; do sleep 0.1; done"
)
DEAF = "trap '' TERM; echo begun; while :; do sleep 0.1; done"


@pytest.fixture(params=["docker", "podman"])
def engine(request: pytest.FixtureRequest, tiny: Image) -> Engine:
    running = request.getfixturevalue(f"{request.param}_engine")
    assert isinstance(running, RunningDocker | RunningPodman)
    EngineSink(running.engine).put(with_code(tiny, "detached"), NAME, Silent())
    return running.engine


@pytest.fixture
def local(engine: Engine) -> Iterator[LocalBackend]:
    """Alone with its engine: what an earlier test left is gone."""
    found = LocalBackend(LocalOptions(engine.program), lambda program: engine)
    _clear(found, engine)
    yield found
    _clear(found, engine)


@pytest.fixture
def output(engine: Engine, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder that the engine's user may write to."""
    if engine.program == "docker":
        return tmp_path
    podman: RunningPodman = request.getfixturevalue("podman_engine")
    folder = podman.home / tmp_path.name
    folder.mkdir()
    os.chown(folder, podman.uid, podman.gid)
    return folder


def _clear(local: LocalBackend, engine: Engine) -> None:
    for left in local.list():
        engine.answer("rm", "--force", left.run_id)


def _job(run_id: str, line: str, **fields: object) -> Job:
    job = Job(str(NAME), ("/bin/sh", "-c", line), run_id=run_id)
    return Job(**{**vars(job), **fields})


def _start(local: LocalBackend, run_id: str, line: str, **fields: object) -> str:
    return local.submit(local.render(_job(run_id, line, **fields)))


def _wait(local: LocalBackend, handle: str, fact: Callable[[Status], bool]) -> Status:
    deadline = time.monotonic() + 60
    while not fact(status := local.status([handle])[handle]):
        assert time.monotonic() < deadline, status
        time.sleep(0.05)
    return status


@pytest.mark.parametrize(
    ("line", "state", "code"),
    [
        ("exit 0", State.SUCCEEDED, 0),
        ("exit 6", State.FAILED, 6),
        ("exit 143", State.STOPPED, 143),
        ("kill -KILL $$", State.FAILED, 137),
    ],
)
def test_an_exit_code_becomes_a_state(
    local: LocalBackend, line: str, state: State, code: int
) -> None:
    # A first process gets no signal from itself: its shell's child is killed instead.
    line = line.replace("kill -KILL $$", "sh -c 'kill -KILL $$'; exit $?")
    handle = _start(local, f"code-{code}", line)
    status = _wait(local, handle, lambda status: status.state.is_over)

    assert (status.state, status.exit_code, status.run_id) == (state, code, f"code-{code}")
    # A short run may be told to end before it began, by engines that ask two clocks.
    now = time.time()
    assert now - 60 < status.started < now + 1
    assert now - 60 < status.ended < now + 1


def test_the_log_comes_whole_and_line_by_line(local: LocalBackend) -> None:
    handle = _start(local, "talks", "echo one; echo two >&2; sleep 1; echo three")
    followed = list(local.logs(handle, follow=True))

    assert sorted(followed) == ["one", "three", "two"]
    assert followed[-1] == "three"
    assert sorted(local.logs(handle, follow=False)) == sorted(followed)
    local.cancel(handle)
    with pytest.raises(EngineError, match="has no container talks"):
        local.logs(handle, follow=False)


def test_a_cancelled_run_writes_its_snapshot_and_is_gone(
    local: LocalBackend, engine: Engine, output: Path
) -> None:
    handle = _start(local, "waits", WAITS, mounts=(Mount(str(output), "/data/output"),))
    lines = local.logs(handle, follow=True)
    assert next(lines) == "begun"
    local.cancel(handle)

    assert (output / "kept").exists()
    # Podman takes the log away together with the container.
    assert list(lines) in (["snapshot"], [])
    assert local.status([handle])[handle].state is State.UNKNOWN
    assert "waits" not in engine.answer("ps", "--all", "--format", "{{.Names}}").split()
    local.cancel(handle)


def test_a_run_that_does_not_listen_is_gone_too(
    local: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detached, "GRACE_SECONDS", 1)
    handle = _start(local, "deaf", DEAF)
    next(local.logs(handle, follow=True))
    local.cancel(handle)

    assert local.list() == ()


def test_runs_of_ours_are_listed_and_others_are_not(local: LocalBackend, engine: Engine) -> None:
    engine.answer("run", "--detach", "--name", "foreign", str(NAME), "/bin/sh", "-c", DEAF)
    handle = _start(local, "ours", WAITS)
    listed = local.list()
    engine.answer("rm", "--force", "foreign")

    assert [(each.run_id, each.state) for each in listed] == [("ours", State.RUNNING)]
    assert local.status([handle, f"{engine.program}/never"])[f"{engine.program}/never"].state is (
        State.UNKNOWN
    )
    local.cancel(handle)


def test_a_run_starts_again_under_its_name_when_it_is_over(local: LocalBackend) -> None:
    handle = _start(local, "again", WAITS)
    with pytest.raises(UsageError, match="the run again is running"):
        _start(local, "again", WAITS)
    local.cancel(handle)
    handle = _start(local, "again", "exit 143")
    _wait(local, handle, lambda status: status.state is State.STOPPED)
    handle = _start(local, "again", "echo second")

    assert list(local.logs(handle, follow=True)) == ["second"]
    local.cancel(handle)


def test_variables_secrets_and_shared_memory_arrive_and_the_value_is_not_in_the_request(
    local: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _job(
        "told",
        "echo $WORD ${#TOKEN}; busybox df -k /dev/shm",
        environment={"WORD": "a word"},
        secrets=("TOKEN",),
        shm_bytes=3 << 30,
    )
    request = local.render(job)
    with pytest.raises(UsageError, match="TOKEN is not set"):
        local.submit(request)
    monkeypatch.setenv("TOKEN", "correct-horse")
    handle = local.submit(request)
    said = list(local.logs(handle, follow=True))

    assert said[0] == "a word 13"
    assert said[-1].split()[1] == str(3 << 20)
    assert "correct-horse" not in request.show() + repr(request.to_json())
    local.cancel(handle)


def test_an_image_is_run_by_its_id_and_its_memory_has_a_limit(
    docker_engine: RunningDocker, local: LocalBackend, engine: Engine
) -> None:
    stored = store.find(engine, NAME)
    assert stored is not None
    eats = "busybox dd if=/dev/zero of=/dev/null bs=200M count=1"
    limit = {"memory_bytes": 32 << 20} if engine.program == "docker" else {}
    handle = _start(local, "eats", eats, image=stored.identifier, **limit)
    status = _wait(local, handle, lambda status: status.state.is_over)

    # Rootless Podman can limit memory only where systemd lets it.
    ended = (State.FAILED, 137, "OutOfMemory") if limit else (State.SUCCEEDED, 0, "")
    assert (status.state, status.exit_code, status.reason) == ended


def test_results_are_the_users_and_a_missing_data_folder_is_told(
    podman_engine: RunningPodman, tiny: Image
) -> None:
    engine = podman_engine.engine
    EngineSink(engine).put(with_code(tiny, "detached"), NAME, Silent())
    local = LocalBackend(LocalOptions("podman"), lambda program: engine)
    output = podman_engine.home / "results"
    output.mkdir()
    os.chown(output, podman_engine.uid, podman_engine.gid)
    handle = _start(
        *(local, "writes", "echo here >/data/output/result"),
        mounts=(Mount(str(output), "/data/output"),),
    )
    _wait(local, handle, lambda status: status.state is State.SUCCEEDED)

    assert (output / "result").stat().st_uid == podman_engine.uid
    local.cancel(handle)
    with pytest.raises(StorageError, match="no such data folder: /not/there"):
        _start(local, "reads", "exit 0", mounts=(Mount("/not/there", "/data/data"),))


def test_the_command_is_exactly_this(docker_engine: RunningDocker) -> None:
    engine = docker_engine.engine
    local = LocalBackend(LocalOptions("docker", "host"), lambda program: engine)
    request = local.render(
        _job(
            *("mnist-1", "exit 0"),
            mounts=(Mount("/in", "/data/data"), Mount("/out", "/data/output")),
            environment={"UAITRAIN_RUN_ID": "mnist-1"},
            secrets=("TOKEN",),
            gpus=1,
            shm_bytes=1 << 30,
            cpus=4,
            memory_bytes=1 << 34,
            user="1000:1000",
        )
    )

    assert request.show() == (
        "docker run --detach --name mnist-1 --label dev.uaitrain.run-id=mnist-1 --restart no "
        "--stop-timeout 120 --network host --cpus 4 --memory 17179869184 -e TOKEN --gpus all "
        "--user 1000:1000 --shm-size 1073741824 -e UAITRAIN_RUN_ID=mnist-1 -v /in:/data/data "
        "-v /out:/data/output detached-cpu:uaitrain /bin/sh -c 'exit 0'\n"
    )
    assert request.handle == "docker/mnist-1"


def test_sudo_lets_the_secrets_through_and_no_more() -> None:
    engine = Engine("docker", ("sudo", "docker"))
    local = LocalBackend(LocalOptions("docker"), lambda program: engine)
    argv = local.render(_job("mnist-1", "exit 0", secrets=("A", "B"))).argv

    assert argv[:4] == ("sudo", "--preserve-env=A,B", "docker", "run")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"nodes": 2}, "--nodes 2"),
        ({"seconds": 60}, "--time of 60 s"),
        ({"mounts": (Mount("claim:data", "/data/data"),)}, "'claim:data' cannot be /data/data"),
    ],
)
def test_what_an_engine_cannot_do_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        LocalBackend(LocalOptions()).render(_job("mnist-1", "exit 0", **fields))


def test_no_engine_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    local = backends.connect("local", {"local.engine": "docker", "local.network": ""})
    with pytest.raises(EngineError, match="no container engine can be used"):
        local.status(["docker/mnist-1"])


@pytest.mark.parametrize(
    "options",
    [
        {"local.engine": "rkt", "local.network": ""},
        {"local.engine": "", "local.network": "--privileged"},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="local\\."):
        backends.connect("local", options)
