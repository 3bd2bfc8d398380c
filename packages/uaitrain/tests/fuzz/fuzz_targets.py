"""What is fuzzed: for each parser, how inputs are made and what must hold for every one.

Only our own errors may come out, and what is accepted survives being written and read again.
``bench/fuzz.py`` runs the same table a hundred thousand times each.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from uaitrain.errors import UaitrainError
from uaitrain.files.ignore import IgnoreRules
from uaitrain.oci.descriptor import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor
from uaitrain.oci.image import canonical_json, parse_config, parse_index, parse_manifest
from uaitrain.oci.reference import Reference
from uaitrain.registry.challenge import parse_challenges

HEX = "sha256:" + "ab" * 32


@dataclass(frozen=True)
class Target:
    inputs: SearchStrategy[Any]
    holds: Callable[[Any], None]


def _reference(text: str) -> None:
    try:
        found = Reference.parse(text)
    except UaitrainError:
        return
    assert Reference.parse(str(found)) == found
    assert str(found).isprintable()


_ODD = st.characters()
_WORDS = st.sampled_from(
    ["localhost", "docker.io", "a.b:5000", "[::1]:80", "/", ":", "@", "a", "A", "_", "__", "-", ".",
     "latest", "library", HEX, "sha256:", "..", "\0", "‮", "\x1b[31m", "é", "65536"]
)  # fmt: skip
_REFERENCES = st.one_of(st.text(_ODD, max_size=40), st.lists(_WORDS, max_size=12).map("".join))

_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(_ODD, max_size=10),
    st.just(HEX), st.just(2), st.just(OCI_MANIFEST), st.just(OCI_INDEX), st.just(DOCKER_MANIFEST),
)  # fmt: skip
_NAMES = st.sampled_from(
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "annotations", "digest",
     "size", "platform", "os", "architecture", "variant", "rootfs", "diff_ids", "history"]
)  # fmt: skip
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(_NAMES | st.text(max_size=3), inner)
    ),
    max_leaves=12,
)
_DESCRIPTOR = st.fixed_dictionaries(
    {
        "mediaType": st.sampled_from([OCI_MANIFEST, OCI_INDEX]) | _LEAVES,
        "digest": st.just(HEX) | _LEAVES,
        "size": st.integers(0, 9) | _LEAVES,
    },
    optional={"annotations": _JSON, "platform": _JSON},
)
_MANIFEST = st.fixed_dictionaries(
    {"schemaVersion": st.just(2) | _LEAVES, "layers": st.lists(_DESCRIPTOR, max_size=3) | _JSON},
    optional={"mediaType": _LEAVES, "config": _DESCRIPTOR, "annotations": _JSON},
)
_INDEX = st.fixed_dictionaries({"manifests": st.lists(_DESCRIPTOR, max_size=3) | _JSON})
_CONFIG = st.fixed_dictionaries(
    {"rootfs": st.fixed_dictionaries({"diff_ids": st.lists(st.just(HEX) | _LEAVES, max_size=3)})},
    optional={"config": _JSON, "history": _JSON, "os": _LEAVES},
)


def _documents(shaped: SearchStrategy[Any]) -> SearchStrategy[bytes]:
    """JSON of about the right shape, cut or not, with odd escapes, and bytes of any kind."""
    text = (shaped | _JSON).map(lambda value: json.dumps(value).encode())
    cut = st.tuples(text, st.integers(0, 200)).map(lambda pair: pair[0][: -pair[1] or None])
    return st.one_of(text, text, cut, st.binary(max_size=40))


def _manifest(raw: bytes) -> None:
    try:
        found = parse_manifest(raw, OCI_MANIFEST)
    except UaitrainError:
        return
    again = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": found.media_type,
            "config": found.config.to_json(),
            "layers": [layer.to_json() for layer in found.layers],
            "annotations": dict(found.annotations),
        }
    )
    read = parse_manifest(again, OCI_MANIFEST)
    assert (read.layers, read.annotations) == (found.layers, found.annotations)


def _index(raw: bytes) -> None:
    try:
        found = parse_index(raw)
    except UaitrainError:
        return
    for each in found:
        assert Descriptor.from_json(json.loads(canonical_json(each.to_json()))) == each


def _config(raw: bytes) -> None:
    for count in range(4):
        try:
            value, diff_ids = parse_config(raw, count)
        except UaitrainError:
            continue
        written = canonical_json(value | {"rootfs": {"diff_ids": list(diff_ids)}})
        assert parse_config(written, count) == (value, diff_ids)


_CHALLENGES = st.one_of(
    st.text(_ODD, max_size=60),
    st.lists(
        st.sampled_from(
            ["Bearer", "Basic", "Negotiate", " ", ",", "=", '"', "\\", 'realm="http://a"', "abc==",
             'scope="repository:a:pull"', "realm=x", "\t", "é", "\0", 'x="a\\"b"']
        ),
        max_size=14,
    ).map("".join),
)  # fmt: skip


def _challenge(text: str) -> None:
    found = parse_challenges(text)

    def quoted(value: str) -> str:
        return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'

    written = ", ".join(
        f"{each.scheme} " + ", ".join(f"{k}={quoted(v)}" for k, v in each.parameters.items())
        for each in found
    )
    assert parse_challenges(written) == found


class _Item:
    def __init__(self, folder: bool) -> None:
        self._folder = folder

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._folder


_PIECES = st.sampled_from(
    ["a", "b", "ab", "/", "*", "?", "**", "**/", "/**", "!", "#", ".", " ", "\\", "\\*", "[ab]"]
)
_PATTERN = st.lists(_PIECES, max_size=6).map("".join)
_PATHS = st.lists(st.sampled_from(["a", "b", "ab", "a.b", "#", "!", "*"]), min_size=1, max_size=4)
_IGNORES = st.tuples(
    st.lists(_PATTERN | st.text(st.characters(exclude_characters="[\\"), max_size=8), max_size=4),
    _PATHS,
    st.booleans(),
)


def _ignore(case: tuple[list[str], list[str], bool]) -> None:
    lines, parts, folder = case
    path = "/".join(parts)
    found = IgnoreRules(lines).ignores(path, parts[-1], _Item(folder))  # type: ignore[arg-type] # as much of an entry as is asked
    assert found == slow_ignores(lines, parts, folder), (lines, path, folder)


def slow_ignores(lines: list[str], parts: list[str], folder: bool) -> bool:
    """gitignore(5) by its words: the last line that matches decides; no expression is made."""
    verdict = False
    for line in lines:
        text = line.rstrip("\r\n")
        while text.endswith(" ") and not text.endswith("\\ "):
            text = text[:-1]
        if not text or text.startswith("#"):
            continue
        keep = text.startswith("!")
        text = text.removeprefix("!")
        if not text.strip("/") or (text.endswith("/") and not folder):
            continue
        anchored = "/" in text.rstrip("/")
        glob = text.strip("/") if text.startswith("/") else text.rstrip("/")
        path = "/".join(parts)
        starts = [0] if anchored else [0, *(i + 1 for i, c in enumerate(path) if c == "/")]
        if any(_matches(glob, path[start:]) for start in starts):
            verdict = not keep
    return verdict


def _matches(glob: str, path: str) -> bool:
    @functools.cache
    def at(i: int, j: int) -> bool:
        if i == len(glob):
            return j == len(path)
        begins = i == 0 or glob[i - 1] == "/"
        if glob.startswith("**/", i) and begins:
            later = [j, *(k + 1 for k in range(j, len(path)) if path[k] == "/")]
            return any(at(i + 3, k) for k in later)
        if glob[i:] == "**" and i > 0 and begins:
            return j < len(path)
        rest, char = path[j:], glob[i]
        if char == "*":
            run = len(rest.partition("/")[0])
            return any(at(i + 1, j + k) for k in range(run + 1))
        if not rest:
            return False
        if char == "?":
            return rest[0] != "/" and at(i + 1, j + 1)
        if glob.startswith("[ab]", i):
            return rest[0] in "ab" and at(i + 4, j + 1)
        if char == "\\" and i + 1 < len(glob):
            return rest[0] == glob[i + 1] and at(i + 2, j + 1)
        return rest[0] == char and at(i + 1, j + 1)

    return at(0, 0)


TARGETS = {
    "reference": Target(_REFERENCES, _reference),
    "manifest": Target(_documents(_MANIFEST), _manifest),
    "index": Target(_documents(_INDEX), _index),
    "config": Target(_documents(_CONFIG), _config),
    "challenge": Target(_CHALLENGES, _challenge),
    "ignore": Target(_IGNORES, _ignore),
}
