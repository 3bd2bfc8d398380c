"""Keys come from the environment or from the file of the vendor's command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from uaitrain.backends.uai.keys import load_keys
from uaitrain.errors import CredentialsError


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Path:
    """``~/.ucloud`` with two profiles, the second one active; no keys in the environment."""
    monkeypatch.delenv("UCLOUD_PUBLIC_KEY")
    monkeypatch.delenv("UCLOUD_PRIVATE_KEY")
    made = Path.home() / ".ucloud"
    made.mkdir()
    profiles = [
        {"profile": name, "public_key": f"{name}-public", "private_key": f"{name}-private"}
        for name in ("default", "work")
    ]
    (made / "credential.json").write_text(json.dumps(profiles))
    active = [{"profile": "default", "active": False}, {"profile": "work", "active": True}]
    (made / "config.json").write_text(json.dumps(active))
    return made


def test_the_environment_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UCLOUD_PUBLIC_KEY", "mine")
    monkeypatch.setenv("UCLOUD_PRIVATE_KEY", "secret")
    keys = load_keys()

    assert (keys.public, keys.private.reveal()) == ("mine", "secret")
    assert "secret" not in repr(keys)


def test_a_profile_that_is_asked_for_wins_over_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UCLOUD_PUBLIC_KEY", "mine")
    monkeypatch.setenv("UCLOUD_PRIVATE_KEY", "secret")

    assert load_keys("default").public == "default-public"


def test_the_active_profile_is_taken(folder: Path) -> None:
    assert load_keys().private.reveal() == "work-private"


def test_without_an_active_profile_it_is_the_default(folder: Path) -> None:
    (folder / "config.json").unlink()

    assert load_keys().public == "default-public"


def test_half_a_pair_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UCLOUD_PUBLIC_KEY", "mine")
    with pytest.raises(CredentialsError, match="UCLOUD_PRIVATE_KEY is not set"):
        load_keys()


def test_an_unknown_profile_is_told(folder: Path) -> None:
    with pytest.raises(CredentialsError, match="'home'"):
        load_keys("home")


@pytest.mark.parametrize("text", ['{"private_key": "s3cr3t"', '["s3cr3t"]', '"s3cr3t"', "s3cr3t"])
def test_a_broken_file_is_told_without_its_content(folder: Path, text: str) -> None:
    (folder / "credential.json").write_text(text)
    with pytest.raises(CredentialsError, match=r"credential\.json") as refused:
        load_keys()

    assert "s3cr3t" not in str(refused.value)
