"""The nets that people train with Caffe, and what feeds them.

Tests and measurements share them. A model's text has no data layers: :func:`with_inputs`,
:func:`with_constants` and :func:`with_lmdb` put some in front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagenet_nets import caffenet, googlenet, resnet50
from prototext import layer
from small_nets import autoencoder, cifar10_full, cifar10_quick, lenet, siamese


@dataclass(frozen=True)
class Model:
    """A net, the shape of one of its data items, how many classes its labels have (0: no label;
    2 with pairs: whether they are alike), and a solver's settings that train it."""

    text: Callable[[], str]
    item: tuple[int, ...]
    classes: int
    solver: str = 'base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005'


ZOO = {
    "lenet": Model(
        lenet, (1, 28, 28), 10,
        'base_lr: 0.01 lr_policy: "inv" gamma: 0.0001 power: 0.75 momentum: 0.9 '
        "weight_decay: 0.0005",
    ),
    "cifar10_quick": Model(
        cifar10_quick, (3, 32, 32), 10,
        'base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.004',
    ),
    "cifar10_full": Model(
        cifar10_full, (3, 32, 32), 10,
        'base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.004',
    ),
    "autoencoder": Model(
        autoencoder, (1, 28, 28), 0,
        'base_lr: 0.01 lr_policy: "step" gamma: 0.1 stepsize: 10000 momentum: 0.9 '
        "weight_decay: 0.0005",
    ),
    "siamese": Model(
        siamese, (2, 28, 28), 2,
        'base_lr: 0.01 lr_policy: "inv" gamma: 0.0001 power: 0.75 momentum: 0.9 '
        "weight_decay: 0.0",
    ),
    "caffenet": Model(
        caffenet, (3, 227, 227), 1000,
        'base_lr: 0.01 lr_policy: "step" gamma: 0.1 stepsize: 100000 momentum: 0.9 '
        "weight_decay: 0.0005",
    ),
    "googlenet": Model(
        googlenet, (3, 224, 224), 1000,
        'base_lr: 0.01 lr_policy: "poly" power: 0.5 momentum: 0.9 weight_decay: 0.0002',
    ),
    "resnet50": Model(
        resnet50, (3, 224, 224), 1000,
        'base_lr: 0.1 lr_policy: "step" gamma: 0.1 stepsize: 150000 momentum: 0.9 '
        "weight_decay: 0.0001",
    ),
}  # fmt: skip


def _shape(sizes: Sequence[int]) -> str:
    return "shape { " + " ".join(f"dim: {size}" for size in sizes) + " }"


def with_inputs(name: str, batch: int) -> str:
    """The net with Input layers ``data`` and, where it has labels, ``label``."""
    model = ZOO[name]
    text = f'name: "{name}"\n'
    text += layer("Input", "data", [], more=f"input_param {{ {_shape((batch, *model.item))} }}")
    if model.classes:
        text += layer("Input", "label", [], more=f"input_param {{ {_shape((batch,))} }}")
    return text + model.text()


def with_constants(name: str, batch: int) -> str:
    """The net fed with one batch that costs nothing to make: each item 0.5, each label 1."""
    model = ZOO[name]

    def constant(top: str, sizes: Sequence[int], value: float) -> str:
        fill = f'data_filler {{ type: "constant" value: {value} }}'
        return layer("DummyData", top, [], more=f"dummy_data_param {{ {_shape(sizes)} {fill} }}")

    text = f'name: "{name}"\n' + constant("data", (batch, *model.item), 0.5)
    if model.classes:
        text += constant("label", (batch,), 1)
    return text + model.text()


def with_lmdb(name: str, source: str, batch: int, scale: float = 0.00390625) -> str:
    """The net fed from an LMDB."""
    more = (
        f'top: "label" transform_param {{ scale: {scale} }} data_param {{ source: "{source}" '
        f"batch_size: {batch} backend: LMDB }}"
    )
    return f'name: "{name}"\n' + layer("Data", "data", [], "data", more) + ZOO[name].text()
