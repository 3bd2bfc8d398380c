"""Nets of MNIST and CIFAR-10, as Caffe's examples have them."""

from __future__ import annotations

from prototext import conv, dense, gauss, layer, loss, lrn, pool, relu


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
