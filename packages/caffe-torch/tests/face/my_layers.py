"""Net layers as users write them; real pycaffe and ours import this same file."""

import json

import caffe
import numpy as np


class SquareLoss(caffe.Layer):
    """Half the squared distance of two bottoms, a sample."""

    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise ValueError(f"two bottoms are needed, not {len(bottom)}")

    def reshape(self, bottom, top):
        self.distance = np.zeros_like(bottom[0].data, dtype=np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.distance[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.distance**2) / bottom[0].num / 2.0

    def backward(self, top, propagate_down, bottom):
        for index, sign in ((0, 1), (1, -1)):
            if propagate_down[index]:
                weight = top[0].diff[0] * sign / bottom[index].num
                bottom[index].diff[...] = weight * self.distance


class Times(caffe.Layer):
    """param_str: {"factor": F}."""

    def setup(self, bottom, top):
        self.factor = json.loads(self.param_str)["factor"]

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.factor * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = self.factor * top[0].diff


class Numbers(caffe.Layer):
    """Data without bottoms: x (N x 3) and y (N x 2); N is 4 and 2 by turns where asked for."""

    def setup(self, bottom, top):
        self.random = np.random.RandomState(5)
        self.uneven = self.param_str == "uneven"
        self.batch = 0

    def reshape(self, bottom, top):
        count = 2 if self.uneven and self.batch % 2 else 4
        top[0].reshape(count, 3)
        top[1].reshape(count, 2)

    def forward(self, bottom, top):
        top[0].data[...] = self.random.randn(*top[0].data.shape)
        top[1].data[...] = np.tanh(top[0].data[:, :2] - top[0].data[:, 1:])
        self.batch += 1

    def backward(self, top, propagate_down, bottom):
        pass


class Weighted(caffe.Layer):
    """Each column times a learnable number."""

    def setup(self, bottom, top):
        self.blobs.add_blob(bottom[0].data.shape[1])
        self.blobs[0].data[...] = 1.5

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * self.blobs[0].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += np.sum(top[0].diff * bottom[0].data, axis=0)
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff * self.blobs[0].data


class Positive(caffe.Layer):
    """In place: what is below zero becomes a tenth of it."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        top[0].data[bottom[0].data < 0] *= 0.1

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff * np.where(top[0].data < 0, 0.1, 1)


class SumAndDifference(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)
        top[1].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data + bottom[1].data
        top[1].data[...] = bottom[0].data - bottom[1].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff + top[1].diff
        bottom[1].diff[...] = top[0].diff - top[1].diff


class Facts(caffe.Layer):
    """What a layer can see of itself."""

    def setup(self, bottom, top):
        self.setups = getattr(self, "setups", 0) + 1

    def reshape(self, bottom, top):
        top[0].reshape(6)

    def forward(self, bottom, top):
        top[0].data[...] = (
            self.phase,
            len(self.param_str),
            len(self.blobs),
            len(bottom),
            len(top),
            self.setups,
        )

    def backward(self, top, propagate_down, bottom):
        pass


class Fails(caffe.Layer):
    """param_str says in which method."""

    def setup(self, bottom, top):
        self._fail("setup")

    def reshape(self, bottom, top):
        self._fail("reshape")
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        self._fail("forward")

    def backward(self, top, propagate_down, bottom):
        self._fail("backward")

    def _fail(self, method):
        if self.param_str == method:
            raise KeyError(f"no luck in {method}")


class NoForward(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(1)


def not_a_class(param):
    return param


class NotALayer:
    def __init__(self, param):
        pass
