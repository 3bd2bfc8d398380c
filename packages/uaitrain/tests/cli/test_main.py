"""The command line's own manners: help, exit codes, bugs, output for people and machines."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from uaitrain.cli import main as entry
from uaitrain.cli.console import Console, StatusLine
from uaitrain.cli.main import VERBS, guarded, main
from uaitrain.errors import EXIT_BUG, UaitrainError, UsageError


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "uaitrain", *words], capture_output=True, text=True, check=False
    )


def test_help_names_every_verb_and_exit_code() -> None:
    done = run("--help")

    assert done.returncode == 0
    for verb in VERBS:
        assert f"  {verb} " in done.stdout
    assert "2 usage, 3 preflight" in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(verb: str) -> None:
    done = run(verb, "--help")

    assert done.returncode == 0, done.stderr
    assert "example" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pakc"], "uaitrain pack"),
        (["pack", "--nonsense"], "uaitrain pack --help"),
        (["pack", "--pus"], "'--pus'"),
        (["pack", "--gpus", "many"], "many"),
    ],
)
def test_a_mistyped_line_gets_one_message_and_exit_code_2(words: list[str], said: str) -> None:
    done = run(*words)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bug_is_told_as_one_and_kept_for_a_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken() -> int:
        raise ZeroDivisionError("oh")

    assert guarded(broken, Console()) == EXIT_BUG
    said = capsys.readouterr().err
    assert "bug of uaitrain: ZeroDivisionError" in said
    assert "Traceback" not in said
    report = Path(os.environ["UAITRAIN_CACHE"]) / "bug.txt"
    assert "ZeroDivisionError: oh" in report.read_text()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_with_the_shells_codes(number: int, code: int) -> None:
    def stopped() -> int:
        os.kill(os.getpid(), number)
        signal.pause()
        return 0

    assert guarded(stopped, Console()) == code


def test_errors_are_printed_in_parts_and_as_json_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def wrong() -> int:
        raise UsageError("the thing", allowed="other things", next_step="try one")

    assert guarded(wrong, Console(as_json=True)) == 2
    printed = capsys.readouterr()
    assert "error: the thing\n  allowed: other things\n  next: try one\n" in printed.err
    assert json.loads(printed.out)["error"]["allowed"] == "other things"


def test_every_error_class_has_a_documented_exit_code() -> None:
    import uaitrain.errors as module

    classes = [c for c in vars(module).values() if isinstance(c, type)]
    kinds = [c for c in classes if issubclass(c, UaitrainError) and c is not UaitrainError]

    for kind in kinds:
        if kind is not module.TrainingError:
            assert f"{kind.__name__}" in (module.__doc__ or "")
            assert f" {kind.exit_code} " in (module.__doc__ or "")


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m uaitrain --help | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Traceback" not in done.stderr
    assert done.stdout.strip() == "0"


def test_a_full_disk_behind_the_output_is_told_as_one() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "uaitrain", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 8
    assert "cannot write the output: No space left on device" in done.stderr


def test_progress_shows_on_a_terminal_and_is_wiped_before_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("uaitrain.cli.console._QUIET_SECONDS", 0.0)
    monkeypatch.setattr("uaitrain.cli.console._FRAME_SECONDS", 0.0)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        line = StatusLine(terminal)
        task = line.start("push layer", 2_000_000)
        task.advance(1_000_000)
        line.clear()
        task.done()
        shown = os.read(ours, 4096).decode()
    os.close(ours)

    assert "push layer: 1.0 MB of 2.0 MB (50 %)" in shown
    assert shown.endswith("\r\x1b[K")


def test_piped_output_has_no_colours_and_no_progress() -> None:
    done = run("pack", "--image=Bad")

    assert "\x1b" not in done.stderr + done.stdout


def test_main_without_words_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "A first job:" in capsys.readouterr().out
    assert entry.main(["--version"]) == 0
