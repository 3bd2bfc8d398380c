"""The same pack again is known by its record; any difference makes it a whole pack."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.jobs import NET, SOLVER
from support.registry import RunningRegistry
from support.tiny_image import layer_of
from uaitrain.bases import labels
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.image import History, Image
from uaitrain.oci.reference import Reference
from uaitrain.registry import connect
from uaitrain.registry.pull import pull_image
from uaitrain.registry.push import push_image

SAME = "nothing has changed since the last pack"


def base_image(content: bytes) -> Image:
    layer = layer_of({"usr/bin/python": content})
    config = {"architecture": "amd64", "os": "linux", "config": {}}
    image = Image((), config).append([layer], [History("a base")])
    return image.configure(labels={labels.PYTHON: "3.9.2"})


@dataclass
class Job:
    """A folder to pack into ``registry``, again and again."""

    folder: Path
    registry: RunningRegistry
    cache: Path

    @property
    def code(self) -> Path:
        return self.folder / "code"

    @property
    def record(self) -> Path:
        (found,) = (self.cache / "again").iterdir()
        return found

    def pack(self, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """One whole process, as a user starts it; what was written before is settled."""
        time.sleep(0.06)
        host = self.registry.host
        words = ["pack", "--push", "--no-load", "--image", f"{host}/team/job:v1"]
        words += ["--base-cpu", f"{host}/base:1", "--base-gpu", f"{host}/base:1"]
        done = subprocess.run(
            [sys.executable, "-m", "uaitrain", *words, "--solver=/data/solver.prototxt", *more],
            cwd=self.folder,
            env=os.environ | {"UAITRAIN_CACHE": str(self.cache)} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    def was_known(self) -> bool:
        return SAME in (self.folder / "uaitrain.log").read_text()

    def pushed(self, tag: str = "v1") -> Image:
        host = self.registry.host
        reference = Reference.parse(f"{host}/team/job:{tag}")
        return pull_image(connect(host), reference, Platform()).image

    def push_base(self, content: bytes, name: str = "base:1") -> None:
        host = self.registry.host
        push_image(connect(host), base_image(content), Reference.parse(f"{host}/{name}"))


@pytest.fixture
def job(tmp_path: Path, registry: RunningRegistry) -> Job:
    job = Job(tmp_path / "job", registry, tmp_path / "cache")
    for name in ("code/part", "code/.git/ignored", "data", "output"):
        (job.folder / name).mkdir(parents=True)
    (job.code / "solver.prototxt").write_text(SOLVER)
    (job.code / "net.prototxt").write_text(NET)
    (job.code / "part" / "model.py").write_text("NUMBER = 1\n")
    (job.code / "part" / "model.pyc").write_text("left out")
    (job.folder / "data" / "list.txt").write_text("a 1\n")
    shutil.rmtree(job.code / ".git")
    job.push_base(b"a python")
    return job


def test_the_same_pack_gives_the_same_answer(job: Job) -> None:
    first = job.pack()
    assert not job.was_known()
    whole = job.pack(UAITRAIN_CONFIG=str(job.folder / "none"))
    assert not job.was_known()
    known = job.pack()
    assert job.was_known()

    assert known.stdout == first.stdout == (job.folder / "uaitrain_cmd.txt").read_text()
    assert ": 0 layers sent (0 B), 4 there already, 0." in known.stderr
    # A pack that looks at everything and finds all in place says the very same.
    assert _without_seconds(known.stderr) == _without_seconds(whole.stderr)


def _without_seconds(text: str) -> str:
    return re.sub(r"\d+\.\d s", "… s", text)


def test_quiet_stays_quiet(job: Job) -> None:
    job.pack("--quiet")
    known = job.pack("--quiet")

    assert job.was_known()
    assert known.stderr == ""


def edit(job: Job) -> None:
    path = job.code / "part" / "model.py"
    path.write_text("NUMBER = 2\n")


def edit_with_the_old_time(job: Job) -> None:
    path = job.code / "part" / "model.py"
    before = path.stat()
    path.write_text("NUMBER = 3\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def swap_for_a_file_of_the_same_size_and_time(job: Job) -> None:
    path = job.code / "part" / "model.py"
    other = path.with_name("other.py")
    other.write_text("NUMBER = 4\n")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


def make_executable(job: Job) -> None:
    (job.code / "part" / "model.py").chmod(0o755)


def add(job: Job) -> None:
    (job.code / "part" / "new.py").write_text("pass\n")


def add_an_empty_folder(job: Job) -> None:
    (job.code / "empty").mkdir()


def remove(job: Job) -> None:
    (job.code / "part" / "model.py").unlink()


def rename(job: Job) -> None:
    (job.code / "part").rename(job.code / "parts")


def make_a_folder_of_a_file(job: Job) -> None:
    (job.code / "part" / "model.py").unlink()
    (job.code / "part" / "model.py").mkdir()


def make_a_link_of_a_file(job: Job) -> None:
    (job.code / "part" / "model.py").rename(job.code / "part" / "moved.py")
    (job.code / "part" / "model.py").symlink_to("moved.py")


def make_a_folder_of_an_ignored_file(job: Job) -> None:
    (job.code / "part" / "model.pyc").unlink()
    (job.code / "part" / "model.pyc").mkdir()


def write_ignore_rules(job: Job) -> None:
    (job.code / ".uaitrainignore").write_text("part\n")


def change_the_data(job: Job) -> None:
    (job.folder / "data" / "list.txt").write_text("b 2\n")


def write_a_result(job: Job) -> None:
    (job.folder / "output" / "log").write_text("iteration 1\n")


def write_settings(job: Job) -> None:
    (job.folder / "uaitrain.toml").write_text('main = "train.py"\n')


def write_a_lock(job: Job) -> None:
    (job.folder / "uaitrain.lock").write_text("version = 1\n")


def write_a_catalogue(job: Job) -> None:
    folder = job.folder / "config"
    folder.mkdir()
    (folder / "catalogue.toml").write_text("")


def commit(job: Job) -> None:
    for words in (
        ["init", "-q"],
        ["add", "code"],
        ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "-m", "x"],
    ):
        subprocess.run(["git", *words], cwd=job.folder, check=True)


def lose_the_commands(job: Job) -> None:
    (job.folder / "uaitrain_cmd.txt").unlink()


def change_the_commands(job: Job) -> None:
    with (job.folder / "uaitrain_cmd.txt").open("a") as file:
        file.write("\n")


def move_the_base(job: Job) -> None:
    job.push_base(b"another python")


def move_the_tag(job: Job) -> None:
    job.push_base(b"somebody else's", "team/job:v1")


def damage_the_record(job: Job) -> None:
    data = bytearray(job.record.read_bytes())
    data[len(data) // 2] ^= 1
    job.record.write_bytes(data)


def cut_the_record(job: Job) -> None:
    job.record.write_bytes(job.record.read_bytes()[:-10])


def empty_the_record(job: Job) -> None:
    job.record.write_bytes(b"")


def let_others_write_the_record(job: Job) -> None:
    job.record.chmod(0o666)


CHANGES: tuple[Callable[[Job], None], ...] = (
    edit,
    edit_with_the_old_time,
    swap_for_a_file_of_the_same_size_and_time,
    make_executable,
    add,
    add_an_empty_folder,
    remove,
    rename,
    make_a_folder_of_a_file,
    make_a_link_of_a_file,
    make_a_folder_of_an_ignored_file,
    write_ignore_rules,
    change_the_data,
    write_a_result,
    write_settings,
    write_a_lock,
    write_a_catalogue,
    commit,
    lose_the_commands,
    change_the_commands,
    move_the_base,
    move_the_tag,
    damage_the_record,
    cut_the_record,
    empty_the_record,
    let_others_write_the_record,
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_any_difference_makes_it_a_whole_pack(job: Job, change: Callable[[Job], None]) -> None:
    settings = {"UAITRAIN_CONFIG": str(job.folder / "config")}
    job.pack(**settings)
    job.pack(**settings)
    assert job.was_known()

    change(job)
    job.pack(**settings)
    assert not job.was_known()

    # What the whole pack left is what a pack without any memory makes of the folder.
    made = job.pushed().digest
    shutil.rmtree(job.cache)
    job.pack(**settings)
    assert not job.was_known()
    assert job.pushed().digest == made


@pytest.mark.parametrize(
    ("words", "environment"),
    [(["--gpus=2"], {}), ([], {"SOURCE_DATE_EPOCH": "1000000000"}), ([], {"ANYTHING": "else"})],
)
def test_another_command_is_not_the_same(
    job: Job, words: list[str], environment: dict[str, str]
) -> None:
    job.pack()
    job.pack(*words, **environment)
    assert not job.was_known()
    job.pack(*words, **environment)
    assert job.was_known()


def test_what_the_rules_leave_out_may_change(job: Job) -> None:
    job.pack()
    (job.code / "part" / "model.pyc").write_text("compiled anew")
    job.pack()

    assert job.was_known()


def test_a_file_written_in_the_same_tick_is_not_recorded(job: Job) -> None:
    """Its next change might not show in its times."""
    ahead = time.time_ns() + 3600 * 10**9
    os.utime(job.code / "part" / "model.py", ns=(ahead, ahead))
    job.pack()

    assert not (job.cache / "again").exists()


def test_a_registry_that_is_not_there_is_the_whole_packs_to_tell(job: Job) -> None:
    job.pack()
    job.registry.stop()
    with pytest.raises(AssertionError, match="cannot be reached"):
        job.pack()


def test_a_record_holds_no_variable(job: Job) -> None:
    job.pack(UAITRAIN_REGISTRY_PASSWORD="hunter2hunter2", SOME_TOKEN="t0ps3cret")  # noqa: S106
    data = job.record.read_bytes()

    assert b"hunter2" not in data
    assert b"t0ps3cret" not in data
    assert job.record.stat().st_mode & 0o777 == 0o600


def test_recall_loads_next_to_nothing() -> None:
    """Start-up is what it saves."""
    code = (
        "import sys; before = {*sys.modules}; from uaitrain.again.recall import recall;"
        "recall(['pack']); print(*sorted({*sys.modules} - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )

    assert set(done.stdout.split()) <= {
        "__future__", "_sha2", "_sha256", "marshal", "time", "zlib",
        "uaitrain", "uaitrain.again", "uaitrain.again.recall", "uaitrain.sha256",
    }  # fmt: skip
