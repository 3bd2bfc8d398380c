"""A plain command line is read as argparse reads it; what is not plain is left to argparse."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uaitrain.cli import flags, pack, parser
from uaitrain.errors import UsageError

NAMES = ("--push", "--no-load", "--image", "--gpus", "--ignore", "--layout", "--container-engine")
NAMES += ("--insecure-registry", "--file", "--json", "--quiet", "--engine", "--sign", "--base-cpu")
VALUES = ("1", "two", "docker", "a/b:c", "", "-1", "--push", "with space", "-x y", "a=b", "ü")
WORDS = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(VALUES),
    st.builds(
        lambda name, value: f"{name}={value}", st.sampled_from(NAMES), st.sampled_from(VALUES)
    ),
)


def by_argparse(words: list[str]) -> dict[str, Any] | None:
    """None for what it refuses."""
    try:
        return vars(parser.parse(pack, words))
    except UsageError:
        return None


@given(st.lists(WORDS, max_size=8))
def test_both_read_the_same(words: list[str]) -> None:
    found = flags.parse(pack, ["pack", *words])

    if found is not None:
        assert vars(found) == by_argparse(["pack", *words])


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--push", "--image", "h/r/n:t", "--gpus=2", "--ignore", "*.pyc", "--ignore=data"],
        ["--layout", "images", "--container-engine=podman", "--quiet", "--json"],
        ["--base-cpu", "", "--argument=--lr=0.1", "--gpus=-1"],
    ],
)
def test_plain_command_lines_need_no_argparse(words: list[str]) -> None:
    found = flags.parse(pack, ["pack", *words])

    assert found is not None
    assert vars(found) == by_argparse(["pack", *words])


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["-h"],
        ["word"],
        ["--"],
        ["--imag", "x"],
        ["--image"],
        ["--image", "--push"],
        ["--push=yes"],
        ["--gpus", "two"],
        ["--container-engine", "other"],
    ],
)
def test_what_is_not_plain_is_argparses(words: list[str]) -> None:
    assert flags.parse(pack, ["pack", *words]) is None


def test_other_verbs_are_argparses() -> None:
    assert flags.parse(pack, ["check"]) is None
