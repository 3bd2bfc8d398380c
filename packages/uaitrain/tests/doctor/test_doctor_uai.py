"""What the doctor says of the training platform."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from uaitrain.doctor import uai
from uaitrain.doctor.verdict import State, Surroundings, Verdict


def _told() -> Verdict:
    (verdict,) = uai.check(Surroundings())
    return verdict


def test_a_machine_without_the_sdk_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_spec(name: str) -> Any:
        assert name == "ucloud"

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)

    assert (_told().state, _told().stops) == (State.NOTE, ())
    assert _told().mend == "pip install 'uaitrain[uai]'"


def test_a_machine_without_keys_is_told_where_they_go() -> None:
    assert _told().state is State.NOTE
    assert "UCLOUD_PUBLIC_KEY" in _told().mend


def test_a_machine_with_both_can_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UCLOUD_PUBLIC_KEY", "public")
    monkeypatch.setenv("UCLOUD_PRIVATE_KEY", "s3cr3t")

    assert _told().state is State.PRESENT
    assert "s3cr3t" not in str(_told())
