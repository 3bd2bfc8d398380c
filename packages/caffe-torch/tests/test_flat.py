from __future__ import annotations

import numpy as np
import torch
from caffe.blob import Blob
from caffe.flat import FlatParameters, Segment

CPU = torch.device("cpu")


def blobs() -> list[Blob]:
    made = [Blob(shape, CPU) for shape in [(2, 3), (2,), (4, 1, 5), (4,), ()]]
    for number, blob in enumerate(made):
        blob.data_memory.put(torch.full(blob.shape, float(number)))
    return made


def pack(owners: list[Blob]) -> FlatParameters:
    return FlatParameters(owners, [1, 2, 1, 2, 1], [1, 0, 1, 0, 0])


def test_blobs_of_equal_multipliers_lie_in_one_segment() -> None:
    flat = pack(blobs())

    assert flat.segments == [
        Segment(0, 48, 1, 1),
        Segment(48, 80, 2, 0),
        Segment(80, 96, 1, 0),
    ]
    assert flat.data.shape == flat.diff.shape == flat.like().shape == (96,)


def test_the_blobs_keep_their_values_and_live_in_the_flat_tensor() -> None:
    owners = blobs()
    flat = pack(owners)

    for number, blob in enumerate(owners):
        assert torch.equal(blob.data, torch.full(blob.shape, float(number)))
    flat.data.fill_(9)
    flat.diff.fill_(8)
    for blob in owners:
        assert torch.equal(blob.data, torch.full(blob.shape, 9.0))
        assert torch.equal(blob.diff, torch.full(blob.shape, 8.0))


def test_what_is_put_into_a_blob_later_is_copied_into_the_flat_tensor() -> None:
    owners = blobs()
    flat = pack(owners)
    owners[2].data = torch.arange(20.0).reshape(4, 1, 5)
    owners[2].diff.add_(1)

    assert flat.data[16:36].tolist() == list(range(20))
    assert float(flat.diff.sum()) == 20


def test_numpy_views_of_a_blob_are_the_flat_tensor() -> None:
    owners = blobs()
    flat = pack(owners)
    owners[1].data_memory.numpy(owners[1].shape)[...] = 7

    assert flat.data[48:50].tolist() == [7, 7]


def test_blobs_that_share_an_owners_memory_follow_it() -> None:
    owners = blobs()
    sharer = Blob((3, 2), CPU)
    sharer.share_data(owners[0])
    flat = pack(owners)
    flat.data.fill_(5)

    assert torch.equal(sharer.data, torch.full((3, 2), 5.0))


def test_views_are_in_the_nets_order_and_shapes_and_write_through() -> None:
    owners = blobs()
    flat = pack(owners)
    other = flat.like()
    views = flat.views(other)
    for number, view in enumerate(views):
        view.fill_(number + 1)

    assert [tuple(view.shape) for view in views] == [blob.shape for blob in owners]
    assert float(other.sum()) == sum((n + 1) * blob.count for n, blob in enumerate(owners))


def test_each_blob_begins_at_64_bytes() -> None:
    owners = blobs()
    flat = pack(owners)

    for view in flat.views(flat.data):
        assert (view.data_ptr() - flat.data.data_ptr()) % 64 == 0


def test_nothing_to_learn_makes_empty_tensors() -> None:
    flat = FlatParameters([], [], [])

    assert flat.data.numel() == 0
    assert flat.segments == []
    assert np.array_equal(flat.views(flat.data), [])
