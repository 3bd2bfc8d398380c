"""For each rule, one way to break the good job so that the rule speaks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from preflight_job import Job, make_lmdb
from uaitrain.preflight import EngineAnswer, code_folder, secrets

IMAGES = (
    'layer {{ name: "i" type: "ImageData" top: "data" top: "label"'
    " include {{ phase: TRAIN }} image_data_param {{ {} }} }}"
)
HDF5 = (
    'layer {{ name: "h" type: "HDF5Data" top: "data" top: "label"'
    " include {{ phase: TRAIN }}"
    " hdf5_data_param {{ batch_size: 8 {} }} }}"
)


def _no_python2(job: Job) -> None:
    job.own_main('print "iteration", 1\n')


def _newer_python(job: Job) -> None:
    job.own_main("with a b c:\n    pass\n")
    job.base("cpu", python="3.99")


def _refused_by_an_engine_here(job: Job) -> None:
    job.engine = EngineAnswer(error={"what": 'layer "conv": kernel_size is 0', "allowed": ""})


def _refused_by_the_images_engine(job: Job) -> None:
    _refused_by_an_engine_here(job)
    job.base("cpu", engine="caffe-torch 0.1.0")


def _engine_failed(job: Job) -> None:
    job.engine = EngineAnswer(failure="it failed: ImportError: no torch")


def _main_folder(job: Job) -> None:
    (job.code / "run.py").mkdir()
    (job.code / "run.py" / "a.py").write_text("a = 1\n")
    job.change(main_file="run.py")


def _empty_lmdb(job: Job) -> None:
    shutil.rmtree(job.data / "train_lmdb")
    make_lmdb(job.data / "train_lmdb", records=0)


def _broken_lmdb(job: Job) -> None:
    (job.data / "train_lmdb" / "data.mdb").write_bytes(bytes(100_000))


def _short_lmdb(job: Job) -> None:
    path = job.data / "train_lmdb" / "data.mdb"
    os.truncate(path, path.stat().st_size - 8192)


def _listed_missing(job: Job) -> None:
    (job.data / "list.txt").write_text("one.jpg 0\ntwo.jpg 1\n")
    job.data_layer(IMAGES.format('source: "/data/data/list.txt" root_folder: "/data/data/"'))


def _list_line(job: Job) -> None:
    (job.data / "list.txt").write_text("one.jpg\n")
    job.data_layer(IMAGES.format('source: "/data/data/list.txt"'))


def _not_hdf5(job: Job) -> None:
    (job.data / "train.h5").write_bytes(b"no")
    (job.data / "list.txt").write_text("/data/data/train.h5\n")
    job.data_layer(HDF5.format('source: "/data/data/list.txt"'))


def _python_layer(job: Job) -> None:
    job.net(
        'layer { name: "relu"',
        'layer { name: "py" type: "Python" bottom: "conv" top: "py"'
        ' python_param { module: "mine" layer: "Mine" } }\nlayer { name: "relu"',
    )


def _hdf5_output(job: Job) -> None:
    job.net(
        'layer { name: "relu"',
        'layer { name: "out" type: "HDF5Output" bottom: "conv" bottom: "label"'
        ' hdf5_output_param { file_name: "/tmp/out.h5" } }\nlayer { name: "relu"',
    )


def _not_writable(job: Job) -> None:
    shutil.rmtree(job.output)
    job.output.write_text("a file")


def _not_a_state(job: Job) -> None:
    job.state()
    job.change(snapshot="/data/output/tiny_iter_250.caffemodel")


def _no_weights(job: Job) -> None:
    job.state()
    (job.output / "tiny_iter_250.caffemodel").unlink()


def _code_database(job: Job) -> None:
    make_lmdb(job.code / "lmdb", records=1)
    os.truncate(job.code / "lmdb" / "data.mdb", code_folder.DATABASE_BYTES + 1)


def _large(job: Job) -> None:
    (job.code / "weights.bin").touch()
    os.truncate(job.code / "weights.bin", code_folder.LARGE_BYTES)


def _hidden(job: Job) -> None:
    (job.code / "data").mkdir()
    (job.code / "data" / "labels.txt").write_text("cat\n")


def _job_folders(job: Job) -> None:
    shutil.move(job.data, job.code / "mnist")
    job.change(data=job.code / "mnist")


def _many_files(job: Job) -> None:
    for index in range(secrets.MOST_FILES + 1):
        (job.code / f"{index}.txt").write_text("text\n")


def _write(name: str, text: str) -> Callable[[Job], None]:
    def write(job: Job) -> None:
        (job.code / name).write_text(text, "utf-8")

    return write


def _solver(old: str, new: str) -> Callable[[Job], None]:
    return lambda job: job.solver(old, new)


def _net(old: str, new: str) -> Callable[[Job], None]:
    return lambda job: job.net(old, new)


def _change(**fields: object) -> Callable[[Job], None]:
    return lambda job: job.change(**fields)


def _own_main_and_solver(old: str, new: str) -> Callable[[Job], None]:
    def both(job: Job) -> None:
        job.own_main("import caffe\n")
        job.solver(old, new)

    return both


CONV = 'name: "conv" type: "Convolution"'

CASES: dict[str, Callable[[Job], None]] = {
    "main-file-missing": _change(main_file="trian.py"),
    "main-file-unreadable": _main_folder,
    "main-file-syntax": _no_python2,
    "main-file-syntax-unsure": _newer_python,
    "solver-not-given": _change(solver=""),
    "solver-missing": _change(solver="/data/data/solver.prototxt"),
    "solver-not-looked-at": _change(solver="/opt/caffe/solver.prototxt"),
    "solver-no-net": _solver('net: "/data/net.prototxt"', ""),
    "solver-many-nets": _solver("type:", 'train_net: "/data/net.prototxt"\ntype:'),
    "max-iter": _solver("max_iter: 500", "max_iter: 0"),
    "base-lr": _solver("base_lr: 0.01", ""),
    "lr-policy": _solver('"inv"', '"inverse"'),
    "lr-policy-field": _solver('"inv"', '"step"'),
    "solver-type": _solver('"SGD"', '"SDG"'),
    "solver-momentum": _solver('"SGD"', '"AdaGrad"'),
    "solver-mode": _own_main_and_solver("type:", "solver_mode: GPU\ntype:"),
    "prototxt-syntax": _solver("base_lr: 0.01", "base_lr: fast"),
    "prototxt-unknown-field": _net("kernel_size", "kernal_size"),
    "prototxt-unknown-value": _net("backend: LMDB", "backend: LMBD"),
    "prototxt-required": _net('type: "ReLU"', 'type: "Clip" clip_param { min: 0 }'),
    "net-missing": _solver("/data/net.prototxt", "/data/nett.prototxt"),
    "net-not-looked-at": _solver("/data/net.prototxt", "/opt/caffe/net.prototxt"),
    "net-mixed-ages": _net("layer {", 'layers { name: "old" type: RELU }\nlayer {'),
    "layer-type-unknown": _net('"Convolution"', '"Convolutoin"'),
    "layer-bottoms": _net('bottom: "ip" bottom: "label" top: "loss"', 'bottom: "ip" top: "loss"'),
    "layer-include-and-exclude": _net(
        CONV, CONV + " include { phase: TRAIN } exclude { phase: TEST }"
    ),
    "bottom-unknown": _net('bottom: "data"', 'bottom: "dta"'),
    "top-twice": _net('name: "relu" type: "ReLU" bottom: "conv"', 'type: "ReLU" bottom: "data"'),
    "layer-name-twice": _net('name: "ip"', 'name: "conv"'),
    "net-empty": lambda job: (job.code / "net.prototxt").write_text('name: "empty"\n') and None,
    "net-no-loss": _net('"SoftmaxWithLoss"', '"Accuracy"'),
    "python-layer-module": _python_layer,
    "net-not-fed": _net('name: "tiny"', 'input: "more" input_shape { dim: 1 }'),
    "test-iter": _solver("test_iter: 10", 'test_net: "/data/net.prototxt"'),
    "test-interval": _solver("test_interval: 100", ""),
    "test-never": _solver("test_iter: 10", ""),
    "test-state": _solver("type:", "test_state { level: 1 } test_state { level: 2 }\ntype:"),
    "data-folder-missing": lambda job: shutil.rmtree(job.data),
    "source-not-given": _net('source: "/data/data/train_lmdb"', ""),
    "source-missing": lambda job: shutil.rmtree(job.data / "train_lmdb"),
    "source-not-looked-at": _net("/data/data/train_lmdb", "/usr/share/train_lmdb"),
    "backend": _net(" backend: LMDB", ""),
    "database-broken": _broken_lmdb,
    "source-empty": _empty_lmdb,
    "database-truncated": _short_lmdb,
    "listed-file-missing": _listed_missing,
    "list-line": _list_line,
    "hdf5-broken": _not_hdf5,
    "mean-file": _net(
        "data_param", 'transform_param { mean_file: "/data/data/mean.binaryproto" }\ndata_param'
    ),
    "mean-twice": _net(
        "data_param", 'transform_param { mean_file: "/data/m" mean_value: 1 }\ndata_param'
    ),
    "batch-size": _net("batch_size: 8", ""),
    "hdf5-output-lost": _hdf5_output,
    "output-not-writable": _not_writable,
    "output-is-data": lambda job: job.change(output=job.data),
    "snapshot-prefix-outside": _solver("/data/output/tiny", "snapshots/tiny"),
    "snapshot-prefix-absent": _solver('snapshot_prefix: "/data/output/tiny"', ""),
    "snapshot-folder-missing": _own_main_and_solver("output/tiny", "output/new/tiny"),
    "snapshot-never": _solver("snapshot: 250", "snapshot_after_train: false"),
    "snapshot-only-at-end": _solver("snapshot: 250", "snapshot: 1000"),
    "snapshot-missing": _change(snapshot="/data/output/no.solverstate"),
    "snapshot-not-a-solverstate": _not_a_state,
    "snapshot-weights-missing": _no_weights,
    "snapshot-other-net": lambda job: job.state([(4, 1, 3, 3), (4,)]) and None,
    "snapshot-finished": lambda job: job.state(iteration=500) and None,
    "base-without-python": lambda job: job.base("cpu", has_python=False),
    "base-cpu-build": lambda job: job.base("gpu", is_cpu_build=True),
    "engine-refuses": _refused_by_the_images_engine,
    "engine-doubts": _refused_by_an_engine_here,
    "engine-failed": _engine_failed,
    "code-empty": lambda job: job.ignore.append("*"),
    "code-large": _large,
    "code-holds-database": _code_database,
    "code-hidden-by-mount": _hidden,
    "code-holds-job-folders": _job_folders,
    "secret-file": _write("release.p12", "x"),
    "secret-text": _write("settings.py", 'aws = "AKIA' + "ABCDEFGHIJKLMNOP" + '"\n'),
    "secret-scan-limited": _many_files,
}
