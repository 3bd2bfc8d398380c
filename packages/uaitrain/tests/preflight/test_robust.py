"""Whatever stands in the files, preflight answers with findings."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from preflight_job import HISTORY, NET, SOLVER, Job
from uaitrain.preflight import Finding

SCRAPS = ["{", "}", '"', ":", "layer", "include", "phase", "TEST", "-1", "é", "\\", "#", "0x", "\n"]


def damaged(text: str, chance: random.Random) -> str:
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text))
        until = min(len(text), at + chance.choice([0, 1, 5, 40]))
        text = text[:at] + chance.choice(["", *SCRAPS]) + text[until:]
    return text


@pytest.mark.parametrize("seed", range(150))
def test_a_damaged_prototxt_gives_findings_or_none(seed: int, job: Job) -> None:
    chance = random.Random(seed)  # noqa: S311 no secret
    name, text = chance.choice([("solver.prototxt", SOLVER), ("net.prototxt", NET)])
    (job.code / name).write_text(damaged(text, chance), "utf-8")

    assert all(isinstance(finding, Finding) for finding in job.findings())


@pytest.mark.parametrize("seed", range(60))
def test_damaged_data_gives_findings_or_none(seed: int, job: Job) -> None:
    chance = random.Random(seed)  # noqa: S311 no secret
    state = job.state(HISTORY)
    path: Path = chance.choice([job.data / "train_lmdb" / "data.mdb", state])
    data = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 30)):
        data[chance.randrange(min(len(data), 9000))] = chance.randrange(256)
    path.write_bytes(data[: chance.randrange(len(data))])

    assert all(isinstance(finding, Finding) for finding in job.findings())


@pytest.mark.parametrize("folder", ["data", "output"])
def test_a_loop_of_links_gives_findings(folder: str, job: Job) -> None:
    root: Path = getattr(job, folder)
    shutil.rmtree(root)
    root.mkdir()
    (root / "loop").symlink_to("loop")
    job.change(snapshot=f"/data/{folder}/loop", **{folder: root / "loop"})

    assert all(isinstance(finding, Finding) for finding in job.findings())
