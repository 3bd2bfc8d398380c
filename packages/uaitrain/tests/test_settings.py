"""uaitrain.toml and flags: one judge, clear refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from uaitrain.cli.parser import Parser
from uaitrain.errors import UsageError
from uaitrain.settings import SETTINGS, add_spec_arguments, parse_size, spec_from
from uaitrain.spec import CPU, GPU, BaseChoice, Resources, TrainSpec

FULL = """
framework = "caffe-1.0.0"
code = "src"
main = "train.py"
solver = "/data/solver.prototxt"
snapshot = "auto"
arguments = ["--timing=True"]
data = "/srv/data"
output = "out"
image = "registry.example.com:5000/team/job:v1"
ignore = ["*.log"]

[base]
cpu = "mine"
gpu = "registry.example.com/base:1"

[resources]
gpus = 2
shm = "512m"
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def spec(*words: str) -> TrainSpec:
    parser = Parser()
    add_spec_arguments(parser)
    return spec_from(parser.parse_args(list(words)))


def test_the_file_describes_the_whole_job(tmp_path: Path) -> None:
    (tmp_path / "uaitrain.toml").write_text(FULL)

    result = spec()

    assert result.code == tmp_path / "src"
    assert result.data == Path("/srv/data")
    assert result.output == tmp_path / "out"
    assert str(result.target.gpu) == "registry.example.com:5000/team/job:v1"
    assert str(result.target.cpu) == "job-cpu:v1"
    assert result.arguments == ("--timing=True",)
    assert result.ignore == ("*.log",)
    assert result.bases == {
        CPU: BaseChoice("mine"),
        GPU: BaseChoice("registry.example.com/base:1"),
    }
    assert result.resources == Resources(2, 512 << 20)


def test_paths_in_the_file_are_relative_to_it_and_in_flags_to_here(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "uaitrain.toml").write_text(FULL)

    result = spec("--file", "job/uaitrain.toml", "--output", "there")

    assert result.code == tmp_path / "job" / "src"
    assert result.output == tmp_path / "there"


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "uaitrain.toml").write_text(FULL)

    result = spec("--main=other.py", "--gpus", "4", "--argument=--x", "--argument=--y")

    assert result.main_file == "other.py"
    assert result.resources.gpus == 4
    assert result.arguments == ("--x", "--y")


def test_without_a_file_the_flags_are_enough() -> None:
    result = spec("--image=job", "--solver=/data/s.prototxt")

    assert str(result.target.gpu) == "job:uaitrain"
    assert result.target.host == ""


def test_every_setting_can_stand_in_the_file(tmp_path: Path) -> None:
    assert {s.key.split(".")[0] for s in SETTINGS} == {
        *("framework", "code", "main", "solver", "snapshot", "arguments", "data", "output"),
        *("image", "ignore", "internal_uhub", "base", "resources", "engine"),
        *("board", "packages"),
    }


@pytest.mark.parametrize("words", [("--engine=torch",), ("--engine=podman", "--engine=torch")])
def test_the_engine_that_trains_is_chosen_for_both_images(words: tuple[str, ...]) -> None:
    found = spec("--image=job", *words)

    assert {choice.engine for choice in found.bases.values()} == {"torch"}


def test_an_engine_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="no such engine: 'tensorflow'") as caught:
        spec("--image=job", "--engine=tensorflow")

    assert "caffe or torch" in caught.value.allowed
    assert "--container-engine" in caught.value.next_step


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imgae = 'x'", "did you mean 'image'?"),
        ("[base]\ncpuu = 'x'", "did you mean 'base.cpu'?"),
        ("uhub_password = 'hunter2'", "secrets do not belong"),
        ("image = 3", "allowed: text"),
        ("arguments = [1]", "allowed: a list of texts"),
        ("[resources]\ngpus = true", "allowed: a whole number"),
        ("= broken", "not TOML"),
        ("image = 'Upper/Case'", "not a legal image reference"),
        ("image = 'team/job'", "names no registry host"),
        ("image = 'job'\n[resources]\nshm = 'much'", "not a size"),
        ("image = 'job'\n[resources]\ngpus = 0", "1 or more"),
        ("image = 'job'\nmain = '../x.py'", "not a file in the code folder"),
        ("code = 'x'", "--image is missing"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_allowed(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "uaitrain.toml").write_text(text)

    with pytest.raises(UsageError) as caught:
        spec()

    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_named_file_that_is_missing_is_told() -> None:
    with pytest.raises(UsageError, match=r"no settings file 'none\.toml'"):
        spec("--file=none.toml")


def test_internal_uhub_changes_the_public_host_only() -> None:
    internal = spec("--image=uhub.ucloud.cn/a/b", "--internal-uhub")
    other = spec("--image=localhost:5000/a/b", "--internal-uhub")

    assert internal.target.host == "uhub.service.ucloud.cn"
    assert other.target.host == "localhost:5000"


@pytest.mark.parametrize(("text", "size"), [("1", 1), ("512m", 512 << 20), ("2GiB", 2 << 30)])
def test_sizes_are_powers_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size
