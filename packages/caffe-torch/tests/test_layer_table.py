"""The table of net layer types: Caffe's, whole, and each row with what belongs to it."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from caffe.layers import TABLE, layer_class
from caffe.layers.base import Layer
from oracle.client import Oracle

TESTS = Path(__file__).resolve().parent

WITHOUT_FORMULA = {
    "Data",
    "ImageData",
    "HDF5Data",
    "HDF5Output",
    "WindowData",
    "MemoryData",
    "DummyData",
    "Input",
    "Parameter",
    "Python",
    "Concat",
    "Slice",
    "Flatten",
    "Reshape",
    "Tile",
    "Filter",
    "BatchReindex",
    "Crop",
    "Silence",
    "Split",
    "ArgMax",
    "Im2col",
}
"""Types that bring, choose or rearrange values, and compute none."""

_FORMULA = re.compile(r"=|·|Σ|mean of|average|largest|SUM|part of")


@cache
def _tests() -> str:
    pages = sorted(TESTS.rglob("*.py"))
    return "\n".join(page.read_text() for page in pages if page != Path(__file__).resolve())


def test_the_table_has_caffes_61_types(oracle: Oracle) -> None:
    real = oracle("out['types'] = np.array(list(caffe.layer_type_list()))")["types"]

    assert sorted(TABLE) == sorted(np.asarray(real).tolist())
    assert len(TABLE) == 61


@pytest.mark.parametrize("kind", TABLE)
def test_a_row_leads_to_a_layer_of_its_name(kind: str) -> None:
    found = layer_class(kind)

    assert issubclass(found, Layer)
    assert found.kind == kind
    assert found.__module__ == f"caffe.layers.{TABLE[kind].partition(':')[0]}"


@pytest.mark.parametrize("kind", TABLE)
def test_a_layers_module_says_what_it_computes(kind: str) -> None:
    module = importlib.import_module(f"caffe.layers.{TABLE[kind].partition(':')[0]}")
    text = module.__doc__ or ""

    assert re.match(rf"{kind}[:,]", text), text.partition("\n")[0]
    assert kind in WITHOUT_FORMULA or _FORMULA.search(text)


@pytest.mark.parametrize("kind", TABLE)
def test_a_layer_type_is_in_a_test(kind: str) -> None:
    assert f'"{kind}"' in _tests()
