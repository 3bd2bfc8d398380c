"""Which base images there are, and which one a job gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from uaitrain.bases import catalogue, recipe
from uaitrain.bases.catalogue import BaseEntry, LayoutReference
from uaitrain.errors import UsageError
from uaitrain.oci.reference import Reference
from uaitrain.spec import CPU, GPU, BaseChoice, Framework

CAFFE = Framework("caffe", "1.0.0")
VENDOR = "uhub.ucloud.cn/uaishare/{}_uaitrain_ubuntu-14.04_python-2.7.6_caffe-1.0.0:v1.0"

OWN = """\
[debian]
mirrors = ["http://mirror.example.com/debian"]

[[base]]
name = "mine"
framework = "caffe"
version = "1.0.0"
accelerator = "cpu"
recipe = "recipes/mine.toml"
"""


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.toml"


def _name(chosen: catalogue.Chosen) -> str:
    assert isinstance(chosen, BaseEntry)
    return chosen.name


def test_the_package_names_our_recipes_and_the_vendors_images(user_file: Path) -> None:
    entries = catalogue.load(user_file)

    assert [(e.name, e.accelerator, e.os, e.python) for e in entries] == [
        ("caffe-1.0.0-debian11-cpu", "cpu", "debian-11", "python-3.9"),
        ("caffe-torch-debian12-cpu", "cpu", "debian-12", "python-3.11"),
        ("caffe-torch-debian12-gpu", "gpu", "debian-12", "python-3.11"),
        ("caffe-1.0.0-ubuntu14-cpu", "cpu", "ubuntu-14.04.05", "python-2.7.6"),
        ("caffe-1.0.0-ubuntu14-gpu", "gpu", "ubuntu-14.04.05", "python-2.7.6"),
    ]
    assert [str(e.reference) for e in entries[3:]] == [VENDOR.format("cpu"), VENDOR.format("gpu")]


def test_every_recipe_of_the_package_can_be_read(user_file: Path) -> None:
    recipes = [recipe.load(e.recipe, e.name) for e in catalogue.load(user_file) if e.recipe]

    assert [r.accelerator for r in recipes] == ["cpu", "cpu", "gpu"]


def test_every_package_of_our_recipes_is_named_with_version_and_digest(user_file: Path) -> None:
    for entry in catalogue.load(user_file):
        python = recipe.load(entry.recipe, entry.name).python if entry.recipe else None
        lines = [line for line in python.lock.splitlines() if line[:1].strip()] if python else []

        assert all(re.fullmatch(r"[a-z0-9-]+==\S+ \\", line) for line in lines)
        assert bool(lines) == (entry.engine == "torch")


@pytest.mark.parametrize(
    ("accelerator", "engine", "built", "name"),
    [
        (CPU, "", (), "caffe-1.0.0-debian11-cpu"),
        (CPU, "", ("caffe-torch-debian12-cpu",), "caffe-1.0.0-debian11-cpu"),
        (CPU, "torch", (), "caffe-torch-debian12-cpu"),
        (GPU, "", (), "caffe-1.0.0-ubuntu14-gpu"),
        (GPU, "", ("caffe-torch-debian12-gpu",), "caffe-torch-debian12-gpu"),
        (GPU, "torch", (), "caffe-torch-debian12-gpu"),
        (GPU, "caffe", ("caffe-torch-debian12-gpu",), "caffe-1.0.0-ubuntu14-gpu"),
    ],
)
def test_our_engine_is_taken_where_it_is_chosen_and_for_gpus_once_it_is_built(
    user_file: Path, accelerator: str, engine: str, built: tuple[str, ...], name: str
) -> None:
    entries = catalogue.load(user_file)
    choice = BaseChoice(engine=engine)

    assert _name(catalogue.choose(entries, CAFFE, accelerator, choice, built=built)) == name


def test_a_users_own_gpu_base_comes_before_ours(user_file: Path) -> None:
    user_file.write_text(OWN.replace('"cpu"', '"gpu"'))
    entries = catalogue.load(user_file)
    chosen = catalogue.choose(
        entries, CAFFE, GPU, BaseChoice(), built=("caffe-torch-debian12-gpu",)
    )

    assert _name(chosen) == "mine"


@pytest.mark.parametrize(
    ("accelerator", "choice", "name"),
    [
        (CPU, BaseChoice(), "caffe-1.0.0-debian11-cpu"),
        (GPU, BaseChoice(), "caffe-1.0.0-ubuntu14-gpu"),
        (CPU, BaseChoice(os="ubuntu-14.04.05"), "caffe-1.0.0-ubuntu14-cpu"),
        (CPU, BaseChoice(python="python-2.7.6"), "caffe-1.0.0-ubuntu14-cpu"),
        (GPU, BaseChoice("caffe-1.0.0-debian11-cpu"), "caffe-1.0.0-debian11-cpu"),
    ],
)
def test_the_first_entry_that_fits_is_chosen(
    user_file: Path, accelerator: str, choice: BaseChoice, name: str
) -> None:
    chosen = catalogue.choose(catalogue.load(user_file), CAFFE, accelerator, choice)

    assert _name(chosen) == name


def test_the_inner_host_replaces_the_vendors_public_one(user_file: Path) -> None:
    entries = catalogue.load(user_file)
    chosen = catalogue.choose(entries, CAFFE, GPU, BaseChoice(), internal_uhub=True)

    assert isinstance(chosen, BaseEntry)
    assert str(chosen.reference) == VENDOR.format("gpu").replace(
        "uhub.ucloud.cn", "uhub.service.ucloud.cn"
    )


@pytest.mark.parametrize("wanted", ["registry.example.com/caffe:1", "bvlc/caffe:cpu", "caffe:cpu"])
def test_an_image_reference_is_taken_as_it_is(user_file: Path, wanted: str) -> None:
    chosen = catalogue.choose(catalogue.load(user_file), CAFFE, GPU, BaseChoice(wanted), True)

    assert chosen == Reference.parse(wanted)


def test_a_layout_on_this_machine_may_be_named(user_file: Path) -> None:
    chosen = catalogue.choose((), CAFFE, GPU, BaseChoice("oci:/some/where:caffe-1.0.0:x"))

    assert chosen == LayoutReference(Path("/some/where"), "caffe-1.0.0:x")
    assert str(chosen) == "oci:/some/where:caffe-1.0.0:x"
    with pytest.raises(UsageError, match="not an OCI layout"):
        LayoutReference.parse("oci:")


def test_a_version_that_is_not_there_is_answered_with_those_that_are(user_file: Path) -> None:
    with pytest.raises(UsageError, match=r"no base image for caffe-2\.0 \(--ai_arch_v") as caught:
        catalogue.choose(catalogue.load(user_file), Framework("caffe", "2.0"), CPU, BaseChoice())

    assert caught.value.allowed == "caffe-1.0.0"


def test_an_os_that_is_not_there_is_answered_with_those_that_are(user_file: Path) -> None:
    with pytest.raises(UsageError, match="fits gpu, plan-9") as caught:
        catalogue.choose(catalogue.load(user_file), CAFFE, GPU, BaseChoice(os="plan-9"))

    assert "caffe-1.0.0-ubuntu14-gpu (gpu, ubuntu-14.04.05, python-2.7.6)" in caught.value.allowed


def test_a_name_that_is_not_there_is_answered_with_those_that_are(user_file: Path) -> None:
    with pytest.raises(UsageError, match="no base is named 'caffee'") as caught:
        catalogue.choose(catalogue.load(user_file), CAFFE, GPU, BaseChoice("caffee"))

    assert "caffe-1.0.0-ubuntu14-gpu" in caught.value.allowed


def test_the_users_entries_come_first(user_file: Path) -> None:
    user_file.write_text(OWN)
    entries = catalogue.load(user_file)
    chosen = catalogue.choose(entries, CAFFE, CPU, BaseChoice())

    assert isinstance(chosen, BaseEntry)
    assert chosen.recipe == str(user_file.parent / "recipes" / "mine.toml")
    assert chosen.source == f"{user_file}:4"
    assert catalogue.mirrors(user_file) == ("http://mirror.example.com/debian",)


def test_a_users_entry_hides_the_packages_of_the_same_name(user_file: Path) -> None:
    user_file.write_text(OWN.replace('"mine"', '"caffe-1.0.0-debian11-cpu"'))
    entries = catalogue.load(user_file)

    assert [e.name for e in entries].count("caffe-1.0.0-debian11-cpu") == 1
    assert entries[0].recipe.endswith("mine.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OWN + "x = [", "catalogue.toml:10: "),
        ("[[bases]]", r"catalogue.toml:1: unknown key 'bases'"),
        (OWN.replace("recipe =", "receipt ="), r"catalogue.toml:4: unknown key 'receipt'"),
        (OWN.replace('"1.0.0"', "1.0"), r"catalogue.toml:4: version is 1.0"),
        (OWN.replace('version = "1.0.0"\n', ""), r"catalogue.toml:4: version is missing"),
        (OWN + 'engine = "jax"\n', r"catalogue.toml:4: engine is 'jax'"),
        (OWN.replace('"cpu"', '"tpu"'), r"catalogue.toml:4: accelerator is 'tpu'"),
        (OWN.replace('"mine"', '"My Own"'), r"catalogue.toml:4: not a name for a base: 'My Own'"),
        (OWN + 'reference = "a/b:c"\n', r"catalogue.toml:4: give mine one of reference and recipe"),
        (
            OWN.replace('recipe = "recipes/mine.toml"', 'reference = "UPPER"'),
            r"catalogue.toml:4: not a legal image reference",
        ),
        (OWN + OWN[OWN.index("[[base]]") :], r"catalogue.toml:10: a second base is named 'mine'"),
    ],
)
def test_a_broken_user_file_is_told_with_file_and_line(
    user_file: Path, text: str, message: str
) -> None:
    user_file.write_text(text)
    with pytest.raises(UsageError, match=message):
        catalogue.load(user_file)


def test_mirrors_that_are_no_list_are_refused(user_file: Path) -> None:
    user_file.write_text('[debian]\nmirrors = "http://mirror.example.com"\n')
    with pytest.raises(UsageError, match=r"mirror\.example\.com"):
        catalogue.mirrors(user_file)
