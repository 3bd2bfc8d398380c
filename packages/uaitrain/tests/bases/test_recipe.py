"""Reading recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
from uaitrain.bases import recipe
from uaitrain.errors import BaseError

GOOD = 'suite = "bullseye"\npackages = ["caffe"]\n'


def test_the_caffe_recipe_has_the_python_that_the_manual_runs() -> None:
    caffe = recipe.load("caffe-1.0.0-debian11-cpu.toml", "x")

    assert caffe.links == {"usr/bin/python": "python3"}
    assert {"caffe", "python3-caffe", "python3-lmdb"} <= set(caffe.packages)


def test_a_recipe_may_be_the_users_own_file(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(GOOD + '[image]\naccelerator = "gpu"\n')
    own = recipe.load(str(tmp_path / "own.toml"), "own")

    assert (own.name, own.suite, own.packages, own.accelerator) == (
        "own",
        "bullseye",
        ("caffe",),
        "gpu",
    )


@pytest.mark.parametrize("name", ["nothing.toml", "/nonexistent/recipe.toml"])
def test_a_recipe_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(BaseError, match=name):
        recipe.load(name, "own")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("suite = ", "is not TOML: Invalid value"),
        ('packages = ["caffe"]', "suite is missing"),
        ('suite = "bullseye"', "packages is missing"),
        (GOOD + "mirror = 1", "unknown key 'mirror'"),
        (GOOD + "image = 1", "image is not a table"),
        (GOOD + "[image]\nsuite = 'x'", "unknown key 'suite'"),
        ('suite = 11\npackages = ["x"]', "suite is 11"),
        ('suite = "x"\npackages = "caffe"', "packages is 'caffe'"),
        (GOOD + "python = '3.11'", "python is not a table"),
        (GOOD + "[python]\npackages = 'x'", r"python\.version is missing"),
        (GOOD + "[python]\nversion = '3.11'", r"python\.packages is missing"),
        (GOOD + "[python]\nversion = '3'\npackages = 'x'", r"python\.version is '3'"),
        (GOOD + "[python]\nwheels = 'x'", "unknown key 'wheels'"),
        (GOOD + "links = { a = 1 }", "links is {'a': 1}"),
    ],
)
def test_a_broken_recipe_is_refused(text: str, message: str) -> None:
    with pytest.raises(BaseError, match=message):
        recipe.parse(text, "own", "own.toml")


def test_a_list_of_packages_is_read_and_changes_the_recipe(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(GOOD + '[python]\nversion = "3.9"\npackages = "own.lock"\n')
    with pytest.raises(BaseError, match=r"no requirements file 'own\.lock'") as caught:
        recipe.load(str(own), "own")
    digests = set()
    for text in ("a==1\n", "a==2\n"):
        (tmp_path / "own.lock").write_text(text)
        digests.add(recipe.load(str(own), "own").digest)

    assert str(tmp_path / "own.lock") in caught.value.next_step
    assert len(digests) == 2


def test_a_recipe_without_python_packages_has_the_digest_that_it_always_had() -> None:
    """A base that was built before recipes knew of them is still this recipe's base."""
    caffe = recipe.load("caffe-1.0.0-debian11-cpu.toml", "caffe-1.0.0-debian11-cpu")

    assert caffe.digest == (
        "sha256:7a2e33a50933e1f7c3f18fdac03868247d98f730b2d627524ee46de42ee52766"
    )
