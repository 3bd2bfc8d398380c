#!/usr/bin/env python3
"""How fast the engine loads training data, alone and beside busy cores.

    bench/engine_loading.py [--seconds N]       one JSON object a line

``batches_per_second`` is what a net could take that does nothing else; ``cpu_us_per_batch`` what a
batch costs in processor time, the reading thread's and the net's side together. MNIST is the
example's, in batches of 64; the pictures are made up, 256 × 256 in colour. A busy core is a
process that only counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import lmdb
import numpy as np
import torch
from caffe.layers import Context, Layer, create
from caffe.proto import caffe_pb2
from caffe.random import Random
from google.protobuf import text_format

ROOT = Path(__file__).resolve().parents[1]
PICTURES = 256
SIDE = 256
SCALE = "scale: 0.00390625"
CROP = "crop_size: 227 mirror: true mean_value: 104 mean_value: 117 mean_value: 123"
CASES = {
    "MNIST": ("mnist_train_lmdb", SCALE),
    "MNIST, mirror": ("mnist_train_lmdb", SCALE + " mirror: true"),
    "MNIST, crop and mirror": ("mnist_train_lmdb", SCALE + " crop_size: 24 mirror: true"),
    "raw pictures": ("raw", "mean_value: 104 mean_value: 117 mean_value: 123"),
    "raw pictures, crop and mirror": ("raw", CROP),
    "JPEG pictures, crop and mirror": ("jpeg", CROP),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="caffe-loading-") as name:
        folder = Path(name)
        _make(folder)
        cores = len(os.sched_getaffinity(0))
        for case, (source, transform) in CASES.items():
            for busy in (0, 1, cores) if case == "MNIST" else (0,):
                with _busy(busy):
                    figures = _measure(str(folder / source), transform, seconds)
                print(json.dumps({"case": case, "busy_cores": busy, "cores": cores, **figures}))


def _make(folder: Path) -> None:
    maker = ROOT / "examples" / "mnist" / "make_lmdb.py"
    subprocess.run([sys.executable, str(maker), str(folder)], check=True, capture_output=True)
    random = np.random.default_rng(1)
    for form in ("raw", "jpeg"):
        with (
            lmdb.open(str(folder / form), map_size=1 << 27) as database,
            database.begin(write=True) as writing,
        ):
            for number in range(PICTURES):
                writing.put(b"%08d" % number, _picture(random, form, number).SerializeToString())


def _picture(random: np.random.Generator, form: str, number: int) -> Any:
    rough = random.integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
    image = cv2.resize(rough, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    if form == "jpeg":
        data = cv2.imencode(".jpg", image)[1].tobytes()
        return caffe_pb2.Datum(data=data, label=number, encoded=True)
    data = image.transpose(2, 0, 1).tobytes()
    return caffe_pb2.Datum(channels=3, height=SIDE, width=SIDE, data=data, label=number)


def _layer(source: str, transform: str) -> Layer:
    param = caffe_pb2.LayerParameter()
    text_format.Parse(
        'name: "data" type: "Data" top: "data" top: "label" '
        f'data_param {{ source: "{source}" backend: LMDB batch_size: 64 }} '
        f"transform_param {{ {transform} }}",
        param,
    )
    layer = create(param, Context(caffe_pb2.TRAIN, torch.device("cpu"), Random(1)))
    layer.setup([])
    return layer


def _measure(source: str, transform: str, seconds: float) -> dict[str, float]:
    layer = _layer(source, transform)
    for _ in range(20):
        layer.forward([])
    batches, start, used = 0, time.perf_counter(), time.process_time()
    while (passed := time.perf_counter() - start) < seconds:
        layer.forward([])
        batches += 1
    used = time.process_time() - used
    layer.close()
    return {
        "batches_per_second": round(batches / passed, 1),
        "images_per_second": round(64 * batches / passed),
        "cpu_us_per_batch": round(used / batches * 1e6, 1),
    }


@contextmanager
def _busy(count: int) -> Iterator[None]:
    processes = [get_context("spawn").Process(target=_count, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    if count:
        time.sleep(1)
    yield
    for process in processes:
        process.kill()
        process.join()


def _count() -> None:
    number = 0
    while True:
        number += 1


if __name__ == "__main__":
    main()
