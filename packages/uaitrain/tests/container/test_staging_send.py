"""Results out, to a real S3 server over a line that is counted, cut and mended."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.store import (
    BUCKET,
    DIR_CACHE_SECONDS,
    SECRET,
    Stage,
    Store,
    mover,
    new_stage,
    snapshot,
    stage,
    stage3,
    store,
    wait_until,
)

__all__ = ["mover", "stage", "stage3", "store"]

EXIT_RESULTS = 10
RUN = "run-1"
STEPS = ("state", "start")


def sent(stage: Stage) -> dict[str, bytes]:
    """What lies below the output place, by name."""
    root = stage.store.bucket / "out"
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def train(stage: Stage) -> subprocess.Popen[bytes]:
    """A run that trains until `end` is called: its stager sends."""
    process = stage.start(*STEPS, f"until {stage.folder}/end", f"finish {marker(stage)}")
    stage.wait_until(lambda: "did start" in stage.said)
    return process


def marker(stage: Stage) -> Path:
    return stage.output / f".uaitrain/{RUN}.0.complete"


def end(stage: Stage) -> int:
    marker(stage).write_text('{"code": 0}')
    (stage.folder / "end").touch()
    code = stage.started[-1].wait(90)
    (stage.folder / "end").unlink()
    return code


def log(stage: Stage) -> Path:
    path = stage.output / f"log/{RUN}.0.log"
    path.parent.mkdir(exist_ok=True)
    return path


def test_results_appear_while_the_command_runs_and_the_marker_last(stage: Stage) -> None:
    train(stage)
    log(stage).write_text("one\n")
    model, state = snapshot(stage.output, 100)
    stage.wait_until(lambda: state.name in sent(stage))
    assert sent(stage)[model.name] == model.read_bytes()
    assert sent(stage)[state.name] == state.read_bytes()
    wait_until(lambda: sent(stage).get(f"log/{RUN}.0.log") == b"one\n", lambda: stage.said)
    (stage.output / "sub").mkdir()
    (stage.output / "sub/late.txt").write_text("late")

    assert end(stage) == 0, stage.said

    assert sent(stage)["sub/late.txt"] == b"late"
    puts = [path.removeprefix(f"/{BUCKET}/out/") for path in stage.store.line.asked("PUT")]
    assert puts[-1] == f".uaitrain/{RUN}.0.complete"
    assert puts.index(model.name) < puts.index(state.name)
    assert puts.count(model.name) == puts.count(state.name) == 1
    assert f"sent the snapshot {state.name} and its weights" in stage.said


def test_what_is_being_written_is_not_sent(stage: Stage) -> None:
    train(stage)
    staging = stage.output / ".snapshots-being-written-7-7"
    staging.mkdir()
    snapshot(staging, 100)
    (stage.output / ".hidden").write_text("x")
    with (stage.output / "growing.bin").open("wb") as growing:
        growing.write(b"half")
        growing.flush()
        os.utime(stage.output / "growing.bin", (1, 1))
        whole = stage.output / "whole.bin"
        whole.write_bytes(b"whole")
        stage.wait_until(lambda: "whole.bin" in sent(stage))
        assert "growing.bin" not in sent(stage)
        growing.write(b" and half")
    stage.wait_until(lambda: sent(stage).get("growing.bin") == b"half and half")

    assert end(stage) == 0, stage.said

    names = set(sent(stage))
    assert names == {
        *("growing.bin", "whole.bin"),
        *(f".uaitrain/{RUN}.0.complete", f".uaitrain/{RUN}.0.sent.json"),
    }


def test_a_state_without_whole_weights_is_not_sent(stage3: Stage) -> None:
    train(stage3)
    model, state = snapshot(stage3.output, 100)
    model.write_bytes(model.read_bytes()[:500])
    _, lonely = snapshot(stage3.output, 200)
    lonely.with_suffix(".caffemodel").unlink()
    _, good = snapshot(stage3.output, 50)
    stage3.wait_until(lambda: good.name in sent(stage3))

    assert end(stage3) == 0, stage3.said

    assert state.name not in sent(stage3)
    assert lonely.name not in sent(stage3)


def test_a_log_is_sent_while_it_grows(stage3: Stage) -> None:
    train(stage3)
    with log(stage3).open("ab", buffering=0) as growing:
        for number in range(400):
            growing.write(secrets.token_hex(10_000).encode())
            if number % 100 == 0:
                size = growing.tell()
                stage3.wait_until(
                    lambda size=size: len(sent(stage3).get(f"log/{RUN}.0.log", b"")) >= size
                )

    assert end(stage3) == 0, stage3.said

    assert sent(stage3)[f"log/{RUN}.0.log"] == log(stage3).read_bytes()


def test_snapshots_that_retention_removes_are_removed_there_too_but_only_the_runs_own(
    stage: Stage,
) -> None:
    strange = stage.store.put("out/lenet_iter_50.caffemodel", b"of another run")
    train(stage)
    old = snapshot(stage.output, 100)
    stage.wait_until(lambda: old[1].name in sent(stage))
    new = snapshot(stage.output, 200)
    for path in old:
        path.unlink()
    stage.wait_until(lambda: new[1].name in sent(stage) and old[0].name not in sent(stage))

    assert end(stage) == 0, stage.said

    assert old[1].name not in sent(stage)
    assert strange.read_bytes() == b"of another run"
    assert {path.name for path in new} <= set(sent(stage))


def test_training_goes_on_while_the_network_is_gone_and_all_arrives_later(stage: Stage) -> None:
    process = train(stage)
    first = snapshot(stage.output, 100)
    stage.wait_until(lambda: first[1].name in sent(stage))
    stage.store.line.cut()
    log(stage).write_text("while it is gone\n")
    second = snapshot(stage.output, 200)
    stage.wait_until(lambda: "not sent to" in stage.said)
    for path in first:
        path.unlink()
    third = snapshot(stage.output, 300)
    assert process.poll() is None
    stage.store.line.mend()
    stage.wait_until(lambda: third[1].name in sent(stage))
    assert end(stage) == 0, stage.said

    assert stage.said.count("not sent to") == 1
    assert "takes them again; all is sent" in stage.said
    assert {path.name for path in (*second, *third)} <= set(sent(stage))
    assert not {path.name for path in first} & set(sent(stage))
    assert sent(stage)[f"log/{RUN}.0.log"] == b"while it is gone\n"


def test_at_the_end_results_wait_for_the_network(stage3: Stage) -> None:
    train(stage3)
    stage3.store.line.cut()
    pair = snapshot(stage3.output, 100)
    marker(stage3).write_text("{}")
    (stage3.folder / "end").touch()
    stage3.wait_until(lambda: "trying again" in stage3.said)
    stage3.store.line.mend()

    assert stage3.started[-1].wait(60) == 0, stage3.said

    assert {path.name for path in pair} | {f".uaitrain/{RUN}.0.complete"} <= set(sent(stage3))


def test_results_that_were_being_sent_at_a_kill_are_not_sent_twice(stage: Stage) -> None:
    names = [f"result-{n:02d}.bin" for n in range(30)]
    for name in names:
        (stage.output / name).write_bytes(secrets.token_bytes(100_000))
        os.utime(stage.output / name, (1, 1))
    stage.store.line.bytes_per_second = 1_000_000
    stage.start(*STEPS, f"until {stage.folder}/end")
    stage.wait_until(lambda: len(sent(stage)) > 10)
    stage.kill()
    there = set(names) & set(sent(stage))
    assert 5 < len(there) < 30
    stage.store.line.renew()

    train(stage)
    assert end(stage) == 0, stage.said

    puts = [path.rpartition("/")[2] for path in stage.store.line.asked("PUT")]
    again = there & set(puts)
    # The last ones may have arrived when nobody was left to hear of it.
    assert len(again) == 0
    assert stage.store.line.up < (30 - len(there)) * 100_000 + 100_000
    assert all(sent(stage)[name] == (stage.output / name).read_bytes() for name in names)


@pytest.fixture
def other(store: Store, tmp_path: Path) -> Iterator[Stage]:
    """Another machine, where nothing of the run is yet."""
    with new_stage(store, tmp_path / "other") as new:
        yield new


def test_another_machine_goes_on_with_the_newest_complete_pair(stage: Stage, other: Stage) -> None:
    train(stage)
    log(stage).write_text("of the first machine\n")
    (stage.output / f".uaitrain/{RUN}.0.json").write_text('{"attempts": 1}')
    pairs = [snapshot(stage.output, n) for n in (100, 200)]
    stage.wait_until(lambda: pairs[1][1].name in sent(stage))
    stage.wait_until(lambda: f".uaitrain/{RUN}.0.json" in sent(stage))
    stage.kill()
    # A pair whose state never came, one that nobody has told of, another run's state.
    stage.store.put("out/lenet_iter_300.caffemodel", b"half a pair")
    for name in ("lenet_iter_400.caffemodel", "lenet_iter_400.solverstate"):
        stage.store.put(f"out/{name}", b"of another run")
    stage.store.put("out/.uaitrain/run-2.0.json", b"{}")

    assert other.run("state") == 0, other.said

    held = {str(p.relative_to(other.output)) for p in other.output.rglob("*") if p.is_file()}
    assert held == {
        *(path.name for path in pairs[1]),
        *(f".uaitrain/{RUN}.0.json", f".uaitrain/{RUN}.0.sent.json", f"log/{RUN}.0.log"),
    }
    for path in pairs[1]:
        assert (other.output / path.name).read_bytes() == path.read_bytes()
    assert log(other).read_text() == "of the first machine\n"
    other.store.line.reset()

    train(other)
    with log(other).open("a") as growing:
        growing.write("of the second\n")
    newer = snapshot(other.output, 300)
    assert end(other) == 0, other.said

    puts = {path.rpartition("/")[2] for path in other.store.line.asked("PUT")}
    assert not {path.name for path in pairs[1]} & puts
    assert sent(other)[newer[0].name] == newer[0].read_bytes()
    assert sent(other)[f"log/{RUN}.0.log"] == b"of the first machine\nof the second\n"
    ledger = json.loads(sent(other)[f".uaitrain/{RUN}.0.sent.json"])
    assert {"lenet_iter_100.solverstate", "lenet_iter_300.solverstate"} <= set(ledger["snapshots"])


def test_the_same_machine_keeps_what_is_newer_here(stage: Stage) -> None:
    train(stage)
    note = stage.output / f".uaitrain/{RUN}.0.json"
    note.write_text("1")
    log(stage).write_text("one\n")
    pair = snapshot(stage.output, 100)
    stage.wait_until(lambda: {note.name, pair[1].name} <= {Path(n).name for n in sent(stage)})
    stage.wait_until(lambda: not stage.movers())
    stage.kill()
    note.write_text("2")
    log(stage).write_text("one\ntwo\n")
    newest = snapshot(stage.output, 200)

    assert stage.run("state") == 0, stage.said

    assert note.read_text() == "2"
    assert log(stage).read_text() == "one\ntwo\n"
    assert all(path.exists() for path in (*pair, *newest))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"UAITRAIN_OUTPUT": "s3://nobody/out"}, "s3://nobody/out: it does not exist"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong-one"}, "the credentials are refused"),
        ({"UAITRAIN_S3_ENDPOINT": "http://127.0.0.1:1"}, "it cannot be reached"),
        ({"UAITRAIN_OUTPUT": "file:///nowhere/at/all"}, "it does not exist"),
    ],
)
def test_a_place_that_takes_no_results_shows_before_the_command_starts(
    stage3: Stage, change: dict[str, str], text: str
) -> None:
    assert stage3.run(*STEPS, **change) == EXIT_RESULTS, stage3.said

    assert text in stage3.said
    assert SECRET not in stage3.said
    assert "Traceback" not in stage3.said


def test_a_bucket_that_is_gone_at_the_end_fails_the_run_and_keeps_the_results(
    stage3: Stage,
) -> None:
    train(stage3)
    stage3.store.bucket.rename(stage3.store.folder / "elsewhere")
    time.sleep(2 * DIR_CACHE_SECONDS)
    pair = snapshot(stage3.output, 100)

    assert end(stage3) == EXIT_RESULTS

    assert f"results cannot be sent to s3://{BUCKET}/out: it does not exist" in stage3.said
    assert all(path.exists() for path in pair)


def test_each_rank_sends_its_own_log_and_the_first_one_all_else(
    stage3: Stage, other: Stage
) -> None:
    for machine in (stage3, other):
        (machine.output / "log").mkdir()
        (machine.output / f"log/{RUN}.0.log").write_text(f"0 on {machine.folder.name}")
        (machine.output / f"log/{RUN}.1.log").write_text(f"1 on {machine.folder.name}")
        (machine.output / "log/mine.txt").write_text(machine.folder.name)
        (machine.output / "result").write_text(machine.folder.name)
    assert stage3.run("start", "finish") == 0, stage3.said
    assert other.run("start", "finish", UAITRAIN_RANK="1") == 0, other.said

    assert sent(stage3) == {
        f"log/{RUN}.0.log": b"0 on machine",
        f"log/{RUN}.1.log": b"1 on other",
        "log/mine.txt": b"machine",
        "result": b"machine",
        **{f".uaitrain/{RUN}.{rank}.sent.json": b'{"snapshots": {}}' for rank in (0, 1)},
    }


def priority_of(pid: int) -> int | None:
    try:
        return os.getpriority(os.PRIO_PROCESS, pid)
    except ProcessLookupError:
        return None


def test_the_movers_priority_is_the_lowest_beside_a_training(stage3: Stage) -> None:
    train(stage3)
    stage3.store.line.bytes_per_second = 200_000
    (stage3.output / "big").write_bytes(secrets.token_bytes(500_000))
    os.utime(stage3.output / "big", (1, 1))

    # Not at once: the mover's process begins as a copy of ours, and becomes nice then.
    stage3.wait_until(lambda: [priority_of(pid) for pid in stage3.movers()] == [19])

    stage3.store.line.bytes_per_second = 0
    assert end(stage3) == 0, stage3.said
