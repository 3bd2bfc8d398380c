"""Paths of the container lead to the mounts, the most specific first."""

from __future__ import annotations

import pytest
from preflight_job import Job
from uaitrain.preflight.paths import CODE, DATA, IMAGE, OUTPUT, resolve


@pytest.mark.parametrize(
    ("path", "side", "relative"),
    [
        ("/data/output/a/b", OUTPUT, "a/b"),
        ("/data/output", OUTPUT, ""),
        ("/data/outputs/a", CODE, "outputs/a"),
        ("/data/data/a", DATA, "a"),
        ("/data/data/../net.prototxt", CODE, "net.prototxt"),
        ("/data/net.prototxt", CODE, "net.prototxt"),
        ("/data", CODE, ""),
        ("//data//data/a", DATA, "a"),
        ("net.prototxt", CODE, "net.prototxt"),
        ("./data/a", DATA, "a"),
        ("../data/data/a", DATA, "a"),
        ("../opt/a", IMAGE, "opt/a"),
        ("/dataset/a", IMAGE, "dataset/a"),
        ("/data/../../opt", IMAGE, "opt"),
    ],
)
def test_a_path_has_one_place(job: Job, path: str, side: str, relative: str) -> None:
    place = resolve(job.spec, path)

    hosts = {CODE: job.code, DATA: job.data, OUTPUT: job.output}
    assert (place.side, place.relative) == (side, relative)
    assert place.host == (hosts[side] / relative if side in hosts else None)
