"""Prototxt is read as Caffe's own reader, protobuf in C++, reads it."""

from __future__ import annotations

from typing import Any

import pytest
from caffe import schema
from caffe.errors import DefinitionError
from caffe.schema.files import decode
from oracle.client import Oracle
from schema_oracle import read_nets

WEIGHTS = ("1e-3f", "1F", "010", "0x10", "inf", "-inf", "nan", "infinity", "- 1", "-\t.5", "+1")
WEIGHTS += ("1.", ".5", "1e39", "1e", "1.5.2", "1f2", "0f", "1_0", "-.5e+3", '"1"', "true", "1 2")
WEIGHTS += ("0x", "1e-60", "0.1d", "[]", "[1, 2f]", "[1, - 2]", "--1", "1-2", "- inf", "1,")
COUNTS = ("010", "0x1F", "1.0", "-1", "4294967296", "08", "00", "1f", "[1,2]", "[1 2]", "[1,]")
WHOLE = (
    'name: "a" "b"', """name: 'a' "b" """, r'name: "a\x41\101\n"', 'name: "a\nb"',
    '# c\nname: "a" # d', 'name: "a";', 'name: "a", force_backward: true', 'name: "a";;',
    'name "a"', "force_backward: 1", "force_backward: t", "force_backward: True",
    "force_backward: FALSE", "force_backward: 2", 'force_backward: "true"', 'name: "a" name: "b"',
    'layer < name: "x" >', 'layer: { name: "x" }', 'layer: < name: "x" >', 'layer {name: "a"\n>',
    'layer [{ name: "a" }, { name: "b" }]', 'layer{name:"a"}layer{name:"b"}', "layer {;}",
    "layer { pooling_param { pool: 1 } }", "layer { pooling_param { pool: 7 } }",
    'layer { pooling_param { pool: "MAX" } }', "layer { pooling_param { pool: max } }",
    "layer { clip_param { min: 1 } }", "layer { clip_param { min: 1 max: 2 } }",
    "layer { pooling_param { } pooling_param { } }", "layer { [x.y]: 3 }", 'Name: "a"', '1: "a"',
    'name: "ä中"', 'name: "\t"', '/* x */ name: "a"', "layer { } }", '{ name: "a" }', "", "# only",
    r'name: "a\q"', r'name: "\\q"', r'name: "\u00e4"', r'name: "\x"', 'name: "a\0b"', "name:",
    'name: "a"\x0b', 'name: "a"\r\nforce_backward: true\r\n', "layer {}, layer {}; layer {}",
    'name: "', "layer { convolution_param { axis: - 0x1 } }", ';name: "a"',
    b'# \xc4\xe3\nname: "a"',
)  # fmt: skip
TEXTS = (
    *(f"layer {{ loss_weight: {weight} }}" for weight in WEIGHTS),
    *(f"layer {{ convolution_param {{ pad: {count} }} }}" for count in COUNTS),
    *WHOLE,
)


def ours(text: str | bytes) -> Any:
    try:
        return schema.parse_net(decode(text, "-") if isinstance(text, bytes) else text).message
    except DefinitionError:
        return None


def test_the_reader_takes_and_refuses_what_the_oracles_does(oracle: Oracle) -> None:
    theirs = read_nets(oracle, TEXTS)

    for text, expected in zip(TEXTS, theirs, strict=True):
        assert (text, str(ours(text))) == (text, str(expected))
    assert 20 < theirs.count(None) < len(TEXTS) - 20


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("name: '网络'".encode(), "网络"),
        ("name: '网络'".encode("gb18030"), "网络"),
        (b"name: '\xe9'", "é"),
        (b"\xef\xbb\xbfname: 'bom'", "bom"),
    ],
)
def test_old_encodings_are_read(data: bytes, name: str) -> None:
    assert schema.parse_net(decode(data, "-")).message.name == name
