"""What the provenance statement says, and what it keeps to itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from uaitrain.oci.digest import digest_of
from uaitrain.provenance.contents import File
from uaitrain.provenance.sources import Commit
from uaitrain.provenance.statement import (
    SLSA_TYPE,
    Inputs,
    masked,
    provenance,
    statement,
)
from uaitrain.spec import CPU, GPU, BaseChoice, Framework, Target, TrainSpec

SPEC = TrainSpec(
    framework=Framework("caffe", "1.0.0"),
    code=Path("/home/me/job/code"),
    main_file="train.py",
    data=Path("/home/me/job/data"),
    output=Path("/home/me/job/output"),
    target=Target("uhub.example", "team", "mnist", "v1"),
    solver="/data/solver.prototxt",
    arguments=("--lr=1", "--api_key=abcdefgh"),
    bases={CPU: BaseChoice(), GPU: BaseChoice("oci:/home/me/bases:tiny")},
)
INPUTS = Inputs(
    "pkg:oci/tiny@sha256:00",
    digest_of(b"base"),
    "ab" * 32,
    Commit("cd" * 20, True, "https://example.com/x.git"),
    (File("data/requirements.txt", "ef" * 32, 3),),
)


def test_the_statement_names_everything_that_went_in() -> None:
    value = json.loads(
        statement("uhub.example/team/mnist", digest_of(b"i"), SLSA_TYPE, provenance(SPEC, INPUTS))
    )

    assert value["_type"] == "https://in-toto.io/Statement/v1"
    assert value["predicateType"] == "https://slsa.dev/provenance/v1"
    assert value["subject"] == [
        {"name": "uhub.example/team/mnist", "digest": {"sha256": digest_of(b"i")[7:]}}
    ]
    definition = value["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["solver"] == "/data/solver.prototxt"
    assert definition["externalParameters"]["base"]["wanted"] == "oci:tiny"
    assert definition["resolvedDependencies"] == [
        {
            "name": "base",
            "uri": "pkg:oci/tiny@sha256:00",
            "digest": {"sha256": digest_of(b"base")[7:]},
        },
        {"name": "code", "digest": {"dirHash": "ab" * 32}},
        {
            "name": "git",
            "uri": "git+https://example.com/x.git",
            "digest": {"gitCommit": "cd" * 20},
            "annotations": {"dirty": True},
        },
        {"name": "data/requirements.txt", "digest": {"sha256": "ef" * 32}},
    ]


def test_neither_a_secret_nor_a_path_of_this_machine_is_in_it() -> None:
    text = json.dumps(provenance(SPEC, INPUTS))

    assert "abcdefgh" not in text
    assert "/home/me" not in text
    assert '"--lr=1", "--api_key=***"' in text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["--password=hunter22"], ["--password=***"]),
        (["--db-password", "hunter22", "more"], ["--db-password", "***", "more"]),
        (["--token", "--lr=1"], ["--token", "--lr=1"]),
        (["ghp_" + "a" * 36], ["***"]),
        (["--url=https://me:hunter22@host/x"], ["***"]),
        (["--tokens=5"], ["--tokens=***"]),
        (["--lr=0.1", "plain", "\udcff"], ["--lr=0.1", "plain", "\\xff"]),
    ],
)
def test_what_looks_like_a_secret_is_masked(given: list[str], shown: list[str]) -> None:
    assert masked(given) == shown
