"""``uaitrain base`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.registry import PASSWORD, USERNAME, RunningRegistry
from support.tiny_image import layer_of
from uaitrain.bases.build import Built
from uaitrain.bases.mmdebstrap import Builder
from uaitrain.bases.store import Store
from uaitrain.cli.main import main
from uaitrain.oci.image import Image
from uaitrain.paths import config_dir

IMAGE = Image((layer_of({"file": b"x"}),), {"os": "linux", "architecture": "amd64"})

TINY = """\
[[base]]
name = "tiny"
framework = "tiny"
version = "1"
accelerator = "cpu"
recipe = "tiny.toml"
"""
TINY_RECIPE = 'suite = "bullseye"\nvariant = "essential"\npackages = ["hostname"]\n'


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user whose catalogue has a base that is built fast."""
    monkeypatch.setenv("UAITRAIN_CONFIG", str(tmp_path / "config"))
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "catalogue.toml").write_text(TINY)
    (tmp_path / "config" / "tiny.toml").write_text(TINY_RECIPE)
    return tmp_path / "config"


def test_the_list_says_how_to_get_what_is_not_built(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["base", "list"]) == 0
    assert "not built: uaitrain base build caffe-1.0.0-debian11-cpu" in capsys.readouterr().out


def test_the_list_in_json_has_every_base(capsys: pytest.CaptureFixture[str]) -> None:
    Store.default().put(IMAGE, "caffe-1.0.0-debian11-cpu")
    assert main(["base", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)

    assert [base["built"] for base in listed] == [True, False, False, False, False]
    assert listed[0]["digest"] == IMAGE.digest
    assert [base["engine"] for base in listed] == ["caffe", "torch", "torch", "caffe", "caffe"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["caffe-1.0.0"], "caffe-1.0.0-debian11-cpu"),
        (["caffe-1.0.0", "--engine", "torch"], "caffe-torch-debian12-cpu"),
        (["caffe-1.0.0", "--engine=torch", "--accelerator=gpu"], "caffe-torch-debian12-gpu"),
    ],
)
def test_a_framework_name_means_the_recipe_of_the_chosen_engine(
    words: list[str],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        "uaitrain.bases.build.build", lambda recipe, *rest, **more: Built(_named(recipe.name), True)
    )
    monkeypatch.setattr("uaitrain.bases.mmdebstrap.find_builder", lambda *rest: Builder())

    assert main(["base", "build", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == name


def _named(name: str) -> Image:
    return IMAGE.configure(labels={"title": name})


def test_caffes_own_engine_has_no_recipe_for_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["base", "build", "caffe-1.0.0", "--accelerator", "gpu"]) == 2
    assert "caffe-torch-debian12-gpu (torch, gpu)" in capsys.readouterr().err


def test_a_base_is_built_found_and_removed(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["base", "build", "tiny-1"]) == 0
    assert main(["base", "build", "tiny", "--json"]) == 0
    built, told = capsys.readouterr().out.split("\n", 1)

    assert built.startswith("tiny built: ")
    assert json.loads(told)["built"] is False
    assert main(["base", "remove", "tiny"]) == 0
    assert Store.default().list() == ()


def test_the_mirror_may_come_from_flag_environment_or_catalogue(
    user: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = "http://127.0.0.1:9/{}"
    (user / "catalogue.toml").write_text(f'[debian]\nmirrors = ["{dead.format("file")}"]\n{TINY}')
    assert main(["base", "build", "tiny"]) == 5
    monkeypatch.setenv("UAITRAIN_DEBIAN_MIRROR", dead.format("variable"))
    assert main(["base", "build", "tiny"]) == 5
    assert main(["base", "build", "tiny", "--mirror", dead.format("flag")]) == 5
    first, second, third = capsys.readouterr().err.split("error: ")[1:]

    assert "cannot be reached" in first
    assert "127.0.0.1:9/file" in first
    assert "127.0.0.1:9/variable" in second
    assert "127.0.0.1:9/flag" in third


def test_a_built_base_is_pushed_with_the_users_login(
    registry_htpasswd: RunningRegistry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Store.default().put(IMAGE, "own")
    monkeypatch.setenv("UAITRAIN_REGISTRY_USERNAME", USERNAME)
    monkeypatch.setenv("UAITRAIN_REGISTRY_PASSWORD", PASSWORD)
    assert main(["base", "push", "own", f"{registry_htpasswd.host}/bases/own:1", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["digest"] == IMAGE.digest


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["build", "nothing"], 2, "there is no recipe for 'nothing'"),
        (["build", "caffe-1.0.0", "--accelerator", "gpu"], 2, "accelerator gpu"),
        (["build", "caffe-1.0.0-ubuntu14-gpu"], 2, "there is nothing to build"),
        (["remove", "nothing"], 5, "base nothing is not on this machine"),
        (["push", "nothing", "127.0.0.1:9/a:b"], 5, "base nothing is not on this machine"),
        (["push", "nothing", "UPPER"], 2, "not a legal image reference"),
        (["build"], 2, "NAME"),
        ([], 2, "VERB"),
    ],
)
def test_wrong_words_get_one_message(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["base", *words]) == code
    assert message in capsys.readouterr().err


def test_a_broken_catalogue_is_told_with_its_line(
    user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (user / "catalogue.toml").write_text(TINY.replace("cpu", "tpu"))

    assert main(["base", "list"]) == 2
    assert f"{config_dir()}/catalogue.toml:1: accelerator is 'tpu'" in capsys.readouterr().err
