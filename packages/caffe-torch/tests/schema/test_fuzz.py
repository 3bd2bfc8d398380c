"""Broken prototxts: only DefinitionError comes out, soon, and Caffe's own reader agrees."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from caffe import schema
from caffe.errors import DefinitionError
from caffe.schema.files import decode
from caffe.schema.text import parse_message
from old_nets import NETS
from oracle.client import Oracle
from schema_oracle import pb2, read_nets

EXAMPLES = Path(__file__).parents[4] / "examples" / "mnist" / "code"
SOLVER = (EXAMPLES / "lenet_solver.prototxt").read_bytes()
SEEDS = [
    (EXAMPLES / "lenet_train_test.prototxt").read_bytes(),
    SOLVER,
    *(text.encode() for text in NETS.values()),
]
PIECES = [
    b"{", b"}", b"<", b">", b"[", b"]", b":", b",", b";", b"-", b"+", b'"', b"'", b"#", b"\n",
    b"\0", b"\xff", b"\xe4\xbd\xa0", b" ", b"_", b".", b"0x", b"1e", b"inf", b"nan", b"layer",
    b"layers", b"input", b"input_dim: 3 ", b"type: 4 ", b"solver_type: ADAM ", b"net_param { ",
    b"[a.b/c] ", b"param { } ", b'name: "\\', b"4294967296", b"-1", b"true", b"\r", b"\x0b",
    b"99999999999999999999", b"\\", b"\\777", b"\\u12", b"\\ud800", b"\\U00110000", b"//", b"/*",
    b"\xed\xa0\x80", b"1.5f", b"\xc2\xa0",
]  # fmt: skip
OURS_ALONE = [b"\\777", b"\\ud800", b"\\U00110000"]
"""What we refuse and Caffe takes; see the docstring of caffe.schema.dialect."""
SECONDS_EACH = 5
LONGEST = 3000


def mutants(count: int, seed: int) -> Iterator[bytes]:
    """Seeds with up to 4 pieces put in, cut out, doubled or swapped."""
    draw = random.Random(seed)  # noqa: S311 - nothing here is secret
    for _ in range(count):
        data = draw.choice(SEEDS)
        if len(data) > 600:
            start = draw.randrange(len(data) - 500)
            data = data[start:] if draw.random() < 0.2 else data[start : start + 500]
        for _ in range(draw.randint(1, 4)):
            here = draw.randrange(len(data) + 1)
            there = min(len(data), here + draw.choice([0, 0, 1, 1, 2, 8, 40]))
            piece = draw.choice([b"", draw.choice(PIECES), data[here:there] * 2])
            data = data[:here] + piece + data[there:]
        yield data


def test_ten_thousand_broken_texts_raise_nothing_else() -> None:
    refused = 0
    for data in mutants(10_000, seed=1):
        started = time.monotonic()
        for read in (as_net, schema.parse_solver):
            said = ""
            try:
                read(decode(data, "f"), "f")
            except DefinitionError as error:
                refused += 1
                said = str(error)
            assert len(said) < LONGEST, data
        assert time.monotonic() - started < SECONDS_EACH, data
    assert 5_000 < refused < 20_000


def test_caffes_reader_agrees_about_broken_texts(oracle: Oracle) -> None:
    whole = [
        data
        for data in mutants(3_000, seed=2)
        if data.isascii() and not any(piece in data for piece in OURS_ALONE)
    ]

    theirs = read_nets(oracle, whole)

    for data, expected in zip(whole, theirs, strict=True):
        assert (data, str(ours(data))) == (data, str(expected))
    assert 100 < theirs.count(None) < len(whole) - 100


def as_net(text: str, source: str) -> None:
    net = schema.parse_net(text, source).message
    schema.insert_splits(schema.filter_layers(net, pb2.NetState()))


def ours(data: bytes) -> Any:
    message = pb2.NetParameter()
    try:
        parse_message(decode(data, "f"), message, "f")
    except DefinitionError:
        return None
    return message
