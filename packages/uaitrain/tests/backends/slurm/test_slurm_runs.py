"""Runs on a real cluster of two nodes, by runtimes that this machine really has."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support.registry import RunningRegistry
from support.slurm_cluster import User
from support.slurm_site import Site, as_user, processes_with, shell_image
from uaitrain.backends import Job, Mount, State
from uaitrain.errors import BackendError, DigestError, NotFoundError, UsageError
from uaitrain.oci.image import Image
from uaitrain.oci.reference import Reference
from uaitrain.progress import Silent
from uaitrain.sinks.registry import RegistrySink

CONTRACT = """\
echo "uid=$(id -u) pid=$$ cwd=$(pwd) image=$FROM_IMAGE job=$FROM_JOB run=$UAITRAIN_RUN_ID"
ls /run/uaitrain
echo "nodes=$UAITRAIN_NODES rank=$UAITRAIN_RANK secret=$TOKEN"
df -m /dev/shm
cat /data/data/input
echo made > /data/output/made
echo scratch > /tmp/scratch && echo tmp is writable
touch /data/data/x 2>/dev/null || echo data is read-only
exit 7
"""
STOPPABLE = """\
asked=; trap 'asked=1' TERM
sleep 86399.{mark} &
echo started > /data/output/started
while [ -z "$asked" ]; do sleep 0.1; done
echo snapshot > /data/output/snapshot
exit 143
"""


def contract_job(site: Site) -> Job:
    data = site.folder / "data"
    data.mkdir(exist_ok=True)
    (data / "input").write_text("the input\n")
    mounts = (
        Mount(str(data), "/data/data", read_only=True),
        Mount(str(site.output), "/data/output"),
    )
    return site.script(
        CONTRACT,
        mounts=mounts,
        environment={"FROM_JOB": "it's $HOME"},
        secrets=("TOKEN",),
        shm_bytes=64 << 20,
    )


def check_contract(lines: list[str]) -> None:
    said = "\n".join(lines)
    assert "uid=0 pid=1 cwd=/data image=yes job=it's $HOME run=test-run" in said
    assert "nodes=1 rank=0 secret=hush 'hush'" in said
    assert re.search(r"\n(tmpfs|shm) +64 ", said), said
    assert "secrets" not in lines, "the node's copy is gone by then"
    for fact in ("the input", "tmp is writable", "data is read-only"):
        assert fact in said


@pytest.mark.parametrize("runtime", ["unshare", "runc"])
def test_root_runs_an_image_by_the_contract(
    site: Site, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hush 'hush'")
    status, lines = site.finish(contract_job(site), runtime=runtime)

    check_contract(lines)
    assert (status.state, status.exit_code) == (State.FAILED, 7)
    assert status.ended >= status.started > 0
    assert (site.output / "made").read_text() == "made\n"


@pytest.mark.parametrize("runtime", ["unshare", "runc", "podman"])
def test_a_users_results_belong_to_the_user(site: Site, slurm_user: User, runtime: str) -> None:
    settings = site.cluster.folder / "home" / ".config" / "containers"
    if not settings.exists():
        settings.mkdir(parents=True)
        # Neither limits above this machine's nor its half-made cgroups are of use to Podman.
        (settings / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = []\n[engine]\nruntime = "runc"\n'
        )
        subprocess.run(["chown", "-R", f"{slurm_user.uid}", settings.parent], check=True)
    job = contract_job(site)
    status, lines = as_user(
        slurm_user, lambda: site.finish(job, runtime=runtime), {"TOKEN": "hush 'hush'"}
    )

    check_contract(lines)
    assert (status.state, status.exit_code) == (State.FAILED, 7)
    assert (site.output / "made").stat().st_uid == slurm_user.uid


def test_the_node_itself_chooses_what_works_there(site: Site) -> None:
    status, lines = site.finish(site.script("true"))

    assert status.state is State.SUCCEEDED
    assert "by unshare" in lines[0]


def test_a_node_without_the_runtime_says_so(site: Site) -> None:
    status, lines = site.finish(site.script("true"), runtime="apptainer")

    assert (status.state, status.exit_code) == (State.FAILED, 69)
    assert "looked for: apptainer" in lines[-1]


def test_a_folder_that_the_node_does_not_have_ends_the_run(site: Site) -> None:
    missing = Mount(str(site.folder / "nowhere"), "/data/data")
    status, lines = site.finish(replace(site.script("true"), mounts=(missing,)))

    assert status.exit_code == 66
    assert f"there is no {missing.source} on the node n1" in lines[-1]


def test_secrets_show_up_nowhere(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "x4-hush-7q")
    monkeypatch.setenv("SBATCH_EXPORT", "ALL")
    wait = "until [ -e /data/output/go ]; do sleep 0.1; done; [ ${#TOKEN} = 10 ]"
    backend, handle = site.submit(site.script(f"touch /data/output/up; {wait}", secrets=("TOKEN",)))
    site.wait_for(site.output / "up")
    shown = [
        site.cluster.ask(*words.split()).stdout
        for words in (
            f"scontrol show job -dd {handle}",
            f"scontrol write batch_script {handle} -",
            f"squeue --json --job {handle}",
        )
    ]
    kept = [
        path.read_bytes()
        for folder in (site.cluster.folder / "state", site.cluster.folder / "n1")
        for path in folder.rglob("*")
        if path.is_file()
    ]
    secrets = backend.options.folder / "runs" / "test-run" / "secrets"
    running = processes_with("x4-hush-7q")
    mode = secrets.stat().st_mode & 0o777
    (site.output / "go").touch()

    assert site.wait_until_over(backend, handle).state is State.SUCCEEDED
    assert [text for text in shown if "x4-hush-7q" in text] == []
    assert [len(data) for data in kept if b"x4-hush-7q" in data] == []
    assert running == []
    assert mode == 0o600
    assert not secrets.exists(), "it goes with the run"


def test_a_secret_that_is_not_set_is_missed_before_anything_happens(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOKEN", raising=False)

    with pytest.raises(UsageError, match="TOKEN"):
        site.submit(site.script("true", secrets=("TOKEN",)))


def test_cancel_waits_for_the_snapshot_and_leaves_no_process(site: Site) -> None:
    backend, handle = site.submit(site.script(STOPPABLE.format(mark=1)))
    site.wait_for(site.output / "started")
    assert processes_with("86399.1")
    backend.cancel(handle)

    status = backend.status([handle])[handle]
    assert (status.state, status.exit_code) == (State.STOPPED, 143)
    assert (site.output / "snapshot").exists()
    assert processes_with("86399.1") == []


@pytest.mark.parametrize("runtime", ["unshare", "runc"])
def test_slurms_own_cancel_is_a_request_to_stop_as_well(site: Site, runtime: str) -> None:
    """``scancel`` without an option sends SIGTERM to every process of the job at once."""
    backend, handle = site.submit(site.script(STOPPABLE.format(mark=2)), runtime=runtime)
    site.wait_for(site.output / "started")
    site.cluster.ask("scancel", handle)

    status = site.wait_until_over(backend, handle)
    assert (status.state, status.exit_code) == (State.STOPPED, 143)
    assert (site.output / "snapshot").exists()
    assert processes_with("86399.2") == []


def test_what_does_not_listen_is_killed_after_its_grace(site: Site) -> None:
    deaf = "trap '' TERM; touch /data/output/started; sleep 86399.3"
    backend, handle = site.submit(site.script(deaf), grace=1)
    site.wait_for(site.output / "started")
    backend.cancel(handle)

    assert backend.status([handle])[handle].state is State.CANCELLED
    assert processes_with("86399.3") == []


def test_a_run_that_waits_is_cancelled_before_it_begins(site: Site) -> None:
    backend, handle = site.submit(site.script("true"), options=["--begin=now+1hour"])
    waiting = backend.status([handle])[handle]
    backend.cancel(handle)

    assert (waiting.state, waiting.reason) == (State.QUEUED, "BeginTime")
    assert backend.status([handle])[handle].state is State.CANCELLED


def test_the_time_limit_is_told_before_it_strikes(site: Site) -> None:
    """The limit is a minute, the grace almost as long: so the signal comes soon."""
    status, _ = site.finish(site.script(STOPPABLE.format(mark=4), seconds=60), grace=55)

    assert (status.state, status.exit_code) == (State.STOPPED, 143)
    assert (site.output / "snapshot").exists()


ATTEMPTS = """\
echo "$UAITRAIN_RUN_ID" >> /data/output/attempts
asked=; trap 'asked=1' TERM
if [ -e /data/output/first ]; then exit 0; fi
sleep 86399.5 &
touch /data/output/first
while [ -z "$asked" ]; do sleep 0.1; done
exit 143
"""


def test_a_requeued_run_goes_on_under_the_same_id(site: Site) -> None:
    backend, handle = site.submit(site.script(ATTEMPTS))
    site.wait_for(site.output / "first")
    assert site.cluster.ask("scontrol", "requeue", handle).returncode == 0

    status = site.wait_until_over(backend, handle)
    assert (status.state, status.exit_code) == (State.SUCCEEDED, 0)
    assert (site.output / "attempts").read_text().split() == ["test-run", "test-run"]
    log = list(backend.logs(handle, follow=False))
    assert sum("attempt" in line for line in log) == 2, "one log for both"
    assert processes_with("86399.5") == []


def test_a_run_that_is_killed_from_outside_is_tried_again(site: Site) -> None:
    backend, handle = site.submit(site.script(ATTEMPTS))
    site.wait_for(site.output / "first")
    inside = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.read_bytes().startswith(b"/bin/sh\0-c\0echo")
    ]
    for pid in inside:
        os.kill(pid, signal.SIGKILL)

    status = site.wait_until_over(backend, handle)
    assert inside
    assert status.state is State.SUCCEEDED
    assert "it goes on in a new attempt" in "\n".join(backend.logs(handle, follow=False))


def test_it_is_not_tried_more_often_than_it_may(site: Site) -> None:
    status, lines = site.finish(site.script("kill -KILL $$; exit 137"), retries=1)

    assert (status.state, status.exit_code) == (State.FAILED, 137)
    assert sum(line.startswith("uaitrain: attempt ") for line in lines) == 2, lines


def test_a_node_that_dies_gives_its_run_to_the_other(site: Site) -> None:
    backend, handle = site.submit(site.script(ATTEMPTS))
    site.wait_for(site.output / "first")
    try:
        site.cluster.kill_node("n1")
        status = site.wait_until_over(backend, handle)
    finally:
        site.cluster.start_node("n1")
        site.cluster.wait_until(site.cluster.nodes_are_idle, "both nodes are there again")

    assert status.state is State.SUCCEEDED
    log = "\n".join(backend.logs(handle, follow=False))
    assert "attempt 1 of test-run on n1" in log
    assert "attempt 2 of test-run on n2" in log


def test_a_sweeps_tasks_have_their_own_id_folder_and_argument(site: Site) -> None:
    text = "echo $UAITRAIN_RUN_ID $UAITRAIN_TASK solver-{task} > /data/output/told; exit {task}"
    status, lines = site.finish(site.script(text), array="3")

    assert (status.state, status.exit_code) == (State.FAILED, 1)
    assert status.reason == "1 succeeded, 2 failed"
    assert {line.partition("]")[0] for line in lines} == {"[0", "[1", "[2"}
    for task in range(3):
        told = (site.output / str(task) / "told").read_text()
        assert told.split() == [f"test-run-{task}", str(task), f"solver-{task}"]


def test_a_sweep_is_cancelled_whole(site: Site) -> None:
    job = site.script(STOPPABLE.format(mark=6))
    backend, handle = site.submit(job, array="0-5")
    site.wait_for(site.output / "0" / "started")
    backend.cancel(handle)

    assert backend.status([handle])[handle].state is State.STOPPED
    assert processes_with("86399.6") == []


def test_two_nodes_have_a_launcher_each_and_a_place_to_meet(site: Site) -> None:
    text = (
        'echo "$UAITRAIN_NODES $RANK $WORLD_SIZE $UAITRAIN_MASTER $MASTER_ADDR:$MASTER_PORT"'
        " > /data/output/rank-$UAITRAIN_RANK"
    )
    status, lines = site.finish(site.script(text, nodes=2))
    told = [(site.output / f"rank-{rank}").read_text().split() for rank in range(2)]

    assert status.state is State.SUCCEEDED, lines
    assert {word for line in lines for word in line.split() if word in ("n1", "n2")} == {"n1", "n2"}
    assert [words[:3] for words in told] == [["2", "0", "2"], ["2", "1", "2"]]
    assert len({words[3] for words in told} | {words[4] for words in told}) == 1
    address, _, port = told[0][3].rpartition(":")
    assert socket.gethostbyname(address)
    assert 20000 <= int(port) < 40000


def test_a_rank_that_fails_ends_the_run_with_its_code(site: Site) -> None:
    text = "[ $RANK = 1 ] && exit 5; trap '' TERM; sleep 86399.7"
    status, _ = site.finish(site.script(text, nodes=2), grace=2)

    assert (status.state, status.exit_code) == (State.FAILED, 5)
    assert processes_with("86399.7") == []


def test_two_nodes_stop_together(site: Site) -> None:
    text = STOPPABLE.replace("output/", "output/$RANK-").format(mark=8)
    backend, handle = site.submit(site.script(text, nodes=2))
    site.wait_for(site.output / "0-started")
    site.wait_for(site.output / "1-started")
    backend.cancel(handle)

    status = backend.status([handle])[handle]
    assert (status.state, status.exit_code) == (State.STOPPED, 143)
    assert sorted(path.name for path in site.output.glob("*-snapshot")) == [
        "0-snapshot", "1-snapshot",
    ]  # fmt: skip
    assert processes_with("86399.8") == []


def test_what_slurm_has_forgotten_is_known_from_the_runs_files(site: Site) -> None:
    backend, handle = site.submit(site.script("exit 3"))
    site.wait_until_over(backend, handle)
    record = backend.options.folder / "jobs" / f"{handle}.json"
    record.rename(record.with_name("99999.json"))

    status = backend.status(["99999"])["99999"]
    assert (status.state, status.exit_code, status.run_id) == (State.FAILED, 3, "test-run")
    assert backend.status(["88888"])["88888"].state is State.UNKNOWN


def test_the_list_has_the_newest_run_first(site: Site) -> None:
    backend = site.backend()
    handles = []
    for name in ("one", "two"):
        handles.append(backend.submit(backend.render(site.script("true", run_id=name))))
        site.handles.append(handles[-1])
    site.cluster.wait_until(
        lambda: all(status.state.is_over for status in backend.list()), "both are over"
    )

    assert [status.run_id for status in backend.list()] == ["two", "one"]
    assert [status.handle for status in backend.list()] == handles[::-1]


def test_a_run_whose_record_was_never_written_is_found_in_the_queue(site: Site) -> None:
    """As when ``submit`` is killed after Slurm took the job."""
    backend, handle = site.submit(site.script("exit 3", run_id="lost-run"))
    (backend.options.folder / "jobs" / f"{handle}.json").unlink()
    (found,) = backend.list()

    assert (found.handle, found.run_id) == (handle, "lost-run")
    assert site.wait_until_over(backend, handle).exit_code == 3


def test_slurm_refuses_in_its_own_words(site: Site) -> None:
    with pytest.raises(BackendError) as caught:
        site.submit(site.script("true"), partition="nowhere")

    assert "invalid partition specified: nowhere" in caught.value.what
    assert "sinfo" in caught.value.next_step


def test_a_controller_that_is_down_is_said_to_be(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (site.cluster.folder / "slurm.conf").read_text()
    dead = re.sub(r"SlurmctldPort=\d+", "SlurmctldPort=1", text)
    (tmp_path / "slurm.conf").write_text(dead + "MessageTimeout=1\nSlurmctldTimeout=1\n")
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))

    with pytest.raises(BackendError) as caught:
        site.submit(site.script("true"))

    assert "Unable to contact slurm controller" in caught.value.what
    assert "scontrol ping" in caught.value.next_step


def test_a_machine_without_slurm_is_told_where_to_go(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nonexistent")
        with pytest.raises(BackendError) as caught:
            site.submit(site.script("true"))

    assert "no sbatch" in caught.value.what
    assert "login node" in caught.value.next_step


def test_an_image_comes_from_its_registry(
    site: Site, tiny: Image, registry: RunningRegistry
) -> None:
    from uaitrain.registry import connect

    reference = Reference.parse(f"{registry.host}/team/shell:v1")
    image = shell_image(tiny)
    RegistrySink(connect(registry.host)).put(image, reference, Silent())
    job = replace(site.script("echo $FROM_IMAGE"), image=str(reference.with_digest(image.digest)))

    status, lines = site.finish(job, layout="")
    assert (status.state, lines[-1]) == (State.SUCCEEDED, "yes")


def test_an_image_that_is_not_there_is_missed_before_anything_is_sent(site: Site) -> None:
    name, _, digest = site.image.partition("@")
    with pytest.raises(NotFoundError):
        site.submit(replace(site.script("true"), image=f"other:v1@{digest}"))
    with pytest.raises(DigestError):
        site.submit(replace(site.script("true"), image=f"{name}@sha256:{'0' * 64}"))
    with pytest.raises(UsageError, match="no registry"):
        site.submit(site.script("true"), layout="")
