"""``caffe.net_spec`` as pycaffe's users import it: nets written in Python."""

from __future__ import annotations

from caffe.pycaffe.net_spec import Function, NetSpec, Top, layers, params, to_proto

__all__ = ["Function", "NetSpec", "Top", "layers", "params", "to_proto"]
