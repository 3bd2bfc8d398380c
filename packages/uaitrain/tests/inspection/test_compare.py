"""Two images, file by file."""

from __future__ import annotations

import tarfile

import pytest
from support.inspected import image, layer, member, never
from uaitrain.inspection.compare import patch
from uaitrain.inspection.look import Difference, difference, list_files
from uaitrain.inspection.source import Found
from uaitrain.inspection.summary import summarize
from uaitrain.oci.image import Image
from uaitrain.progress import Silent

BASE = layer({"usr/bin/python": b"python"})
CODE = {"data/train.py": b"one\ntwo\n", "data/net.prototxt": b"net", "data/old": b"old"}


def _found(given: Image) -> Found:
    return Found("it", given, given.digest, "here")


def _diff(before: Image, after: Image, *, patches: bool = False) -> Difference:
    return difference(_found(before), _found(after), Silent(), patches=patches)


def test_added_removed_and_changed_files_are_told_and_shared_layers_not_read() -> None:
    new = {"data/train.py": b"one\nthree\n", "data/net.prototxt": b"net", "data/new": b"new!"}
    found = _diff(image(never(BASE), layer(CODE)), image(never(BASE), layer(new)))

    assert [(c.path, c.how, c.what) for c in found.files] == [
        ("data/new", "added", ()),
        ("data/old", "removed", ()),
        ("data/train.py", "changed", ("content",)),
    ]
    assert found.read_layers == 2
    assert found.files[0].after
    assert found.files[0].after.entry.size == 4


def test_the_same_files_in_other_layers_do_not_differ() -> None:
    first, second = dict(list(CODE.items())[:1]), dict(list(CODE.items())[1:])

    assert _diff(image(BASE, layer(CODE)), image(BASE, layer(first), layer(second))).nothing


def test_mode_owner_kind_and_target_are_told() -> None:
    before = [
        member("run", mode=0o644),
        member("mine", uid=1),
        member("now-a-link"),
        member("link", type=tarfile.SYMTYPE, linkname="a"),
        member("folder", mode=0o700, type=tarfile.DIRTYPE),
        member("only-here", type=tarfile.DIRTYPE),
    ]
    after = [
        member("run", mode=0o755),
        member("mine", uid=2),
        member("now-a-link", type=tarfile.SYMTYPE, linkname="x"),
        member("link", type=tarfile.SYMTYPE, linkname="b"),
        member("folder", mode=0o755, type=tarfile.DIRTYPE),
    ]
    found = _diff(image(layer({}, before)), image(layer({}, after)))

    assert {c.path: c.what for c in found.files} == {
        "run": ("mode",),
        "mine": ("owner",),
        "now-a-link": ("kind",),
        "link": ("target",),
        "folder": ("mode",),
    }


def test_a_file_of_a_shared_layer_that_only_one_image_hides_is_told() -> None:
    hiding = layer({"usr/bin/.wh.python": b""})
    gone = _diff(image(never(BASE)), image(never(BASE), hiding))
    back = _diff(image(never(BASE), hiding), image(never(BASE)))

    assert [(c.path, c.how) for c in gone.files] == [("usr/bin/python", "removed")]
    assert [(c.path, c.how) for c in back.files] == [("usr/bin/python", "added")]


@pytest.mark.parametrize("hiding", [".wh.d", "d/.wh..wh..opq"])
def test_what_a_later_layer_hides_is_gone(hiding: str) -> None:
    lower = layer({"d/a": b"a", "d/e/b": b"b", "da": b""})
    found = _diff(image(layer({"x": b""})), image(lower, layer({hiding: b"", "x": b""})))

    assert [c.path for c in found.files if c.how == "added"] == ["da"]


def test_a_file_in_the_place_of_a_folder_hides_what_was_in_it() -> None:
    folder = layer({"d/a": b"a"}, [member("d", type=tarfile.DIRTYPE)])
    found = _diff(image(layer({"x": b""})), image(folder, layer({"d": b"file"})))

    assert [(c.path, c.how) for c in found.files] == [("d", "added"), ("x", "removed")]


def test_settings_that_moved_are_told() -> None:
    old = image(BASE, Env=["A=1", "B=2"], Cmd=["train"], Labels={"l": "1"})
    new = image(BASE, Env=["A=1", "C=3"], Cmd=["train", "-v"], Labels={"l": "2"}, User="me")
    found = _diff(old, new)

    assert [(s.name, s.before, s.after) for s in found.settings] == [
        ("Cmd", '["train"]', '["train", "-v"]'),
        ("User", None, "me"),
        ("environment B", "2", None),
        ("environment C", None, "3"),
        ("label l", "1", "2"),
    ]


def test_another_base_is_told() -> None:
    label = "org.opencontainers.image.base.digest"
    found = _diff(image(BASE, Labels={label: "a"}), image(BASE, Labels={label: "b"}))

    assert not found.same_base


def test_changed_text_is_shown_line_by_line_and_other_bytes_are_not() -> None:
    before = layer({"t": b"one\ntwo\n", "b": b"\0\1", "u": b"\xff", "large": b"x" * 300_000})
    after = layer({"t": b"one\n2\n", "b": b"\0\2", "u": b"\xfe", "large": b"y" * 300_000})
    found = _diff(image(before), image(after), patches=True)

    assert found.patches == {"t": ["--- a/t", "+++ b/t", "@@ -1,2 +1,2 @@", " one", "-two", "+2"]}
    assert len(found.files) == 4


def test_a_patch_of_very_many_lines_is_left_out() -> None:
    assert patch("p", b"x\n" * 9000, b"y\n" * 9000) is None


def test_a_packs_own_layers_are_listed_and_the_base_is_not_read() -> None:
    packed = image(never(BASE), layer(CODE), names=["debian", "uaitrain pack: code"])
    files = list_files(_found(packed), summarize(packed), Silent(), everything=False)

    assert [list(each.entries) for each in files.values()] == [list(CODE)]


def test_all_layers_of_an_image_that_no_pack_made_are_listed() -> None:
    given = image(BASE, layer(CODE))

    assert len(list_files(_found(given), summarize(given), Silent(), everything=False)) == 2
