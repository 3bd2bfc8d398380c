"""Ask real Caffe's own upgrade tools, which read with its C++ reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from oracle.client import Oracle

pb2: Any = caffe_pb2

RUN = """
import os, subprocess
said = []
for number in range(int(args["count"])):
    into = "/data/schema/%d.out" % number
    if os.path.exists(into):
        os.remove(into)
    subprocess.run([str(args["tool"]), "/data/schema/%d.in" % number, into],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    good = os.path.exists(into)
    out["good%d" % number] = np.array(good)
    if good:
        out["made%d" % number] = np.frombuffer(open(into, "rb").read(), np.uint8)
"""

READ = """
import ctypes, os
lib = ctypes.CDLL("libcaffe.so.1.0.0")
for number in range(int(args["count"])):
    net = ctypes.create_string_buffer(4096)
    lib._ZN5caffe12NetParameterC1EPN6google8protobuf5ArenaE(net, None)
    path = b"/data/schema/%d.in" % number
    read = lib._ZN5caffe21ReadProtoFromTextFileEPKcPN6google8protobuf7MessageE
    read.restype = ctypes.c_bool
    out["good%d" % number] = np.array(read(path, net))
    if not out["good%d" % number]:
        continue
    lib._ZN5caffe22WriteProtoToBinaryFileERKN6google8protobuf7MessageEPKc(net, b"/data/read")
    out["made%d" % number] = np.frombuffer(open("/data/read", "rb").read(), np.uint8)
"""
"""Caffe's C++ reader alone, called in place: it takes a moment, not a process, for each text."""


def ask(oracle: Oracle, tool: str, inputs: Sequence[str | bytes]) -> list[bytes | None]:
    """What ``tool`` makes of each input; None where it refuses."""
    return _answers(oracle, RUN, inputs, tool=np.array(tool))


def _answers(
    oracle: Oracle, source: str, inputs: Sequence[str | bytes], **arrays: Any
) -> list[bytes | None]:
    for number, text in enumerate(inputs):
        oracle.write(f"schema/{number}.in", text)
    found = oracle(source, count=len(inputs), **arrays)
    return [
        found[f"made{number}"].tobytes() if found[f"good{number}"] else None
        for number in range(len(inputs))
    ]


def upgraded_nets(oracle: Oracle, texts: Sequence[str | bytes]) -> list[Any]:
    """The NetParameter of each text as real Caffe upgrades it; None where it refuses."""
    made = ask(oracle, "upgrade_net_proto_text", texts)
    return [text_format.Parse(m, pb2.NetParameter()) if m is not None else None for m in made]


def read_nets(oracle: Oracle, texts: Sequence[str | bytes]) -> list[Any]:
    """The NetParameter of each text as Caffe's reader reads it; None where it refuses."""
    made = _answers(oracle, READ, texts)
    return [pb2.NetParameter.FromString(m) if m is not None else None for m in made]
