"""Net layers as prototxt text, in the few forms that the zoo's nets need."""

from __future__ import annotations

from collections.abc import Sequence

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


def gauss(std: float) -> str:
    return f'type: "gaussian" std: {std}'
