"""The manual's parameters: names, defaults, meanings, required-ness."""

from __future__ import annotations

from pathlib import Path

import pytest
from uaitrain import compat
from uaitrain.cli.parser import Parser
from uaitrain.errors import UsageError
from uaitrain.spec import CPU, GPU, BaseChoice, Framework, TrainSpec

MANUAL = {
    "public_key": "PUB",
    "private_key": "PRIV",
    "code_path": "./code/",
    "mainfile_path": "train.py",
    "uhub_username": "me@example.com",
    "uhub_password": "hunter2",
    "uhub_registry": "caffe-demo",
    "uhub_imagename": "caffe-mnist",
    "internal_uhub": "true",
    "ai_arch_v": "caffe-1.0.0",
    "test_data_path": "/data/test/data",
    "test_output_path": "/data/test/output",
    "solver": "/data/data/lenet_solver.prototxt",
}
TABLE = {
    "public_key": True,
    "private_key": True,
    "project_id": False,
    "code_path": True,
    "mainfile_path": True,
    "uhub_username": True,
    "uhub_password": True,
    "uhub_registry": True,
    "uhub_imagename": True,
    "uhub_imagetag": False,
    "internal_uhub": False,
    "ai_arch_v": True,
    "test_data_path": True,
    "test_output_path": True,
    "train_params": False,
    "solver": True,
    "snapshot": False,
}


def spec(tool_folder: Path, joined: bool = True, **changes: str | None) -> TrainSpec:
    values = {k: v for k, v in (MANUAL | changes).items() if v is not None}
    words = [
        word
        for key, value in values.items()
        for word in ([f"--{key}={value}"] if joined else [f"--{key}", value])
    ]
    parser = Parser()
    compat.add_arguments(parser)
    return compat.spec_from(parser.parse_args(words), tool_folder)


def test_the_table_is_the_manuals() -> None:
    assert {p.name: p.required for p in compat.PARAMETERS} == TABLE


def test_the_manuals_example_is_understood(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()

    result = spec(tmp_path)

    assert result.framework == Framework("caffe", "1.0.0")
    assert result.code == tmp_path / "code"
    assert result.main_file == "train.py"
    assert str(result.target.cpu) == "caffe-mnist-cpu:uaitrain"
    assert str(result.target.gpu) == "uhub.service.ucloud.cn/caffe-demo/caffe-mnist:uaitrain"
    assert (result.data, result.output) == (Path("/data/test/data"), Path("/data/test/output"))
    assert result.solver == "/data/data/lenet_solver.prototxt"
    assert result.bases[CPU] == BaseChoice("", "ubuntu-14.04.05", "python-2.7.6")
    assert result.bases[GPU] == result.bases[CPU]
    assert result.account.password is not None
    assert result.account.password.reveal() == "hunter2"


def test_both_ways_of_writing_a_parameter_mean_the_same(tmp_path: Path) -> None:
    assert spec(tmp_path, joined=True) == spec(tmp_path, joined=False)


def test_the_public_host_is_the_default(tmp_path: Path) -> None:
    assert spec(tmp_path, internal_uhub=None).target.host == "uhub.ucloud.cn"


@pytest.mark.parametrize("text", ["code", "./code", "./code/", "code/", "{}/code", "{}/code/"])
def test_code_path_may_be_relative_or_absolute_with_or_without_slash(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "code").mkdir()

    assert spec(tmp_path, code_path=text.format(tmp_path)).code == tmp_path / "code"


def test_code_path_is_looked_for_beside_the_tool_and_then_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "code").mkdir(parents=True)
    (tmp_path / "tool").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    assert spec(tmp_path / "tool").code == tmp_path / "here" / "code"
    (tmp_path / "tool" / "code").mkdir()
    assert spec(tmp_path / "tool").code == tmp_path / "tool" / "code"


@pytest.mark.parametrize("name", [name for name, required in TABLE.items() if required])
def test_each_required_parameter_is_asked_for_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=rf"^missing: --{name}\n|^missing: --{name}$"):
        spec(tmp_path, **{name: None})


def test_a_password_from_elsewhere_fulfils_the_requirement(tmp_path: Path) -> None:
    parser = Parser()
    compat.add_arguments(parser)
    words = [f"--{k}={v}" for k, v in MANUAL.items() if k != "uhub_password"]

    result = compat.spec_from(parser.parse_args(words), tmp_path, has_password=True)

    assert result.account.password is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("uhub_imagename", "Caffe-Mnist", "caffe-mnist"),
        ("uhub_registry", "Demo", "for example demo"),
        ("uhub_registry", "a b", "not a legal --uhub_registry"),
        ("uhub_imagetag", "V1", "--uhub_imagetag=v1"),
        ("uhub_imagetag", ".x", "not a legal --uhub_imagetag"),
        ("internal_uhub", "maybe", "true or false"),
        ("ai_arch_v", "caffe", "name-version"),
        ("mainfile_path", "../train.py", "not a file in the code folder"),
        ("mainfile_path", "/etc/x.py", "not a file in the code folder"),
        ("train_params", "'open", "No closing quotation"),
        ("num_gpus", "0", "1 or more"),
        ("registry_host", "no host", "not a registry host"),
    ],
)
def test_illegal_values_are_refused_with_what_is_allowed(
    tmp_path: Path, name: str, value: str, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        spec(tmp_path, **{name: value})

    assert value in str(caught.value)
    assert message in str(caught.value)


def test_train_params_are_split_as_a_shell_would(tmp_path: Path) -> None:
    result = spec(tmp_path, train_params="--timing=True --name 'two words'")

    assert result.arguments == ("--timing=True", "--name", "two words")


def test_no_secret_shows_in_the_spec(tmp_path: Path) -> None:
    assert "hunter2" not in repr(spec(tmp_path))
    assert "PRIV" not in repr(spec(tmp_path))


def test_our_engine_does_not_want_what_the_vendors_caffe_stands_on(tmp_path: Path) -> None:
    torch = spec(tmp_path, engine="torch")
    asked = spec(tmp_path, engine="torch", os="debian-13")

    assert torch.bases == dict.fromkeys((CPU, GPU), BaseChoice(engine="torch"))
    assert asked.bases[CPU] == BaseChoice(os="debian-13", engine="torch")
