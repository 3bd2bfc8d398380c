"""The nets that people train with Caffe, written from their papers and Caffe's own examples.

Each function gives a net's text without its data layers: :func:`with_inputs` and
:func:`with_constants` put some in front. Tests and measurements share them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

BIAS = 'bias_filler { type: "constant" value: %g }'
RATES = "param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }"


def layer(kind: str, name: str, bottoms: Sequence[str], top: str = "", more: str = "") -> str:
    ends = "".join(f' bottom: "{bottom}"' for bottom in bottoms)
    return f'layer {{ name: "{name}" type: "{kind}"{ends} top: "{top or name}" {more} }}\n'


def conv(
    name: str, bottom: str, outputs: int, kernel: int, *, stride: int = 1, pad: int = 0,
    group: int = 1, filler: str = 'type: "xavier"', bias: float = 0.0, rates: str = RATES,
) -> str:  # fmt: skip
    shape = (
        f"num_output: {outputs} kernel_size: {kernel} stride: {stride} pad: {pad} group: {group}"
    )
    fill = f"weight_filler {{ {filler} }} {BIAS % bias}"
    return layer(
        "Convolution", name, [bottom], more=f"{rates} convolution_param {{ {shape} {fill} }}"
    )


def dense(
    name: str, bottom: str, outputs: int, *, filler: str = 'type: "xavier"', bias: float = 0.0,
    rates: str = RATES,
) -> str:  # fmt: skip
    fill = f"weight_filler {{ {filler} }} {BIAS % bias}"
    more = f"{rates} inner_product_param {{ num_output: {outputs} {fill} }}"
    return layer("InnerProduct", name, [bottom], more=more)


def relu(blob: str) -> str:
    return layer("ReLU", f"relu_{blob}", [blob], blob)


def dropout(blob: str, ratio: float) -> str:
    return layer(
        "Dropout", f"drop_{blob}", [blob], blob, f"dropout_param {{ dropout_ratio: {ratio} }}"
    )


def pool(name: str, bottom: str, kernel: int, stride: int, kind: str = "MAX", pad: int = 0) -> str:
    more = f"pooling_param {{ pool: {kind} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
    return layer("Pooling", name, [bottom], more=more)


def lrn(name: str, bottom: str, size: int, alpha: float, region: str = "ACROSS_CHANNELS") -> str:
    more = f"lrn_param {{ local_size: {size} alpha: {alpha} beta: 0.75 norm_region: {region} }}"
    return layer("LRN", name, [bottom], more=more)


def loss(bottom: str, name: str = "loss", weight: float = 1.0) -> str:
    return layer("SoftmaxWithLoss", name, [bottom, "label"], more=f"loss_weight: {weight}")


def lenet() -> str:
    return (
        conv("conv1", "data", 20, 5)
        + pool("pool1", "conv1", 2, 2)
        + conv("conv2", "pool1", 50, 5)
        + pool("pool2", "conv2", 2, 2)
        + dense("ip1", "pool2", 500)
        + relu("ip1")
        + dense("ip2", "ip1", 10)
        + loss("ip2")
    )


def gauss(std: float) -> str:
    return f'type: "gaussian" std: {std}'


def cifar10_quick() -> str:
    return (
        conv("conv1", "data", 32, 5, pad=2, filler=gauss(0.0001))
        + pool("pool1", "conv1", 3, 2)
        + relu("pool1")
        + conv("conv2", "pool1", 32, 5, pad=2, filler=gauss(0.01))
        + relu("conv2")
        + pool("pool2", "conv2", 3, 2, "AVE")
        + conv("conv3", "pool2", 64, 5, pad=2, filler=gauss(0.01))
        + relu("conv3")
        + pool("pool3", "conv3", 3, 2, "AVE")
        + dense("ip1", "pool3", 64, filler=gauss(0.1))
        + dense("ip2", "ip1", 10, filler=gauss(0.1))
        + loss("ip2")
    )


def cifar10_full() -> str:
    return (
        conv("conv1", "data", 32, 5, pad=2, filler=gauss(0.0001))
        + pool("pool1", "conv1", 3, 2)
        + relu("pool1")
        + lrn("norm1", "pool1", 3, 5e-05, "WITHIN_CHANNEL")
        + conv("conv2", "norm1", 32, 5, pad=2, filler=gauss(0.01))
        + relu("conv2")
        + pool("pool2", "conv2", 3, 2, "AVE")
        + lrn("norm2", "pool2", 3, 5e-05, "WITHIN_CHANNEL")
        + conv("conv3", "norm2", 64, 5, pad=2, filler=gauss(0.01))
        + relu("conv3")
        + pool("pool3", "conv3", 3, 2, "AVE")
        + dense("ip1", "pool3", 10, filler=gauss(0.01))
        + loss("ip1")
    )


def caffenet() -> str:
    return (
        conv("conv1", "data", 96, 11, stride=4, filler=gauss(0.01))
        + relu("conv1")
        + pool("pool1", "conv1", 3, 2)
        + lrn("norm1", "pool1", 5, 0.0001)
        + conv("conv2", "norm1", 256, 5, pad=2, group=2, filler=gauss(0.01), bias=1)
        + relu("conv2")
        + pool("pool2", "conv2", 3, 2)
        + lrn("norm2", "pool2", 5, 0.0001)
        + conv("conv3", "norm2", 384, 3, pad=1, filler=gauss(0.01))
        + relu("conv3")
        + conv("conv4", "conv3", 384, 3, pad=1, group=2, filler=gauss(0.01), bias=1)
        + relu("conv4")
        + conv("conv5", "conv4", 256, 3, pad=1, group=2, filler=gauss(0.01), bias=1)
        + relu("conv5")
        + pool("pool5", "conv5", 3, 2)
        + dense("fc6", "pool5", 4096, filler=gauss(0.005), bias=1)
        + relu("fc6")
        + dropout("fc6", 0.5)
        + dense("fc7", "fc6", 4096, filler=gauss(0.005), bias=1)
        + relu("fc7")
        + dropout("fc7", 0.5)
        + dense("fc8", "fc7", 1000, filler=gauss(0.01))
        + loss("fc8")
    )


_INCEPTIONS = {
    # 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def _inception(name: str, bottom: str) -> str:
    one, reduce3, three, reduce5, five, project = _INCEPTIONS[name]
    parts = [f"{name}_{part}" for part in ("1x1", "3x3", "5x5", "proj")]
    return (
        conv(parts[0], bottom, one, 1, bias=0.2)
        + relu(parts[0])
        + conv(f"{name}_3x3_reduce", bottom, reduce3, 1, bias=0.2)
        + relu(f"{name}_3x3_reduce")
        + conv(parts[1], f"{name}_3x3_reduce", three, 3, pad=1, bias=0.2)
        + relu(parts[1])
        + conv(f"{name}_5x5_reduce", bottom, reduce5, 1, bias=0.2)
        + relu(f"{name}_5x5_reduce")
        + conv(parts[2], f"{name}_5x5_reduce", five, 5, pad=2, bias=0.2)
        + relu(parts[2])
        + pool(f"{name}_pool", bottom, 3, 1, pad=1)
        + conv(parts[3], f"{name}_pool", project, 1, bias=0.2)
        + relu(parts[3])
        + layer("Concat", f"{name}_out", parts)
    )


def _auxiliary(name: str, bottom: str) -> str:
    return (
        pool(f"{name}_pool", bottom, 5, 3, "AVE")
        + conv(f"{name}_conv", f"{name}_pool", 128, 1, bias=0.2)
        + relu(f"{name}_conv")
        + dense(f"{name}_fc", f"{name}_conv", 1024, bias=0.2)
        + relu(f"{name}_fc")
        + dropout(f"{name}_fc", 0.7)
        + dense(f"{name}_classifier", f"{name}_fc", 1000)
        + loss(f"{name}_classifier", f"{name}_loss", 0.3)
    )


def googlenet() -> str:
    return (
        conv("conv1", "data", 64, 7, stride=2, pad=3, bias=0.2)
        + relu("conv1")
        + pool("pool1", "conv1", 3, 2)
        + lrn("norm1", "pool1", 5, 0.0001)
        + conv("conv2_reduce", "norm1", 64, 1, bias=0.2)
        + relu("conv2_reduce")
        + conv("conv2", "conv2_reduce", 192, 3, pad=1, bias=0.2)
        + relu("conv2")
        + lrn("norm2", "conv2", 5, 0.0001)
        + pool("pool2", "norm2", 3, 2)
        + _inception("3a", "pool2")
        + _inception("3b", "3a_out")
        + pool("pool3", "3b_out", 3, 2)
        + _inception("4a", "pool3")
        + _auxiliary("loss1", "4a_out")
        + _inception("4b", "4a_out")
        + _inception("4c", "4b_out")
        + _inception("4d", "4c_out")
        + _auxiliary("loss2", "4d_out")
        + _inception("4e", "4d_out")
        + pool("pool4", "4e_out", 3, 2)
        + _inception("5a", "pool4")
        + _inception("5b", "5a_out")
        + pool("pool5", "5b_out", 7, 1, "AVE")
        + dropout("pool5", 0.4)
        + dense("classifier", "pool5", 1000)
        + loss("classifier", "loss3")
    )


def _normalised(name: str, bottom: str, outputs: int, kernel: int, stride: int, pad: int) -> str:
    shape = f"num_output: {outputs} kernel_size: {kernel} stride: {stride} pad: {pad}"
    more = f'convolution_param {{ {shape} bias_term: false weight_filler {{ type: "msra" }} }}'
    return (
        layer("Convolution", name, [bottom], more=more)
        + layer("BatchNorm", f"bn_{name}", [name], name)
        + layer("Scale", f"scale_{name}", [name], name, "scale_param { bias_term: true }")
    )


def _residual(name: str, bottom: str, width: int, stride: int, project: bool) -> str:
    shortcut, text = bottom, ""
    if project:
        shortcut = f"{name}_branch1"
        text = _normalised(shortcut, bottom, 4 * width, 1, stride, 0)
    a, b, c = (f"{name}_branch2{letter}" for letter in "abc")
    return (
        text
        + _normalised(a, bottom, width, 1, stride, 0)
        + relu(a)
        + _normalised(b, a, width, 3, 1, 1)
        + relu(b)
        + _normalised(c, b, 4 * width, 1, 1, 0)
        + layer("Eltwise", name, [shortcut, c])
        + relu(name)
    )


def resnet50() -> str:
    text = _normalised("conv1", "data", 64, 7, 2, 3) + relu("conv1")
    text += pool("pool1", "conv1", 3, 2)
    bottom = "pool1"
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 2):
        for block in range(blocks):
            name = f"res{stage}{'abcdef'[block]}"
            stride = 2 if block == 0 and stage > 2 else 1
            text += _residual(name, bottom, width, stride, block == 0)
            bottom = name
    return (
        text
        + layer(
            "Pooling", "pool5", [bottom], more="pooling_param { pool: AVE global_pooling: true }"
        )
        + dense("fc1000", "pool5", 1000, filler='type: "msra"')
        + loss("fc1000")
    )


def autoencoder() -> str:
    """Caffe's MNIST autoencoder: sparse gaussian weights, sigmoids, two losses."""
    sparse = 'type: "gaussian" std: 1 sparse: 15'
    text = layer("Flatten", "flatdata", ["data"])
    bottom = "flatdata"
    widths = (1000, 500, 250, 30, 250, 500, 1000, 784)
    for index, width in enumerate(widths):
        name = f"fc{index}"
        text += dense(name, bottom, width, filler=sparse)
        bottom = name
        if index not in (3, 7):
            text += layer("Sigmoid", f"sig{index}", [name], f"sig{index}")
            bottom = f"sig{index}"
    return (
        text
        + layer(
            "SigmoidCrossEntropyLoss", "cross_entropy", [bottom, "flatdata"], more="loss_weight: 1"
        )
        + layer("Sigmoid", "decoded", [bottom], "decoded")
        + layer("EuclideanLoss", "l2_error", ["decoded", "flatdata"], more="loss_weight: 0")
    )


def siamese() -> str:
    """Caffe's MNIST siamese net: two LeNets that share their weights, and a contrastive loss."""

    def shared(name: str) -> str:
        return f'param {{ name: "{name}_w" lr_mult: 1 }} param {{ name: "{name}_b" lr_mult: 2 }}'

    text = layer(
        "Slice",
        "pair",
        ["data"],
        "left",
        'top: "right" slice_param { slice_dim: 1 slice_point: 1 }',
    )
    for side, tail in (("left", ""), ("right", "_p")):
        text += conv(f"conv1{tail}", side, 20, 5, rates=shared("conv1"))
        text += pool(f"pool1{tail}", f"conv1{tail}", 2, 2)
        text += conv(f"conv2{tail}", f"pool1{tail}", 50, 5, rates=shared("conv2"))
        text += pool(f"pool2{tail}", f"conv2{tail}", 2, 2)
        text += dense(f"ip1{tail}", f"pool2{tail}", 500, rates=shared("ip1"))
        text += relu(f"ip1{tail}")
        text += dense(f"ip2{tail}", f"ip1{tail}", 10, rates=shared("ip2"))
        text += dense(f"feat{tail}", f"ip2{tail}", 2, rates=shared("feat"))
    more = "contrastive_loss_param { margin: 1 }"
    return text + layer("ContrastiveLoss", "loss", ["feat", "feat_p", "label"], more=more)


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
