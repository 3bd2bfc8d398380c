"""Check a net layer: against the oracle, and its gradient against finite differences."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from caffe.layers import Context, Layer, create
from caffe.proto import caffe_pb2
from caffe.random import Random
from google.protobuf import text_format
from oracle.client import Oracle, OracleAbortedError

Array = np.ndarray[Any, Any]
PHASES = {"TRAIN": caffe_pb2.TRAIN, "TEST": caffe_pb2.TEST}

ORACLE = """
    import json
    case = json.loads(str(args["case"]))
    caffe.set_mode_cpu()
    caffe.set_random_seed(case["seed"])
    open("/tmp/case.prototxt", "w").write(case["net"])
    net = caffe.Net("/tmp/case.prototxt", caffe.TRAIN if case["phase"] == "TRAIN" else caffe.TEST)
    params = list(net.params["x"]) if "x" in net.params else []
    for index, param in enumerate(params):
        if "param%d" % index in args:
            param.data[...] = args["param%d" % index]
    bottoms = ["b%d" % i for i in range(case["bottoms"])]
    tops = bottoms[:1] if case["in_place"] else ["t%d" % i for i in range(case["tops"])]
    caffe.set_random_seed(case["seed"])
    for _ in range(case["forwards"]):
        for name in bottoms:
            net.blobs[name].data[...] = args[name]
        net.forward()
    for index, name in enumerate(tops):
        out["top%d" % index] = net.blobs[name].data.copy()
    if case["backward"]:
        for index, name in enumerate(tops):
            net.blobs[name].diff[...] = args["diff%d" % index]
        net.backward()
        for index, name in enumerate(bottoms):
            out["bottom_diff%d" % index] = net.blobs[name].diff.copy()
    for index, param in enumerate(params):
        out["param%d" % index] = param.data.copy()
        out["param_diff%d" % index] = param.diff.copy()
"""


@dataclass(frozen=True)
class Case:
    """One layer in one situation.

    ``text`` is the LayerParameter without name, bottoms and tops: ``type: "ReLU"``. ``gradients``
    says to which bottoms a gradient is computed (default: to all). ``learnable`` are values for
    the learnable blobs (default: drawn from a normal distribution). ``forwards``: how often the
    same bottoms go forward before the one backward; for layers with state.
    """

    text: str
    bottoms: Sequence[Array]
    tops: int = 1
    gradients: Sequence[bool] | None = None
    learnable: Sequence[Array] | None = None
    in_place: bool = False
    phase: str = "TRAIN"
    forwards: int = 1
    seed: int = 7
    backward: bool = True
    top_diffs: Sequence[Array] | None = None
    name: str = field(default="", compare=False)

    @property
    def wanted(self) -> list[bool]:
        return list(self.gradients or [True] * len(self.bottoms))

    def layer_text(self) -> str:
        bottoms = "".join(f' bottom: "b{i}"' for i in range(len(self.bottoms)))
        names = ["b0"] if self.in_place else [f"t{i}" for i in range(self.tops)]
        tops = "".join(f' top: "{name}"' for name in names)
        down = ""
        if self.bottoms and self.gradients is not None:
            down = "".join(f" propagate_down: {str(g).lower()}" for g in self.gradients)
        return f'name: "x"{bottoms}{tops}{down} {self.text}'

    def net_text(self) -> str:
        inputs = "".join(
            f'layer {{ name: "in{i}" type: "Input" top: "b{i}" input_param {{ shape {{ '
            + " ".join(f"dim: {size}" for size in bottom.shape)
            + " } } }\n"
            for i, bottom in enumerate(self.bottoms)
        )
        return f"force_backward: true\n{inputs}layer {{ {self.layer_text()} }}\n"


@dataclass(frozen=True)
class Outcome:
    """What a layer gives: tops, gradients of bottoms (None where not wanted), learnable blobs and
    their gradients."""

    tops: list[Array]
    bottom_diffs: list[Array | None]
    learnable: list[Array]
    learnable_diffs: list[Array]


def make(case: Case, dtype: torch.dtype = torch.float32) -> Layer:
    """The layer of ``case``, set up, with its learnable blobs filled."""
    param = caffe_pb2.LayerParameter()
    text_format.Parse(case.layer_text(), param)
    context = Context(PHASES[case.phase], torch.device("cpu"), Random(case.seed))
    layer = create(param, context)
    shapes = [tuple(bottom.shape) for bottom in case.bottoms]
    layer.setup(shapes)
    layer.reshape(shapes)
    for index, blob in enumerate(layer.learnable):
        value = learnable_values(case, layer)[index]
        blob.data_memory.put(torch.tensor(value, dtype=dtype))
        blob.diff_memory.put(torch.zeros(blob.shape, dtype=dtype))
    return layer


def learnable_values(case: Case, layer: Layer) -> list[Array]:
    if case.learnable is not None:
        return [np.asarray(value, np.float32) for value in case.learnable]
    random = np.random.default_rng(3)
    return [
        (random.standard_normal(blob.shape) * 0.5).astype(np.float32) for blob in layer.learnable
    ]


def top_diffs(case: Case, tops: Sequence[Array]) -> list[Array]:
    if case.top_diffs is not None:
        return [np.asarray(diff, np.float32) for diff in case.top_diffs]
    random = np.random.default_rng(5)
    return [random.standard_normal(top.shape).astype(np.float32) for top in tops]


def ours(case: Case) -> Outcome:
    layer = make(case)
    layer.context.random.seed(case.seed)
    bottoms = [torch.tensor(np.asarray(bottom, np.float32)) for bottom in case.bottoms]
    shapes = [tuple(bottom.shape) for bottom in bottoms]
    for _ in range(case.forwards):
        expected = layer.reshape(shapes)
        tops = layer.forward(list(bottoms))
    arrays = [top.detach().numpy().copy() for top in tops]
    assert [tuple(top.shape) for top in arrays] == [tuple(shape) for shape in expected]
    for bottom, given in zip(bottoms, case.bottoms, strict=True):
        assert np.array_equal(bottom.numpy(), np.asarray(given, np.float32), equal_nan=True)
    found: list[Array | None] = []
    if case.backward:
        diffs = [torch.tensor(diff) for diff in top_diffs(case, arrays)]
        found = [
            None if diff is None else diff.numpy().copy()
            for diff in layer.backward(diffs, case.wanted)
        ]
    return Outcome(
        arrays,
        found,
        [blob.data.numpy().copy() for blob in layer.learnable],
        [blob.diff.numpy().copy() for blob in layer.learnable],
    )


def theirs(oracle: Oracle, case: Case) -> Outcome:
    layer = make(case)
    shapes = layer.reshape([tuple(bottom.shape) for bottom in case.bottoms])
    diffs = top_diffs(case, [np.empty(shape) for shape in shapes])
    arrays: dict[str, Array] = {f"b{i}": np.asarray(b) for i, b in enumerate(case.bottoms)}
    arrays |= {f"diff{i}": diff for i, diff in enumerate(diffs)}
    arrays |= {f"param{i}": value for i, value in enumerate(learnable_values(case, layer))}
    order = {
        "net": case.net_text(),
        "phase": case.phase,
        "seed": case.seed,
        "bottoms": len(case.bottoms),
        "tops": case.tops,
        "in_place": case.in_place,
        "forwards": case.forwards,
        "backward": case.backward,
    }
    answer = oracle(ORACLE, case=np.array(json.dumps(order)), **arrays)
    count = len([key for key in answer if key.startswith("param_diff")])
    return Outcome(
        [answer[f"top{i}"] for i in range(1 if case.in_place else case.tops)],
        [
            answer[f"bottom_diff{i}"] if want else None
            for i, want in enumerate(case.wanted if case.backward else [])
        ],
        [answer[f"param{i}"] for i in range(count)],
        [answer[f"param_diff{i}"] for i in range(count)],
    )


def compare(oracle: Oracle, case: Case, tolerance: float = 2e-6) -> None:
    """Tops, gradients and learnable blobs agree; ``tolerance`` is relative to the largest value
    of each array."""
    mine, real = ours(case), theirs(oracle, case)
    pairs: list[tuple[str, Sequence[Array | None], Sequence[Array | None]]] = [
        ("top", mine.tops, real.tops),
        ("bottom diff", mine.bottom_diffs, real.bottom_diffs),
        ("learnable blob", mine.learnable, real.learnable),
        ("learnable diff", mine.learnable_diffs, real.learnable_diffs),
    ]
    for what, found, expected in pairs:
        assert len(found) == len(expected), what
        for index, (have, want) in enumerate(zip(found, expected, strict=True)):
            if want is None:
                assert have is None, f"{what} {index}"
                continue
            assert have is not None, f"{what} {index} is missing"
            assert have.shape == want.shape, f"{what} {index}: {have.shape} {want.shape}"
            finite = np.abs(want[np.isfinite(want)])
            scale = max(float(finite.max()) if finite.size else 0.0, 1e-30)
            np.testing.assert_allclose(
                have, want, rtol=0, atol=tolerance * scale, err_msg=f"{what} {index}"
            )


def refused_by_both(oracle: Oracle, case: Case, expected: type[Exception]) -> str:
    """Caffe aborts on ``case``, ours raises ``expected``; gives our message."""
    try:
        make(case)
    except expected as error:
        message = str(error)
    else:
        raise AssertionError("ours takes it")
    order = {
        "net": case.net_text(), "phase": case.phase, "seed": case.seed,
        "bottoms": len(case.bottoms), "tops": case.tops, "in_place": case.in_place,
        "forwards": 1, "backward": False,
    }  # fmt: skip
    arrays: dict[str, Array] = {f"b{i}": np.asarray(b) for i, b in enumerate(case.bottoms)}
    try:
        oracle(ORACLE, case=np.array(json.dumps(order)), **arrays)
    except OracleAbortedError:
        return message
    raise AssertionError("the oracle takes it")


def check_gradient(
    case: Case,
    step: float = 1e-5,
    tolerance: float = 1e-6,
    prepare: Callable[[Layer], None] | None = None,
) -> None:
    """backward is the derivative of forward, in float64, by central differences of a random
    projection of the tops, element by element of each wanted bottom and learnable blob.

    Not for places where the function has a kink, nor for layers whose gradient is not the
    derivative by design. ``prepare`` is called before each forward (to reset state).
    """
    layer = make(case, torch.float64)
    bottoms = [torch.tensor(np.asarray(b, np.float64)) for b in case.bottoms]

    def forward() -> list[torch.Tensor]:
        if prepare:
            prepare(layer)
        layer.context.random.seed(case.seed)
        return layer.forward([bottom.clone() for bottom in bottoms])

    tops = forward()
    diffs = [
        torch.tensor(d, dtype=torch.float64) for d in top_diffs(case, [t.numpy() for t in tops])
    ]

    def objective() -> float:
        return sum(float((top * diff).sum()) for top, diff in zip(forward(), diffs, strict=True))

    found = layer.backward([diff.clone() for diff in diffs], case.wanted)
    places = [
        (f"bottom {i}", bottom, found[i])
        for i, (bottom, want) in enumerate(zip(bottoms, case.wanted, strict=True))
        if want
    ]
    places += [
        (f"learnable blob {i}", blob.data, blob.diff.clone())
        for i, blob in enumerate(layer.learnable)
        if layer.learns[i]
    ]
    for what, values, gradient in places:
        assert gradient is not None, what
        flat = values.view(-1)
        expected = torch.empty_like(flat)
        for index in range(flat.numel()):
            kept = float(flat[index])
            flat[index] = kept + step
            above = objective()
            flat[index] = kept - step
            below = objective()
            flat[index] = kept
            expected[index] = (above - below) / (2 * step)
        scale = max(float(expected.abs().max()), 1.0)
        np.testing.assert_allclose(
            gradient.reshape(-1).numpy(), expected.numpy(), rtol=0, atol=tolerance * scale,
            err_msg=what,
        )  # fmt: skip


def numbers(*shape: int, seed: int = 11, scale: float = 1.0) -> Array:
    """Normally distributed float32 values."""
    random = np.random.default_rng(seed)
    return (random.standard_normal(shape) * scale).astype(np.float32)


def ids(cases: Sequence[Case]) -> list[str]:
    return [case.name or f"{i}" for i, case in enumerate(cases)]
