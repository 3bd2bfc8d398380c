"""Nets of ImageNet, from their papers: CaffeNet (AlexNet), GoogLeNet, ResNet-50."""

from __future__ import annotations

from prototext import conv, dense, dropout, gauss, layer, loss, lrn, pool, relu


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
