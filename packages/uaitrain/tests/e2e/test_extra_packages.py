"""Step 5 of the manual: NLTK with its data, a Debian package and one without wheels, on the real
Caffe base, imported and used inside the container."""

from __future__ import annotations

import json
from pathlib import Path

from support.bases import BuiltBase
from support.engines import RunningDocker
from support.jobs import make_job

_STOP_WORDS = "the\na\nof\n"
_USE = (
    "import os, shutil, caffe, docopt, nltk; from nltk.corpus import stopwords;"
    "os.environ['NLTK_DATA'];"
    "words = nltk.tokenize.wordpunct_tokenize('the loss of a net');"
    "print([w for w in words if w not in stopwords.words('english')], nltk.__version__,"
    " docopt.__version__, shutil.which('tree'), shutil.which('nltk'))"
)


def test_packages_are_there_and_work_and_a_second_pack_makes_nothing(
    tmp_path: Path, caffe_base: BuiltBase, docker_engine: RunningDocker
) -> None:
    job = make_job(tmp_path / "job", caffe_base.oci)
    corpus = job.code / "nltk_data" / "corpora" / "stopwords"
    corpus.mkdir(parents=True)
    (corpus / "english").write_text(_STOP_WORDS)
    job.environment = {"DOCKER_HOST": docker_engine.host}
    words = ["pack", "--image=nltk-job:1", "--solver=/data/solver.prototxt", "--no-check", "--json"]
    words += [f"--base-cpu={caffe_base.oci}", f"--base-gpu={caffe_base.oci}"]
    words += ["--pip=nltk==3.9.1", "--sdist=docopt==0.6.2", "--apt=tree"]

    first = job.uaitrain(*words)
    assert first.returncode == 0, first.stderr
    used = docker_engine.engine.ask(
        *("run", "--rm", "--network=host", "--env=NLTK_DATA=/data/nltk_data"),
        *("--entrypoint=/usr/bin/python", "nltk-job-cpu:1", "-c", _USE),
    )
    again = job.uaitrain(*words)

    assert used.stdout.strip() == "['loss', 'net'] 3.9.1 0.6.2 /usr/bin/tree /usr/local/bin/nltk", (
        used.stderr
    )
    layers = json.loads(again.stdout)["images"]["cpu"]["layers"]
    states = {layer["name"]: layer["state"] for layer in layers}
    assert states["Python packages"] == states["Debian packages"] == "reused"
    assert again.stdout.count(json.loads(first.stdout)["images"]["cpu"]["digest"]) >= 1
