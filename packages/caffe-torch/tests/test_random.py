from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
import torch
from caffe import ziggurat
from caffe.errors import UsageError
from caffe.random import Random
from oracle.client import Oracle

SEEDS = [0, 1, 1701, 2**31, 2**32 - 1]

DUMMY = """
    filler = str(args["filler"])
    caffe.set_random_seed(int(args["seed"]))
    open("/data/n.prototxt", "w").write(
        'layer { name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {'
        " num: %d channels: 1 height: 1 width: 1 data_filler { %s } data_filler { %s } } }"
        % (int(args["count"]), filler, filler))
    net = caffe.Net("/data/n.prototxt", caffe.TRAIN)
    net.forward()
    out["a"] = net.blobs["a"].data.ravel()
    out["b"] = net.blobs["b"].data.ravel()
"""
DROPOUT = """
    caffe.set_random_seed(int(args["seed"]))
    open("/data/n.prototxt", "w").write(
        'layer { name: "i" type: "Input" top: "a" input_param { shape { dim: %d } } }'
        'layer { name: "d" type: "Dropout" bottom: "a" top: "b" dropout_param {'
        " dropout_ratio: %s } }" % (int(args["count"]), str(args["ratio"])))
    net = caffe.Net("/data/n.prototxt", caffe.TRAIN)
    net.blobs["a"].data[...] = 1
    for name in "xy":
        out[name] = net.forward()["b"] != 0
"""
SHUFFLED = """
    caffe.set_random_seed(int(args["seed"]))
    count = int(args["count"])
    open("/data/list", "w").write("".join("/data/dot.png %d\\n" % i for i in range(count)))
    open("/data/n.prototxt", "w").write(
        'layer { name: "i" type: "ImageData" top: "a" top: "b" image_data_param {'
        ' source: "/data/list" batch_size: %d shuffle: true } }' % count)
    net = caffe.Net("/data/n.prototxt", caffe.TRAIN)
    out["order"] = net.forward()["b"].astype(int)
"""


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [1, 300_000])
@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-0.3, 0.7), (5, 5), (-3, 0), (-3e38, 3e38), (1e8, 100000008)]
)
def test_uniform_draws_are_the_oracles(
    oracle: Oracle, seed: int, count: int, low: float, high: float
) -> None:
    filler = f'type: "uniform" min: {low!r} max: {high!r}'
    real = oracle(DUMMY, seed=seed, count=count, filler=filler)
    random = Random(seed)

    assert np.array_equal(random.uniform(count, low, high), real["a"])
    assert np.array_equal(random.uniform(count, low, high), real["b"])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [1, 2, 63, 1_000_000])
def test_gaussian_draws_are_the_oracles(oracle: Oracle, seed: int, count: int) -> None:
    real = oracle(DUMMY, seed=seed, count=count, filler='type: "gaussian" mean: 0.1 std: 0.3')
    random = Random(seed)

    assert np.array_equal(random.gaussian(count, 0.1, 0.3), real["a"])
    assert np.array_equal(random.gaussian(count, 0.1, 0.3), real["b"])


@pytest.mark.parametrize("seed", [1, 2**31])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.75])
def test_bernoulli_draws_are_the_oracles(oracle: Oracle, seed: int, ratio: float) -> None:
    real = oracle(DROPOUT, seed=seed, count=5000, ratio=str(ratio))
    random = Random(seed)
    keep = float(np.float32(1) - np.float32(ratio))

    assert np.array_equal(random.bernoulli(5000, keep), real["x"])
    assert np.array_equal(random.bernoulli(5000, keep), real["y"])


@pytest.mark.parametrize("count", [1, 2, 100, 1000])
def test_a_shuffled_list_has_the_oracles_order(oracle: Oracle, count: int) -> None:
    oracle.write("dot.png", cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes())
    real = oracle(SHUFFLED, seed=5, count=count)
    items = list(range(count))
    Random(Random(5).draw()).shuffle(items)

    assert items == real["order"].tolist()


def test_draws_of_all_kinds_come_from_one_stream() -> None:
    words = Random(3).take(3000).tolist()
    random = Random(3)

    assert random.draw() == words[0]
    assert random.take(2).tolist() == words[1:3]
    assert random.bernoulli(1, 0.5)[0] == (words[3] <= 2**31)
    assert random.bernoulli(4, 0).tolist() == [0, 0, 0, 0]
    assert random.draw() == words[4]
    assert random.take(2500).tolist() == words[5:2505]
    assert random.draw() == words[2505]


def test_gaussian_draws_one_by_one_are_those_drawn_together() -> None:
    together, apart = Random(9), Random(9)
    values = together.gaussian(3000, 0, 1)

    assert [float(apart.gaussian(1, 0, 1)[0]) for _ in range(3000)] == values.tolist()
    assert apart.draw() == together.draw()


def test_a_draw_that_needs_more_words_than_a_block_has_is_started_again() -> None:
    class Scripted:
        """Strip 0 at its very end is the tail. There, x is 0 and y starts over 100 times."""

        def __init__(self) -> None:
            words = [0xFFFFFF01, 0x01, *[0xFFFFFF00] * 100, 0x01, 0x12345602]
            self.words = np.array(words, np.uint32)

        def take(self, count: int) -> ziggurat.Words:
            taken, self.words = self.words[:count], self.words[count:]
            return taken

        def give_back(self, words: ziggurat.Words) -> None:
            self.words = np.concatenate((words, self.words))

    source = Scripted()
    value = ziggurat.normal(source, 1)

    assert value.tolist() == [float(ziggurat.normal_table().x[1])]
    assert source.words.tolist() == [0x12345602]


def test_seeds_count_modulo_two_to_the_32() -> None:
    assert Random(2**32 + 5).draw() == Random(5).draw()
    assert Random(-1).draw() == Random(2**32 - 1).draw()


def test_without_a_seed_each_stream_is_another() -> None:
    assert Random().take(4).tolist() != Random().take(4).tolist()


def test_a_generator_for_a_device_follows_the_seed() -> None:
    cpu = torch.device("cpu")
    first = torch.rand(3, generator=Random(4).generator(cpu))

    assert torch.equal(first, torch.rand(3, generator=Random(4).generator(cpu)))
    assert not torch.equal(first, torch.rand(3, generator=Random(5).generator(cpu)))


@pytest.mark.parametrize(("low", "high"), [(1, 0), (0, float("inf")), (float("nan"), 1)])
def test_bounds_that_make_no_range_are_refused(low: float, high: float) -> None:
    with pytest.raises(UsageError, match="cannot draw from"):
        Random(1).uniform(1, low, high)


def test_a_deviation_of_nothing_and_no_probability_are_refused() -> None:
    with pytest.raises(UsageError, match="deviation of 0"):
        Random(1).gaussian(1, 0, 0)
    with pytest.raises(UsageError, match=r"1\.5 is not a probability"):
        Random(1).bernoulli(1, 1.5)


def test_millions_of_draws_need_no_loop() -> None:
    start = time.process_time()
    Random(1).gaussian(6_000_000, 0, 1)

    assert time.process_time() - start < 6
