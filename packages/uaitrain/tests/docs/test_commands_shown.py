"""What the documentation shows is what happens.

Every ``console`` block is executed: lines with ``$`` are typed, the rest is what must come. A line
``...`` stands for any lines, ``[...]`` for any text in a line. The blocks of a page share one
folder, shown as ``/home/me``; ``<!-- start: mnist -->`` above a block gives it a fresh one.
"""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from doc_pages import Block, blocks, repository_files
from support.bases import REPOSITORY
from support.tiny_image import layer_of
from uaitrain.bases import labels
from uaitrain.bases.store import Store
from uaitrain.cli import caffe_tool, main
from uaitrain.oci.image import History, Image

PAGES = repository_files("*.md")
SESSIONS = [page for page in PAGES if any(b.language == "console" for b in blocks(page))]
TYPED = [page for page in PAGES if any(b.language in ("bash", "console") for b in blocks(page))]

BASE = "caffe-1.0.0-debian11-cpu"
SHOWN_FOLDER = "/home/me"
MUST_BE_SHOWN = (
    "uaitrain --help",
    "uaitrain init",
    "uaitrain check",
    "uaitrain base list",
    "uaitrain pack",
)


def _empty(folder: Path) -> Path:
    return folder


def _mnist(folder: Path) -> Path:
    """The example's code, and a base by the name that ``uaitrain init`` writes.

    The base is a stand-in of a few bytes: these blocks pack, they do not train.
    """
    shutil.copytree(REPOSITORY / "examples" / "mnist" / "code", folder / "mnist" / "code")
    config = {"os": "linux", "architecture": "amd64"}
    layer = layer_of({"usr/bin/python3.9": b"a stand-in\n"}, {"usr/bin/python": "python3.9"})
    base = Image((), config).append([layer], [History("a stand-in")])
    told = {labels.NAME: BASE, labels.PYTHON: "3.9.2", labels.ACCELERATOR: "cpu"}
    Store.default().put(base.configure(labels=told), BASE)
    return folder / "mnist"


STARTS: dict[str, Callable[[Path], Path]] = {"empty": _empty, "mnist": _mnist}


@dataclass
class Shell:
    """bash in ``folder``, which a ``cd`` changes; ``home`` is shown as SHOWN_FOLDER."""

    home: Path
    folder: Path

    def type(self, command: str, environment: dict[str, str]) -> str:
        where = self.home.with_suffix(".where")
        script = f'{command}\nlast=$?; pwd >"{where}"; exit $last'
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.folder = Path(where.read_text().strip())
        return done.stdout.replace(str(self.home), SHOWN_FOLDER)


def _exchanges(block: Block) -> Iterator[tuple[str, str]]:
    """Commands with the output that is shown for them."""
    for piece in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        lines = piece.splitlines()
        count = 1
        while lines[count - 1].endswith("\\"):
            count += 1
        yield "\n".join(lines[:count]), "\n".join(lines[count:]).strip("\n")


def _pattern(shown: str) -> re.Pattern[str]:
    lines = []
    for line in shown.splitlines():
        if line.strip() == "...":
            lines.append(r"(?:[^\n]*\n)*?")
        else:
            lines.append(re.escape(line.rstrip()).replace(r"\[\.\.\.\]", r"[^\n]*") + r"[ ]*\n")
    return re.compile("".join(lines) + r"\n*")


@pytest.mark.parametrize("page", SESSIONS, ids=str)
def test_what_a_page_shows_is_what_happens(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = str(Path(sys.executable).parent)
    environment = {
        "PATH": f"{scripts}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        # No engine: what a page shows must not depend on the one that runs here.
        "UAITRAIN_ENGINE": "docker",
        "DOCKER_HOST": f"unix://{tmp_path}/no-docker.sock",
    }
    shell = Shell(tmp_path, tmp_path)
    for number, block in enumerate(b for b in blocks(page) if b.language == "console"):
        if block.start or number == 0:
            home = tmp_path / f"home{number}"
            home.mkdir()
            environment |= {"HOME": str(home), "UAITRAIN_CACHE": str(home / ".cache/uaitrain")}
            for name in ("HOME", "UAITRAIN_CACHE"):
                monkeypatch.setenv(name, environment[name])
            shell = Shell(home, STARTS[block.start or "empty"](home))
        for command, shown in _exchanges(block):
            output = shell.type(command, environment)

            assert _pattern(shown).fullmatch(output + "\n"), f"{block}: $ {command}\n{output}"


def test_the_pages_show_what_a_newcomer_meets_first() -> None:
    typed = [c for page in SESSIONS for b in blocks(page) for c, _ in _exchanges(b)]

    assert [w for w in MUST_BE_SHOWN if not any(c.startswith(w) for c in typed)] == []


def _calls(text: str, program: str) -> Iterator[list[str]]:
    """The words after ``program`` of every call in shell text; ``<NAMES>`` are filled in."""
    joined = re.sub(r"<([A-Z_]+)>", lambda name: name[1].lower(), text.replace("\\\n", " "))
    for line in joined.splitlines():
        command = line.strip()
        # An ellipsis says that parameters are left out.
        if program not in command or command.startswith("#") or "…" in command:
            continue
        words = shlex.shlex(command, posix=True, punctuation_chars="|;&")
        words.whitespace_split = True
        call: list[str] | None = None
        for word in words:
            if word in ("|", ";", "&&", "||"):
                if call is not None:
                    yield call
                call = None
            elif call is not None:
                call.append(word)
            elif word == program:
                call = []
        if call is not None:
            yield call


@pytest.mark.parametrize("page", TYPED, ids=str)
def test_every_call_is_one_that_the_parser_takes(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is run: the verbs' bodies are replaced, the flags are judged by the real parser."""
    for verb in main.VERBS:
        module = importlib.import_module(f"uaitrain.cli.{verb}")
        monkeypatch.setattr(module, "run", lambda arguments, console: 0)
    refused = []
    for block in blocks(page):
        if block.language == "bash":
            for words in _calls(block.text, "uaitrain"):
                if main.main(words):
                    refused.append((str(block), words, capsys.readouterr().err))

    assert refused == []


@pytest.mark.parametrize("page", TYPED, ids=str)
def test_every_call_of_the_manuals_tool_is_one_that_it_takes(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Judged up to the TrainSpec; what would pack is replaced."""
    monkeypatch.setattr("uaitrain.flow.pack", lambda *words: None)
    monkeypatch.setattr(caffe_tool, "show", lambda *words, as_json: None)
    refused = [
        (str(block), words, capsys.readouterr().err)
        for block in blocks(page)
        if block.language == "bash"
        for words in _calls(block.text, "caffe_tool.py")
        if "--help" not in words and caffe_tool.main(words, tmp_path)
    ]

    assert refused == []
