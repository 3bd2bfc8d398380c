"""Solver and net definitions: read, judged, brought to Caffe 1.0's form, filtered and split.

:mod:`caffe.schema.text` reads prototxt, :mod:`caffe.schema.definition` is what a caller gets,
:mod:`caffe.schema.upgrade` and :mod:`caffe.schema.v0` know the old forms,
:mod:`caffe.schema.rules` which net layers a phase has, and :mod:`caffe.schema.splits` where
blobs fork.
"""

from __future__ import annotations

from caffe.schema.definition import (
    Definition,
    parse_net,
    parse_solver,
    read_net,
    read_solver,
    upgrade_net,
)
from caffe.schema.rules import filter_layers
from caffe.schema.splits import insert_splits
from caffe.schema.text import parse_message

__all__ = [
    "Definition",
    "filter_layers",
    "insert_splits",
    "parse_message",
    "parse_net",
    "parse_solver",
    "read_net",
    "read_solver",
    "upgrade_net",
]
