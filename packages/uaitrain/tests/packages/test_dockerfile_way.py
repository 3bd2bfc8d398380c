"""The manual's Dockerfile and the commands below it, as they stand there, with a real Docker and a
real registry: what it installs is used inside the packed image."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from support.bases import REPOSITORY, BuiltBase
from support.engines import RunningDocker
from support.jobs import make_job
from support.registry import RunningRegistry
from uaitrain.packages import apt

_PAGE = REPOSITORY / "docs" / "manual" / "extra-packages.md"
_SHOWN_HOST = "registry.example.com"
_SHOWN_MIRROR = "http://mirror.example.com/debian"
_MORE = {
    # The tests' engine has no network of its own.
    "docker build": ["--network=host"],
    "uaitrain pack": ["--image=by-dockerfile:1", "--solver=/data/solver.prototxt", "--no-check"],
}
_USE = (
    "import caffe, nltk, os; print(nltk.tokenize.wordpunct_tokenize('the loss of a net'),"
    " os.path.exists('/data/helper.py'))"
)


def _shown(language: str) -> str:
    _, _, section = _PAGE.read_text("utf-8").partition("## A Dockerfile of your own")
    found = re.search(rf"^```{language}$\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found, f"{_PAGE} has no block in {language}"
    return found[1]


def _mirror(folder: Path) -> str:
    """This machine's own, as packages.apt takes it."""
    apt.name_mirrors(folder)
    told = (folder / "mirrors").read_text() + (folder / "machine").read_text()
    return next(
        word.rstrip("/") for word in told.split() if re.fullmatch(r"https?://.*/debian/?", word)
    )


def test_a_base_of_the_users_dockerfile_is_packed_upon(
    tmp_path: Path,
    caffe_base: BuiltBase,
    docker_engine: RunningDocker,
    registry: RunningRegistry,
) -> None:
    job = make_job(tmp_path / "job", "")
    job.environment = {"DOCKER_HOST": docker_engine.host, "UAITRAIN_CACHE": str(caffe_base.cache)}
    dockerfile = _shown("dockerfile").replace(_SHOWN_HOST, registry.host)
    assert _SHOWN_MIRROR in dockerfile
    dockerfile = dockerfile.replace(_SHOWN_MIRROR, _mirror(tmp_path))
    (job.folder / "Dockerfile").write_text(dockerfile)
    more = {**_MORE, "uaitrain pack": [*_MORE["uaitrain pack"], f"--base-gpu={caffe_base.oci}"]}
    for line in _shown("bash").replace(_SHOWN_HOST, registry.host).splitlines():
        words = shlex.split(line)
        words += more.get(" ".join(words[:2]), [])
        program = [sys.executable, "-m", "uaitrain"] if words[0] == "uaitrain" else words[:1]
        done = subprocess.run(
            [*program, *words[1:]],
            cwd=job.folder,
            env=job.whole_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"

    used = docker_engine.engine.answer(
        *("run", "--rm", "--network=host", "--entrypoint=/usr/bin/python"),
        *("by-dockerfile-cpu:1", "-c", _USE),
    )

    assert used.strip() == "['the', 'loss', 'of', 'a', 'net'] True"
