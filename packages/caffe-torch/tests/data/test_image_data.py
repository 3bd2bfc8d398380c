"""ImageData against the oracle: reading, resizing, shuffling, skipping."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from data_checks import Place, compare, labels, ours, pixels, refused_by_both


def write_pictures(place: Place, count: int, form: str = "png", color: bool = True) -> None:
    lines = []
    for number in range(count):
        image = pixels(9, 11, 3, seed=number) if color else pixels(9, 11, seed=number)
        name = f"a picture {number}.{form}"
        cv2.imwrite(str(place / name), cv2.GaussianBlur(image, (5, 5), 0))
        lines.append(f"{name} {number}\n")
    (place / "list").write_text("".join(lines))


def layer(more: str = "", transform: str = "", source: str = "list", batch: int = 3) -> str:
    return (
        'type: "ImageData" top: "data" top: "label" image_data_param { '
        f'source: "{{here}}/{source}" root_folder: "{{here}}/" batch_size: {batch} {more} }} '
        f"transform_param {{ {transform} }}"
    )


@pytest.mark.parametrize("form", ["png", "jpg"])
@pytest.mark.parametrize("more", ["", "is_color: false", "new_height: 6 new_width: 14"])
@pytest.mark.parametrize("transform", ["", "crop_size: 5 mirror: true mean_value: 7 scale: 0.1"])
def test_pictures_are_the_oracles(place: Place, form: str, more: str, transform: str) -> None:
    write_pictures(place, 5, form)
    compare(place, layer(more, transform), count=3)


@pytest.mark.parametrize("size", [(3, 4), (9, 11), (20, 31), (227, 227), (18, 5)])
@pytest.mark.parametrize("color", ["true", "false"])
def test_resizing_is_the_oracles(place: Place, size: tuple[int, int], color: str) -> None:
    write_pictures(place, 3)
    more = f"new_height: {size[0]} new_width: {size[1]} is_color: {color}"
    compare(place, layer(more), count=1)


def test_gray_pictures_become_color_by_default(place: Place) -> None:
    write_pictures(place, 3, color=False)
    assert compare(place, layer(), count=1)[0][0].shape == (3, 3, 9, 11)


@pytest.mark.parametrize("seed", [1, 7, 4294967295])
@pytest.mark.parametrize("transform", ["", "crop_size: 5 mirror: true"])
def test_shuffling_is_the_oracles_in_every_round(place: Place, seed: int, transform: str) -> None:
    write_pictures(place, 7)
    found = labels(compare(place, layer("shuffle: true", transform), count=9, seed=seed))
    assert sorted(found[:7]) == sorted(found[7:14]) == list(range(7))
    assert found[:7] != found[7:14]


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("more", ["rand_skip: 7", "rand_skip: 7 shuffle: true"])
def test_skipping_is_the_oracles(place: Place, more: str, phase: str) -> None:
    write_pictures(place, 7)
    for seed in (1, 2, 3):
        compare(place, layer(more, "mirror: true"), count=5, phase=phase, seed=seed)


def test_a_batch_takes_the_size_of_its_first_picture(place: Place) -> None:
    write_pictures(place, 4)
    cv2.imwrite(str(place / "a picture 2.png"), pixels(4, 5, 3))
    cv2.imwrite(str(place / "a picture 3.png"), pixels(4, 5, 3))
    compare(place, layer(batch=2), count=3)


def test_labels_are_read_as_c_reads_them(place: Place) -> None:
    write_pictures(place, 1)
    path = "a picture 0.png"
    lines = [f"{path} 7x", f"{path} -3", f"{path} +4\r", f"{path} word", f"{path} 1.9", f"{path} "]
    (place / "odd").write_text("\n".join(lines))
    found = labels(compare(place, layer(source="odd", batch=6), count=1))
    assert found == [7, -3, 4, 0, 1, 0]


@pytest.mark.parametrize(
    ("more", "content", "expected"),
    [
        ("", None, 'source "{here}/odd" cannot be read'),
        ("", "", 'source "{here}/odd" is empty'),
        ("", "none.png 1\n", 'picture "{here}/none.png" does not exist'),
        ("", "a picture 0.png 1\nnone.png 1\n", 'picture "{here}/none.png" does not exist'),
        ("", "odd 1\n", 'picture "{here}/odd" is not a picture'),
        ("", "a picture 0.png 1\n\n", 'picture "{here}/" is not a picture'),
        ("new_height: 3", "a picture 0.png 1\n", "new_height is 3, new_width is 0"),
        ("rand_skip: 900", "a picture 0.png 1\n", "rand_skip 900 skips"),
        ("", "a picture 0.png 1\nother.png 2\n", "is 3×4×5, the first of its batch"),
    ],
)
def test_what_the_oracle_refuses_is_refused_by_name(
    place: Place, more: str, content: str | None, expected: str
) -> None:
    write_pictures(place, 1)
    cv2.imwrite(str(place / "other.png"), pixels(4, 5, 3))
    if content is not None:
        (place / "odd").write_text(content)
    message = refused_by_both(place, layer(more, source="odd"))
    assert message.startswith('layer "x" (ImageData): ')
    assert expected in message


def test_deep_pictures_are_read_in_8_bits_as_by_the_oracle(place: Place) -> None:
    write_pictures(place, 2)
    cv2.imwrite(str(place / "a picture 1.png"), pixels(9, 11, 3).astype(np.uint16) * 257)
    compare(place, layer(), count=1)


def test_solvers_read_the_same_pictures(place: Place) -> None:
    write_pictures(place, 4)
    first = labels(ours(place, layer(), 2, rank=0, ranks=2))
    assert first == labels(ours(place, layer(), 2, rank=1, ranks=2)) == [0, 1, 2, 3, 0, 1]
