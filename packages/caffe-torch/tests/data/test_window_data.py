"""WindowData against the oracle: sampling, context, squares, mirrors, means."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from data_checks import Place, compare, pixels, refusal, refused_by_both

WINDOWS = [
    (0, [(1, 0.9, 5, 4, 20, 30), (2, 0.6, 0, 0, 47, 39), (3, 0.5, 30, 20, 47, 39)]),
    (0, [(4, 0.3, 10, 10, 12, 35), (5, 0.49, 0, 5, 30, 9)]),
    (1, [(6, 1, 3, 3, 33, 21), (0, 0.1, 40, 3, 59, 28), (7, 0, 0, 0, 3, 3)]),
    (1, [(8, 0.7, 17, 0, 17, 28), (9, 0.2, 1, 1, 58, 27)]),
]


def write_windows(place: Place, channels: int = 3, name: str = "windows") -> None:
    sizes = ((40, 48), (29, 60))
    lines = []
    for number, size in enumerate(sizes):
        image = cv2.GaussianBlur(pixels(*size, 3, seed=number), (5, 5), 0)
        cv2.imwrite(str(place / f"{number}.png"), image)
        windows = [window for image, some in WINDOWS if image == number for window in some]
        lines += [f"# {number}", f"{number}.png", f"{channels}", f"{size[0]}", f"{size[1]}"]
        lines += [f"{len(windows)}", *(" ".join(map(str, window)) for window in windows)]
    (place / name).write_text("\n".join(lines) + "\n")


def write_mean(place: Place, *shape: int) -> None:
    mean = caffe_pb2.BlobProto(num=1, channels=shape[0], height=shape[1], width=shape[2])
    mean.data.extend((pixels(*shape, seed=8) / np.float32(1.7)).ravel().tolist())
    (place / "mean").write_bytes(mean.SerializeToString())


def layer(more: str = "", transform: str = "crop_size: 17", batch: int = 8) -> str:
    return (
        'type: "WindowData" top: "data" top: "label" window_data_param { '
        f'source: "{{here}}/windows" root_folder: "{{here}}/" batch_size: {batch} {more} }} '
        f"transform_param {{ {transform} }}"
    )


@pytest.mark.parametrize("seed", [1, 7, 12])
@pytest.mark.parametrize(
    "more",
    [
        "",
        "context_pad: 3",
        'crop_mode: "square"',
        'crop_mode: "square" context_pad: 4',
        'crop_mode: "warp" context_pad: 8',
        "cache_images: true",
        "scale: 0.25",
    ],
)
@pytest.mark.parametrize("transform", ["crop_size: 17", "crop_size: 17 mirror: true"])
def test_windows_are_the_oracles(place: Place, more: str, transform: str, seed: int) -> None:
    write_windows(place)
    compare(place, layer(more, transform), count=4, seed=seed)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize(
    "transform",
    [
        'mean_file: "{here}/mean"',
        'mean_file: "{here}/mean" scale: 3',
        "mean_value: 9.5",
        "mean_value: 9.5 mean_value: 100 mean_value: 3",
    ],
)
def test_means_are_taken_inside_the_window_alone(place: Place, transform: str, phase: str) -> None:
    write_windows(place)
    write_mean(place, 3, 22, 20)
    more = "context_pad: 4 scale: 0.3"
    compare(place, layer(more, f"crop_size: 17 mirror: true {transform}"), count=3, phase=phase)


@pytest.mark.parametrize("fraction", [0, 0.25, 0.3, 0.5, 0.99, 1])
def test_a_fraction_of_the_batch_is_foreground(place: Place, fraction: float) -> None:
    write_windows(place)
    for batch in (1, 7, 10):
        found = compare(place, layer(f"fg_fraction: {fraction}", batch=batch), count=2)
        labels = found[0][1]
        foreground = int(np.float32(batch) * np.float32(fraction))
        assert (labels[: batch - foreground] == 0).all()
        assert (labels[batch - foreground :] > 0).all()


@pytest.mark.parametrize("thresholds", [(0.5, 0.5), (0.6, 0.2), (0.9, 0.05), (0.3, 0.3)])
def test_thresholds_part_the_windows_as_the_oracles(
    place: Place, thresholds: tuple[float, float]
) -> None:
    write_windows(place)
    more = f"fg_threshold: {thresholds[0]} bg_threshold: {thresholds[1]} fg_fraction: 0.5"
    compare(place, layer(more), count=3)


@pytest.mark.parametrize(
    ("more", "transform", "windows", "expected"),
    [
        ("", "", None, "crop_size is 0"),
        ("", "crop_size: 17", "", 'source "{here}/windows" is empty'),
        ("", "crop_size: 17", "+ 0", 'picture 0 begins with "+"'),
        ("fg_threshold: 2", "crop_size: 17", None, "no foreground window"),
        ("bg_threshold: 0", "crop_size: 17", None, "no background window"),
        ("fg_threshold: 0.1", "crop_size: 17", None, "foreground window of class 0"),
        ("", "crop_size: 17 mean_value: 1 mean_value: 2", None, "2 mean_value"),
        ("", 'crop_size: 17 mean_file: "{here}/none"', None, 'mean_file "{here}/none"'),
        (
            "",
            "crop_size: 17",
            "# 0\n0.png\n3\n40\n48\n2\n1 1 5 5 48 30\n0 0 5 5 48 30\n",
            "window (5, 5, 48, 30) of picture 0 does not fit",
        ),
    ],
)
def test_what_the_oracle_refuses_is_refused_by_name(
    place: Place, more: str, transform: str, windows: str | None, expected: str
) -> None:
    write_windows(place)
    if windows is not None:
        (place / "windows").write_text(windows)
    message = refused_by_both(place, layer(more, transform))
    assert message.startswith('layer "x" (WindowData): ')
    assert expected in message


def test_what_the_oracle_reads_wrongly_is_refused(place: Place) -> None:
    write_windows(place, channels=1)
    assert "says 1 channels" in refusal(place, layer())
    write_windows(place)
    write_mean(place, 3, 16, 20)
    found = refusal(place, layer(transform='crop_size: 17 mean_file: "{here}/mean"'))
    assert "the mean_file is 3×16×20, crop_size 17" in found
    assert "context_pad is 9" in refusal(place, layer("context_pad: 9"))
    text = (place / "windows").read_text()
    (place / "windows").write_text(text.replace("# 1", "# 2"))
    assert "a picture of number 2" in refusal(place, layer())
    (place / "windows").write_text(text[:-20])
    assert "picture 1 has" in refusal(place, layer())
    (place / "windows").write_text(text)
    (place / "0.png").write_bytes(b"no picture")
    assert 'picture "{here}/0.png" is not a picture' in refusal(place, layer(), count=3)
    (place / "0.png").unlink()
    assert 'picture "{here}/0.png"' in refusal(place, layer("cache_images: true"), count=3)
