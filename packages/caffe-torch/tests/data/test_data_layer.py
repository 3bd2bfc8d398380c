"""Data against the oracle: every transformation, every kind of record."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
from caffe.errors import DataError
from caffe.proto import caffe_pb2
from data_checks import (
    Place,
    compare,
    data,
    data_layer,
    datum,
    labels,
    make,
    opened,
    ours,
    pixels,
    refusal,
    refused_by_both,
    take,
    write_leveldb,
    write_lmdb,
)

TRANSFORMS = [
    "",
    "scale: 0.00390625",
    "scale: 0.3 mean_value: 33",
    "mean_value: 10 mean_value: 20.5 mean_value: 30",
    "mirror: true",
    "crop_size: 5",
    "crop_size: 5 mirror: true",
    'mean_file: "{here}/mean"',
    'mean_file: "{here}/mean" crop_size: 5 mirror: true scale: 0.7',
    'mean_file: "{here}/mean" mirror: true scale: 0.7',
    "crop_size: 5 mirror: true scale: 0.7 mean_value: 10 mean_value: 20.5 mean_value: 30",
    "crop_size: 8 mirror: true",
]


def write_mean(place: Place, *shape: int, name: str = "mean") -> None:
    mean = caffe_pb2.BlobProto(num=1, channels=shape[0], height=shape[1], width=shape[2])
    mean.data.extend((pixels(*shape, seed=8) / np.float32(1.7)).ravel().tolist())
    (place / name).write_bytes(mean.SerializeToString())


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_raw_records_are_the_oracles(place: Place, transform: str, phase: str) -> None:
    write_lmdb(place / "source", data(7, 3, 8, 9))
    write_mean(place, 3, 8, 9)
    compare(place, data_layer("source", 4, transform), count=6, phase=phase)


@pytest.mark.parametrize("seed", [0, 1, 20000, 4294967295])
def test_a_seed_gives_the_oracles_crops_and_mirrors(place: Place, seed: int) -> None:
    write_lmdb(place / "source", data(9, 1, 12, 11))
    batches = compare(place, data_layer("source", 5, "crop_size: 4 mirror: true"), 12, seed=seed)
    assert not np.array_equal(batches[0][0], batches[9][0])


@pytest.mark.parametrize("transform", ["", "crop_size: 3 mirror: true", "mean_value: 3 scale: 0.5"])
def test_float_records_are_the_oracles(place: Place, transform: str) -> None:
    values = (pixels(5, 2, 4, 5) / np.float32(7)).astype(np.float32)
    write_lmdb(place / "source", [datum(value, label) for label, value in enumerate(values)])
    compare(place, data_layer("source", 3, transform))


def pictures(count: int, color: bool, form: str = ".png") -> list[object]:
    made = []
    for label, image in enumerate(pixels(count, 8, 9, 3) if color else pixels(count, 8, 9)):
        smooth = cv2.GaussianBlur(image, (5, 5), 0)
        encoded = cv2.imencode(form, smooth)[1].tobytes()
        made.append(caffe_pb2.Datum(data=encoded, label=label, encoded=True))
    return made


@pytest.mark.parametrize("form", [".png", ".jpg", ".bmp"])
@pytest.mark.parametrize("transform", ["", "force_color: true", "force_gray: true"])
@pytest.mark.parametrize("color", [True, False])
def test_encoded_records_are_the_oracles(
    place: Place, color: bool, transform: str, form: str
) -> None:
    write_lmdb(place / "source", pictures(4, color, form))
    compare(place, data_layer("source", 3, transform + " mirror: true crop_size: 6"), count=3)


def test_an_encoded_record_meets_the_mean_file_at_its_crop(place: Place) -> None:
    write_lmdb(place / "source", pictures(4, True))
    write_mean(place, 3, 8, 9)
    transform = 'mean_file: "{here}/mean" crop_size: 5 mirror: true scale: 0.7'
    compare(place, data_layer("source", 3, transform))


def test_records_of_all_kinds_may_stand_side_by_side(place: Place) -> None:
    raw = datum(pixels(3, 8, 9), 300)
    late = caffe_pb2.Datum.FromString(raw.SerializeToString())
    late.encoded = False
    reordered = b"\x28\x05" + datum(pixels(3, 8, 9, seed=4)).SerializeToString()
    values = pixels(3, 8, 9, seed=5).astype(np.float32)
    records = [raw, late, datum(pixels(3, 8, 9)), reordered, datum(values, -3), *pictures(2, True)]
    write_lmdb(place / "source", records)
    compare(place, data_layer("source", 3, "mirror: true"), count=7)


def test_labels_of_any_size_are_the_oracles(place: Place) -> None:
    values = [0, 1, 127, 128, 255, 16383, 16384, 2**24 + 1, 2**31 - 1, -1, -(2**31)]
    write_lmdb(place / "source", [datum(pixels(1, 2, 2), value) for value in values])
    compare(place, data_layer("source", 4), count=6)


def test_a_record_without_a_label_has_label_0(place: Place) -> None:
    write_lmdb(place / "source", [datum(pixels(1, 2, 2)), datum(pixels(1, 2, 2), 5)])
    assert labels(compare(place, data_layer("source", 3))) == [0, 5, 0, 5, 0, 5] * 2 + [0, 5, 0]


def test_more_values_than_the_sizes_need_are_ignored(place: Place) -> None:
    long = datum(pixels(1, 2, 2), 5)
    long.data += b"more"
    write_lmdb(place / "source", [long, datum(pixels(1, 2, 2), 6)])
    compare(place, data_layer("source", 2))


def test_large_raw_records_are_the_oracles(place: Place) -> None:
    write_lmdb(place / "source", data(5, 3, 80, 90))
    compare(place, data_layer("source", 4, "mirror: true mean_value: 4"), count=3)
    compare(place, data_layer("source", 4, "mirror: true crop_size: 70 scale: 0.1"), count=3)


def test_leveldb_is_the_default_backend_and_the_oracles(place: Place) -> None:
    write_leveldb(place / "source", data(7, 1, 4, 5))
    default = data_layer("source", 3, "mirror: true").replace("backend: LMDB", "")
    mine = compare(place, default)
    assert labels(mine)[:9] == [0, 1, 2, 3, 4, 5, 6, 0, 1]


def test_a_batch_takes_the_shape_of_its_first_record(place: Place) -> None:
    small, large = data(2, 1, 2, 2), data(2, 1, 3, 5)
    write_lmdb(place / "source", small + large)
    batches = compare(place, data_layer("source", 2), count=4)
    assert [batch[0].shape for batch in batches[:2]] == [(2, 1, 2, 2), (2, 1, 3, 5)]


def test_with_a_crop_records_of_several_sizes_share_a_batch(place: Place) -> None:
    records = [datum(pixels(3, 5 + n, 9 - n, seed=n), n) for n in range(5)]
    write_lmdb(place / "source", records)
    compare(place, data_layer("source", 4, "crop_size: 4 mirror: true"))


@pytest.mark.parametrize(
    "more", ["rand_skip: 5", "force_encoded_color: true", "prefetch: 1", "scale: 3 mirror: true"]
)
def test_what_data_param_has_besides_changes_nothing(place: Place, more: str) -> None:
    write_lmdb(place / "source", data(5, 1, 4, 5))
    compare(place, data_layer("source", 3, "mirror: true crop_size: 2", more))


def test_one_top_gives_no_labels(place: Place) -> None:
    write_lmdb(place / "source", data(5, 1, 4, 5))
    compare(place, data_layer("source", 3).replace('top: "label"', ""))


def test_solvers_part_the_records_in_train_and_not_in_test(place: Place) -> None:
    write_lmdb(place / "source", data(7, 1, 2, 2))
    layer = data_layer("source", 4)
    for rank in range(3):
        expected = [number % 7 for number in range(rank, 3 * 12 + rank, 3)]
        assert labels(ours(place, layer, 3, rank=rank, ranks=3)) == expected
    tested = labels(ours(place, layer, 3, phase="TEST", rank=1, ranks=3))
    assert tested == [number % 7 for number in range(12)]


def test_more_solvers_than_records_take_turns(place: Place) -> None:
    write_lmdb(place / "source", data(2, 1, 2, 2))
    assert labels(ours(place, data_layer("source", 3), 2, rank=4, ranks=5)) == [0, 1] * 3


def test_a_batch_may_be_larger_than_the_source(place: Place) -> None:
    write_lmdb(place / "source", data(2, 1, 2, 2))
    compare(place, data_layer("source", 7, "mirror: true"))


def test_a_batch_stays_until_the_next_is_taken(place: Place) -> None:
    write_lmdb(place / "source", data(50, 1, 2, 2))
    with opened(place, data_layer("source", 5, more="prefetch: 2")) as layer:
        for turn in range(8):
            tops = layer.forward([])
            kept = [top.clone() for top in tops]
            threading.Event().wait(0.01)
            assert all(bool((a == b).all()) for a, b in zip(tops, kept, strict=True)), turn


def test_two_layers_may_read_one_source(place: Place) -> None:
    write_lmdb(place / "one", data(5, 1, 2, 2))
    write_leveldb(place / "two", data(5, 1, 2, 2))
    for layer in (data_layer("one", 5), data_layer("two", 5, backend="LEVELDB")):
        with opened(place, layer) as first, opened(place, layer, phase="TEST") as second:
            assert labels(take(first, 2)) == labels(take(second, 2)) == [0, 1, 2, 3, 4] * 2
            first.close()
            assert labels(take(second, 2)) == [0, 1, 2, 3, 4] * 2


BAD = {
    "no channels": (lambda: caffe_pb2.Datum(height=2, width=2, data=b"1234"), "0 channels"),
    "no sizes": (lambda: b"\xff\xff\xff", 'record "00000001" is not a Datum'),
    "other size": (lambda: datum(pixels(1, 2, 3), 0), "is 1×2×3, the first of its batch"),
    "other channels": (lambda: datum(pixels(2, 2, 2), 0), "is 2×2×2, the first of its batch"),
    "broken picture": (lambda: caffe_pb2.Datum(data=b"\x89PNG", encoded=True), "not a picture"),
    "empty picture": (lambda: caffe_pb2.Datum(encoded=True), "not a picture"),
    "deep picture": (
        lambda: caffe_pb2.Datum(
            data=cv2.imencode(".png", pixels(2, 2).astype(np.uint16))[1].tobytes(), encoded=True
        ),
        "uint16",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_record_is_refused_by_its_key_as_by_the_oracle(place: Place, name: str) -> None:
    make_bad, expected = BAD[name]
    write_lmdb(place / "source", [datum(pixels(1, 2, 2), 0), make_bad(), datum(pixels(1, 2, 2))])
    message = refused_by_both(place, data_layer("source", 3))
    assert expected in message
    assert message.startswith('layer "x" (Data): "{here}/source", record "00000001"')


def test_too_few_values_are_refused(place: Place) -> None:
    short = datum(pixels(1, 2, 2), 0)
    short.data = short.data[:3]
    write_lmdb(place / "source", [datum(pixels(1, 2, 2), 0), short])
    assert 'record "00000001" has 3 values' in refusal(place, data_layer("source", 2))


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ("crop_size: 5", 'record "00000000" is 4×5, smaller than the crop_size 5'),
        ("mean_value: 1 mean_value: 2", "2 mean_value for"),
        ('mean_file: "{here}/mean"', "the mean_file 1×9×9"),
        ('mean_file: "{here}/mean" mean_value: 1', "both mean_file and mean_value"),
        ('mean_file: "{here}/none"', 'mean_file "{here}/none" cannot be read'),
        ('mean_file: "{here}/junk"', 'mean_file "{here}/junk" is not a BlobProto'),
    ],
)
def test_transformations_that_do_not_fit_are_refused_by_both(
    place: Place, transform: str, expected: str
) -> None:
    write_lmdb(place / "source", data(2, 1, 4, 5))
    write_mean(place, 1, 9, 9)
    (place / "junk").write_bytes(b"\xff\xff")
    message = refused_by_both(place, data_layer("source", 2, transform))
    assert message.startswith('layer "x" (Data): ')
    assert expected in message


def test_color_and_gray_at_once_are_refused_by_both(place: Place) -> None:
    write_lmdb(place / "source", pictures(2, True))
    layer = data_layer("source", 2, "force_color: true force_gray: true")
    assert "not both" in refused_by_both(place, layer)


def test_a_batch_size_of_0_is_refused_by_both(place: Place) -> None:
    write_lmdb(place / "source", data(2, 1, 4, 5))
    assert "batch_size is 0" in refused_by_both(place, data_layer("source", 0))
    assert "prefetch is 0" in refusal(place, data_layer("source", 1, more="prefetch: 0"))


def test_a_failed_layer_fails_again_and_closes(place: Place) -> None:
    write_lmdb(place / "source", [*data(2, 1, 2, 2), b"\xff\xff"])
    layer = make(place, data_layer("source", 2))
    take(layer, 1)
    for _ in range(3):
        with pytest.raises(DataError, match="00000002"):
            layer.forward([])
    layer.close()
    layer.close()
