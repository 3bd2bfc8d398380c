"""The launcher as a first process: exit codes, signals, orphans, output."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import termios
from pathlib import Path

import pytest
from container.launched import FIRST, LISTENS, PYTHON, finished, launch, log_of
from support.caffe_rootfs import Box

CODES = {
    "exit 0": 0,
    "exit 1": 1,
    "exit 42": 42,
    "exit 127": 127,
    "exit 137": 5,
    "exit 139": 4,
    "exit 134": 3,
    "exit 143": 5,
    "exit 255": 1,
    "kill -KILL $$": 5,
    "kill -SEGV $$": 4,
    "kill -ABRT $$": 3,
    "kill -TERM $$": 5,
    "kill -HUP $$": 5,
}


@pytest.mark.parametrize("line", CODES)
def test_every_end_has_a_code_of_the_contract(box: Box, line: str) -> None:
    """143 is a stop by request alone, and 137 never comes."""
    code = CODES[line]

    assert finished(box, "/bin/bash", "-c", f"echo last words; {line}") == code
    assert (box.output / "failure").exists() == (code != 0)
    if code:
        assert "last words" in box.failure


@pytest.mark.parametrize(("program", "code"), [("/no/such", 127), ("/etc/hostname", 126)])
def test_what_cannot_be_started_is_said(box: Box, program: str, code: int) -> None:
    assert finished(box, program) == code
    assert box.failure.startswith(f"cannot start {program}: ")


def test_without_a_command_it_says_how_it_is_used(box: Box) -> None:
    assert finished(box) == 2
    assert "usage: launch.pyz COMMAND" in box.shown


def test_the_failure_file_holds_caffes_own_words_in_at_most_1_kb(box: Box) -> None:
    fatal = "F1124 19:00:00.000001     7 net.cpp:1] Check failed: a == b \\303\\251"
    line = f"yes noise | head -2000; printf '{fatal} %02000d\\n' 1; kill -ABRT $$"

    assert finished(box, "/bin/bash", "-c", line) == 3
    assert "Check failed: a == b é" in box.failure
    assert len((box.output / "failure").read_bytes()) <= 1024
    assert "noise" not in box.failure


def test_the_commands_own_failure_file_stays(box: Box) -> None:
    (box.output / "failure").write_text("of an earlier run")

    assert finished(box, "/bin/bash", "-c", "echo mine >/data/output/failure; exit 6") == 6
    assert box.failure == "mine\n"
    assert finished(box, "/bin/true") == 0
    assert not (box.output / "failure").exists()


@pytest.mark.parametrize("first", [(), FIRST, FIRST[:-1]])
@pytest.mark.parametrize(
    "line",
    [
        "cd /data && {command}",
        "cd /data && {command}; exit $?",
        "/bin/sh -c '{command}; exit $?'; exit $?",
        "exec {command}",
    ],
)
def test_a_stop_reaches_the_program_behind_shells_once(
    box: Box, line: str, first: tuple[str, ...]
) -> None:
    """Alone, as first process, and where /proc is of another PID namespace."""
    command = f"{PYTHON} {box.write('listens.py', LISTENS)} 0.5"
    process = launch(box, "/bin/bash", "-c", line.format(command=command), first=first)
    box.wait_for("begun")
    launcher = _launcher(process, first)
    if first != FIRST[:-1]:
        # Where processes cannot be told apart, only a stop is sure to find its way.
        os.kill(launcher, signal.SIGUSR1)
        box.wait_for("heard 10")
    os.kill(launcher, signal.SIGTERM)
    box.wait_for("heard 15")
    os.kill(launcher, signal.SIGTERM)

    assert process.wait(60) == 143
    assert box.shown.count("heard 15") == 1
    assert not (box.output / "failure").exists()


def _launcher(process: subprocess.Popen[bytes], first: tuple[str, ...]) -> int:
    if not first:
        return process.pid
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0])


def test_every_signal_that_can_be_caught_is_passed_on(box: Box) -> None:
    script = box.write("listens.py", LISTENS)
    process = launch(box, PYTHON, script)
    box.wait_for("begun")
    not_ours = {"KILL", "STOP", "CHLD", "SEGV", "BUS", "FPE", "ILL", "ABRT", "TRAP", "SYS"}
    not_ours |= {"PIPE", "XFSZ", "TTIN", "TTOU", "TERM", "CLD", "IOT"}
    sent = [each for each in signal.Signals if each.name[3:] not in not_ours]
    for number in sent:
        process.send_signal(number)
        box.wait_for(f"heard {int(number)}\n")
    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == 143
    assert len(sent) > 15


def test_a_program_that_does_not_listen_is_stopped_by_its_signal(box: Box) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        process = launch(box, "/bin/bash", "-c", "echo begun; exec sleep 1000")
        box.wait_for("begun")
        box.wait_until(lambda p=process: "sleep" in _children(p))  # type: ignore[misc]
        process.send_signal(number)

        assert process.wait(60) == 143


def _children(process: subprocess.Popen[bytes]) -> str:
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return " ".join(Path(f"/proc/{pid}/comm").read_text() for pid in found)


def test_what_the_command_leaves_running_ends_before_the_launcher(box: Box) -> None:
    line = "sleep 1000 & echo pid $!; setsid sleep 1001 & echo pid $!; echo ended; sleep 0.2"

    assert finished(box, "/bin/bash", "-c", line) == 0
    pids = re.findall(r"pid (\d+)", box.shown)
    assert len(pids) == 2
    box.wait_until(
        lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], running=False
    )


def test_orphans_are_reaped_while_the_command_runs(box: Box) -> None:
    line = "for i in 1 2 3 4 5; do (sleep 0.1 & ) ; done; sleep 0.5; echo begun; read -r _"
    process = launch(box, "/bin/bash", "-c", line, first=FIRST, stdin=subprocess.PIPE)
    box.wait_for("begun")
    inner = _launcher(process, FIRST)
    found = Path(f"/proc/{inner}/task/{inner}/children").read_text().split()

    assert len(found) == 1
    assert process.stdin is not None
    process.stdin.close()
    process.wait(60)


def test_output_is_shown_and_logged_byte_for_byte(box: Box) -> None:
    script = """
import os, sys
data = bytes(bytearray(range(256))) * 8192
os.write(1, b"begin")
rest = data
while rest:
    rest = rest[os.write(1, rest):]
os.write(1, b"no end of line")
os.kill(os.getpid(), 9)
"""
    assert finished(box, PYTHON, box.write("bytes.py", script)) == 5

    expected = b"begin" + bytes(range(256)) * 8192 + b"no end of line"
    shown = (box.data / "shown").read_bytes()
    assert shown.startswith(expected + b"\nlaunch: failed: ")
    assert log_of(box).read_bytes() == shown


def test_stdout_and_stderr_stay_apart_where_they_are(box: Box) -> None:
    apart = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = launch(box, "/bin/sh", "-c", "echo one; echo two >&2", **apart)

    assert process.communicate() == (b"one\n", b"two\n")
    assert sorted(log_of(box).read_text().split()) == ["one", "two"]


def test_a_part_of_a_line_is_passed_on_at_once(box: Box) -> None:
    process = launch(box, "/bin/sh", "-c", "printf half; read -r _", stdin=subprocess.PIPE)
    box.wait_for("half")

    assert log_of(box).read_bytes() == b"half"
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 1


def test_a_full_disk_is_told_once_and_does_not_end_the_command(box: Box) -> None:
    (box.output / "log").mkdir()
    size = "mount -t tmpfs -o size=64k none /data/output/log && exec "
    line = "head -c 300000 /dev/zero | tr '\\0' x; echo done; exit 0"
    command = f'{size} /usr/bin/{box.python} /data/launch.pyz /bin/sh -c "{line}"'
    launch(box, "/bin/true").wait()
    (next((box.output / "log").iterdir())).unlink()

    assert box.start("/bin/bash", "-c", command).wait(60) == 0
    assert "done" in box.shown
    assert box.shown.count("has gaps from here on: No space left on device") == 1
    assert box.shown.count("x") >= 300000


def test_without_a_place_for_the_log_the_command_runs_and_train_py_judges(box: Box) -> None:
    (box.output / "log").write_text("a file, where the folder should be")

    assert finished(box, "/bin/sh", "-c", "echo launched=$UAITRAIN_LAUNCHED") == 0
    assert "launch: cannot write the log /data/output/log/" in box.shown
    assert "launched=\n" in box.shown


def test_on_a_terminal_the_command_has_one_too_and_its_keys(box: Box) -> None:
    here, there = pty.openpty()
    termios.tcsetwinsize(there, (33, 99))
    line = "test -t 0 && test -t 2 && stty size <&1 && trap 'echo key; exit 143' INT; echo begun; "
    process = launch(
        *(box, "/bin/bash", "-c", line + "while :; do sleep 0.05; done"),
        **{"first": ("setsid", "--ctty"), "stdin": there, "stdout": there, "stderr": there},
    )
    os.close(there)
    shown = b""
    while b"begun" not in shown:
        shown += os.read(here, 4096)
    os.write(here, b"\x03")

    assert process.wait(60) == 143
    while b"key" not in shown:
        shown += os.read(here, 4096)
    os.close(here)
    assert b"33 99\r\nbegun\r\n" in shown
