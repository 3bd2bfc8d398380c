"""The launcher's file and its image layer: the same for everybody."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import uaitrain
from container.launched import finished
from support.caffe_rootfs import Box, box
from support.jobs import base_layout, make_job
from uaitrain.frameworks import launcher
from uaitrain.oci.image import Image
from uaitrain.oci.layout import Layout

__all__ = ["box"]

CONTAINER = Path(uaitrain.__file__).parent / "container"


def test_the_file_holds_the_sources_and_train_py_and_is_the_same_each_time() -> None:
    first = launcher.archive()
    launcher.archive.cache_clear()
    sources = {path.name: path.read_bytes() for path in (CONTAINER / "launch").glob("*.py")}
    sources["train.py"] = (CONTAINER / "train.py").read_bytes()

    assert first == launcher.archive()
    with zipfile.ZipFile(io.BytesIO(first)) as file:
        assert {name: file.read(name) for name in file.namelist()} == sources


def test_both_pythons_can_read_all_of_it(box: Box) -> None:
    names = sorted(path.stem for path in (CONTAINER / "launch").glob("*.py"))
    names.remove("__main__")
    assert finished(box, "/bin/true") == 0
    code = f"import sys; sys.path.insert(0, '/data/{launcher.FILE}'); import " + ", ".join(names)

    assert box.start(f"/usr/bin/{box.python}", "-c", code).wait(60) == 0, box.shown


def test_every_image_has_the_same_layer_and_starts_with_it(tmp_path: Path, tiny: Image) -> None:
    digests = set()
    for name in ("one", "other"):
        base = base_layout(tmp_path / name / "base", tiny.configure(entry_point=["/bin/sh"]))
        job = make_job(tmp_path / name, base)
        (job.code / "more.py").write_text(f"NAME = {name!r}\n")
        words = [f"--base-cpu={base}", f"--base-gpu={base}", "--solver=/data/solver.prototxt"]
        words += ["--image=job:1", "--layout=images", "--no-check", "--board=off", "--json"]
        job.environment["SOURCE_DATE_EPOCH"] = str(len(name) * 1000000)
        done = job.uaitrain("pack", *words)
        assert done.returncode == 0, done.stderr
        for image in json.loads(done.stdout)["images"].values():
            layers = {layer["name"]: layer["digest"] for layer in image["layers"]}
            digests.add(layers[launcher.LAYER])
        layout = Layout(job.folder / "images")
        for packed in layout.names():
            config = layout.image(packed).config["config"]
            assert config["Entrypoint"] == ["/usr/bin/python", "/opt/uaitrain/launch.pyz"]
            assert config["Cmd"][:2] == ["/usr/bin/python", "/data/train.py"]

    assert len(digests) == 1
