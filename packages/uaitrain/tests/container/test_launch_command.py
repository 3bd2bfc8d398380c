"""The launcher reads commands, and puts --snapshot among their words."""

from __future__ import annotations

import json

from container.launched import finished
from support.caffe_rootfs import Box

NEW = "/data/output/x_iter_9.solverstate"
ADDED = f"--snapshot={NEW}"

WORDS = {
    ("/usr/bin/python", "/data/train.py", "--solver=s"): [
        *("/usr/bin/python", "/data/train.py", ADDED, "--solver=s")
    ],
    ("python3", "-u", "m.py", "--snapshot", "old", "--snapshot=older", "last"): [
        *("python3", "-u", "m.py", ADDED, "last")
    ],
    ("/data/train.py", "--a b"): ["/data/train.py", ADDED, "--a b"],
}
"""Argument vectors, before and after."""

LINES = {
    "cd /data && /usr/bin/python /data/train.py --solver=s --log_dir=/l": (
        f"cd /data && /usr/bin/python /data/train.py {ADDED} --solver=s --log_dir=/l"
    ),
    "python3 m.py": f"python3 m.py {ADDED}",
    "python3 m.py; exit $?": f"python3 m.py {ADDED}; exit $?",
    "python m.py --snapshot=old --b c | tee log": f"python m.py {ADDED} --b c | tee log",
    "python m.py --b 'x y' --snapshot '/o l/d' >out": f"python m.py {ADDED} --b 'x y' >out",
    "X=1 python2.7 -u '/data/my main.py' --a && echo --snapshot=kept": (
        f"X=1 python2.7 -u '/data/my main.py' {ADDED} --a && echo --snapshot=kept"
    ),
    "echo python; python m.py\nls --snapshot=kept": (
        f"echo python; python m.py {ADDED}\nls --snapshot=kept"
    ),
    'python "/data/a b.py" "--solver=$S"': f'python "/data/a b.py" {ADDED} "--solver=$S"',
}

WITHOUT = ["python -m caffe train", "python -c 'import x'", "bash run.sh", "ls main.py", "python"]
"""Lines in which there is no main file to be found."""

CODE = """
import json, sys
sys.path.insert(0, "/data/launch.pyz")
from command import Command
asked = json.loads(sys.stdin.read())
told = []
for argv in asked:
    command = Command([str(word) for word in argv])
    told.append([command.main, command.options, command.main and command.with_snapshot(%r)])
json.dump(told, sys.stdout)
"""


def read(box: Box, commands: list[list[str]]) -> list[list[object]]:
    """What each command's main file and options are, and its words with --snapshot."""
    assert finished(box, "/bin/true") == 0
    asked = box.write("asked", json.dumps(commands))
    code = box.write("ask.py", CODE % NEW)
    program = f"/usr/bin/{box.python} {code} <{asked}"
    assert box.start("/bin/sh", "-c", program).wait(60) == 0, box.shown
    told: list[list[object]] = json.loads(box.shown)
    return told


def test_snapshot_goes_behind_the_main_file_in_place_of_an_older_one(box: Box) -> None:
    told = read(box, [*map(list, WORDS), *(["/bin/bash", "-c", line] for line in LINES)])

    expected = [*WORDS.values(), *(["/bin/bash", "-c", line] for line in LINES.values())]
    assert [each[2] for each in told] == expected


def test_a_command_without_a_main_file_is_left_alone(box: Box) -> None:
    told = read(box, [["/bin/sh", "-c", line] for line in WITHOUT] + [["bash"], ["sh", "x.py"]])

    assert [each[0] for each in told] == [""] * len(told)


def test_options_are_those_of_the_main_file(box: Box) -> None:
    line = (
        "x --solver=no; cd /data && python t.py --solver '/data/a b' --output_dir=/o; y --log_dir=l"
    )
    told = read(box, [["/bin/bash", "-ec", line]])

    assert told[0][:2] == ["t.py", {"solver": "/data/a b", "output_dir": "/o"}]
