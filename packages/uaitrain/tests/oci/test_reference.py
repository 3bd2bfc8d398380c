"""References: one grammar, parsed and printed in one place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uaitrain.errors import UsageError
from uaitrain.oci.reference import Reference, check_host

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("debian", ("docker.io", "library/debian", "latest", None)),
        ("team/job:v1", ("docker.io", "team/job", "v1", None)),
        ("localhost/job", ("localhost", "job", "latest", None)),
        ("localhost:5000/a/b:c", ("localhost:5000", "a/b", "c", None)),
        ("[::1]:5000/a", ("[::1]:5000", "a", "latest", None)),
        ("uhub.ucloud.cn/r/i:uaitrain", ("uhub.ucloud.cn", "r/i", "uaitrain", None)),
        (f"h.io/a@{DIGEST}", ("h.io", "a", "", DIGEST)),
        (f"h.io/a:t@{DIGEST}", ("h.io", "a", "t", DIGEST)),
        ("a__b/c--d.e_f", ("docker.io", "a__b/c--d.e_f", "latest", None)),
    ],
)
def test_references_are_parsed_as_docker_parses_them(
    text: str, parts: tuple[str, str, str, str | None]
) -> None:
    reference = Reference.parse(text)

    assert parts == (
        reference.registry,
        reference.repository,
        reference.tag,
        reference.digest,
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "/", "a/", "/a", "A", "a/B", "a:", "a: b", "a@", "a@sha256:00", "a b", "a..b"),
        *(
            "a/-b",
            "a_.b",
            "ä",
            "a:ä",
            "h.io:99999/a",
            "h.io:/a",
            "a\n",
            f"a@{DIGEST}0",
            "a:" + "t" * 129,
        ),
        "h.io/" + "a" * 256,
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Reference.parse(text)


def test_upper_case_is_refused_with_the_name_that_would_do() -> None:
    with pytest.raises(UsageError, match="team/job"):
        Reference.parse("h.io/Team/Job")


@given(st.text(max_size=300))
def test_any_text_is_parsed_or_refused_and_a_parsed_one_prints_as_itself(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except UsageError:
        return

    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize("host", ["uhub.ucloud.cn", "127.0.0.1:5000", "localhost", "[::1]:80", "h"])
def test_hosts(host: str) -> None:
    assert check_host(host) == host


@pytest.mark.parametrize(
    "host", ["", "http://h", "h/x", "-h", "h:", "h:0x1", "h:65536", "a b", "h\n"]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match="not a registry host"):
        check_host(host)
