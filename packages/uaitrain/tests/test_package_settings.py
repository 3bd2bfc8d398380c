"""What may stand in [packages]."""

from __future__ import annotations

from pathlib import Path

import pytest
from uaitrain.errors import UsageError
from uaitrain.package_settings import read_requirements, requirement_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nltk==3.9.1", "nltk"),
        ("Ruamel.Yaml_Clib >=1, <2", "ruamel-yaml-clib"),
        ("nltk[corenlp]", "nltk"),
        ('tomli; python_version < "3.11"', "tomli"),
    ],
)
def test_a_requirement_has_a_name(text: str, name: str) -> None:
    assert requirement_name(text, "here") == name


@pytest.mark.parametrize(
    "text", ["", "-r other.txt", "git+https://host/x", "x @ https://host/x.whl", "./x", "a b"]
)
def test_what_says_where_a_package_is_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="not a requirement"):
        requirement_name(text, "here")


def test_a_file_is_read_with_its_digests(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(
        "# all\nnltk==3.9.1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\ntqdm # x\n"
    )

    assert read_requirements(file) == (
        ("nltk==3.9.1", frozenset({"aa", "bb"})),
        ("tqdm", frozenset()),
    )


def test_a_file_names_no_other_place(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("nltk\n--index-url https://me:secret@host/simple\n")

    with pytest.raises(UsageError, match=":2: --index-url") as caught:
        read_requirements(file)

    assert "secret" not in str(caught.value)
