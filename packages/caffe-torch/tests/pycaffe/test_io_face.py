"""caffe.io: images, messages and the Transformer, as in pycaffe with scikit-image."""

from __future__ import annotations

from pathlib import Path

import caffe
import cv2
import numpy as np
import pytest
from caffe.errors import DataError
from face import both
from oracle.client import Oracle

SCRIPTS = {
    "resizing": """
        r = np.random.RandomState(0)
        for name, shape, dims, order in (
            ("down", (40, 30, 3), (10, 12), 1), ("up", (10, 12, 3), (33, 40), 1),
            ("grey", (20, 20, 1), (7, 31), 1), ("five channels", (9, 10, 5), (5, 20), 1),
            ("cubic", (10, 12, 3), (20, 20), 3), ("nearest", (9, 9, 3), (27, 3), 0),
            ("same", (5, 5, 3), (5, 5), 1),
        ):
            image = r.rand(*shape).astype(np.float32)
            out[name] = caffe.io.resize_image(image, dims, order)
        out["flat"] = caffe.io.resize_image(np.full((4, 4, 3), 2, np.float32), (6, 6))
        """,
    "crops": """
        r = np.random.RandomState(0)
        images = [r.rand(8, 9, 3).astype(np.float32) for _ in range(2)]
        out["crops"] = caffe.io.oversample(images, (4, 5))
        out["odd"] = caffe.io.oversample(images, (3, 4))
        """,
    "messages": """
        r = np.random.RandomState(0)
        a = r.rand(3, 4, 5)
        io = caffe.io
        blob = io.array_to_blobproto(a, -a)
        out["blob"] = np.frombuffer(blob.SerializeToString(), np.uint8)
        out["array"], out["diff"] = io.blobproto_to_array(blob), io.blobproto_to_array(blob, True)
        legacy = caffe.proto.caffe_pb2.BlobProto(num=1, channels=2, height=1, width=2)
        legacy.data.extend([1, 2, 3, 4])
        out["legacy"] = io.blobproto_to_array(legacy)
        out["vector"] = np.frombuffer(io.arraylist_to_blobprotovector_str([a, a[0]]), np.uint8)
        out["list"] = io.blobprotovector_str_to_arraylist(out["vector"].tobytes())[1]
        for name, array in (("floats", a), ("bytes", (a * 255).astype(np.uint8))):
            datum = io.array_to_datum(array, 7)
            out["datum " + name] = np.frombuffer(datum.SerializeToString(), np.uint8)
            out["back " + name] = io.datum_to_array(datum)
        try:
            io.array_to_datum(a[0])
        except ValueError:
            out["refused"] = 1
        """,
    "a transformer": """
        r = np.random.RandomState(0)
        image = r.rand(8, 9, 3).astype(np.float32)
        t = caffe.io.Transformer({"data": (10, 3, 6, 7)})
        out["plain"] = t.preprocess("data", image)
        t.set_transpose("data", (2, 0, 1))
        t.set_channel_swap("data", (2, 1, 0))
        t.set_raw_scale("data", 255)
        t.set_mean("data", np.array([1.0, 2.0, 3.0]))
        t.set_input_scale("data", 0.5)
        out["all"] = t.preprocess("data", image)
        out["back"] = t.deprocess("data", out["all"])
        t.set_mean("data", r.rand(3, 6, 7))
        out["mean image"] = t.preprocess("data", image)
        kinds = []
        for call in (
            lambda: t.set_mean("data", np.zeros(2)), lambda: t.set_mean("data", np.zeros((2, 2))),
        ):
            try:
                call()
            except ValueError:
                kinds.append("value")
        for call in (
            lambda: t.preprocess("nope", image), lambda: t.set_transpose("data", (2, 0)),
            lambda: t.set_channel_swap("data", (1, 0)),
        ):
            try:
                call()
            except Exception:
                kinds.append("any")
        out["kinds"] = kinds
        """,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_io_does_what_it_does_in_pycaffe(
    oracle: Oracle, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both(oracle, SCRIPTS[name], {}, monkeypatch)


# pycaffe's own load_image fails with the oracle's scikit-image: it cannot be asked.


def test_an_image_is_loaded_as_rgb_from_0_to_1(tmp_path: Path) -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 0] = (255, 0, 51)
    cv2.imwrite(str(tmp_path / "i.png"), image[:, :, ::-1])

    color = caffe.io.load_image(str(tmp_path / "i.png"))
    grey = caffe.io.load_image(str(tmp_path / "i.png"), color=False)

    assert (color.dtype, color.shape, grey.shape) == (np.float32, (2, 3, 3), (2, 3, 1))
    np.testing.assert_allclose(color[0, 0], [1, 0, 0.2], 1e-6)
    np.testing.assert_allclose(grey[0, 0], 0.2125 + 0.0721 * 0.2, 1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_grey_image_has_three_equal_channels(tmp_path: Path, kind: type[np.generic]) -> None:
    cv2.imwrite(str(tmp_path / "i.png"), np.full((2, 3), np.iinfo(kind).max, kind))

    image = caffe.io.load_image(str(tmp_path / "i.png"))

    assert np.array_equal(image, np.ones((2, 3, 3), np.float32))


def test_an_alpha_channel_is_left_out(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "i.png"), np.full((2, 3, 4), (255, 0, 0, 7), np.uint8))

    assert caffe.io.load_image(str(tmp_path / "i.png"))[0, 0].tolist() == [0, 0, 1]


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "i.png").write_text("no image")

    for name in ("i.png", "missing.png"):
        with pytest.raises(DataError, match=name):
            caffe.io.load_image(str(tmp_path / name))
