"""Images are values: a change gives a new one, the same content the same digest."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uaitrain.errors import RegistryError
from uaitrain.oci.descriptor import (
    DOCKER_CONFIG,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
)
from uaitrain.oci.digest import digest_of
from uaitrain.oci.image import History, Image, parse_config, parse_index, parse_manifest
from uaitrain.oci.layer import BlobLayer


def layer(name: str) -> BlobLayer:
    blob = name.encode()
    descriptor = Descriptor(OCI_LAYER_GZIP, digest_of(blob), len(blob))

    def never() -> Any:
        raise AssertionError("no layer is opened to make a manifest")

    return BlobLayer(digest_of(b"tar of " + blob), descriptor, never)


BASE = Image(
    (layer("base"),),
    {"os": "linux", "architecture": "amd64", "config": {"Env": ["PATH=/bin", "A=1"]}},
)


def test_append_gives_a_new_image_and_leaves_the_old() -> None:
    before = BASE.digest
    image = BASE.append([layer("code")], [History("uaitrain pack: code")])

    assert BASE.digest == before
    assert [layer("base").diff_id, layer("code").diff_id] == list(image.diff_ids)
    assert json.loads(image.raw_config)["rootfs"]["diff_ids"] == list(image.diff_ids)
    assert image.config["history"][-1]["created_by"] == "uaitrain pack: code"


def test_configure_adds_to_environment_and_labels_and_replaces_the_command() -> None:
    image = BASE.configure(labels={"x": "1"}).configure(
        working_dir="/data", command=["run"], environment={"A": "2"}, labels={"y": "2"}
    )

    assert image.labels == {"x": "1", "y": "2"}
    assert image.config["config"]["Env"] == ["PATH=/bin", "A=2"]
    assert image.config["config"]["Cmd"] == ["run"]
    assert BASE.labels == {}


def test_the_digest_is_that_of_the_manifest_and_the_manifest_names_the_config() -> None:
    manifest = json.loads(BASE.raw_manifest)

    assert "sha256:" + hashlib.sha256(BASE.raw_manifest).hexdigest() == BASE.digest
    assert digest_of(BASE.raw_config) == manifest["config"]["digest"]
    assert len(BASE.raw_config) == manifest["config"]["size"]


def test_the_other_family_of_manifests_names_the_same_blobs_by_its_own_types() -> None:
    docker = BASE.with_media_type(DOCKER_MANIFEST)
    ours, theirs = json.loads(BASE.raw_manifest), json.loads(docker.raw_manifest)

    assert ours["layers"][0]["digest"] == theirs["layers"][0]["digest"]
    assert (
        theirs["config"]["mediaType"],
        theirs["layers"][0]["mediaType"],
    ) == (DOCKER_CONFIG, DOCKER_LAYER_GZIP)
    assert docker.with_media_type(OCI_MANIFEST).raw_manifest == BASE.raw_manifest
    assert (
        ours["config"]["mediaType"],
        ours["layers"][0]["mediaType"],
    ) == (OCI_CONFIG, OCI_LAYER_GZIP)


def test_what_is_written_is_read_back() -> None:
    manifest = parse_manifest(BASE.raw_manifest, OCI_MANIFEST)
    config, diff_ids = parse_config(BASE.raw_config, 1)

    assert BASE.config_descriptor == manifest.config
    assert BASE.diff_ids == diff_ids
    assert BASE.config == config


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{", b"[]", b"null", b"{}", b'{"schemaVersion": 1}', b"[" * 100_000, b"\xff\xfe"),
        b'{"schemaVersion": 2, "layers": {}, "config": {}}',
        b'{"schemaVersion": 2, "layers": [3], "config": 4}',
        b'{"schemaVersion": 2, "mediaType": "x", "layers": [], "config": {}}',
        b'{"schemaVersion":2,"layers":[],"config":{"mediaType":"x","digest":"sha256:0","size":1}}',
        b'{"schemaVersion":2,"layers":[],"config":{"mediaType":"x","digest":null,"size":-1}}',
    ],
)
def test_broken_manifests_are_refused(raw: bytes) -> None:
    with pytest.raises(RegistryError):
        parse_manifest(raw, OCI_MANIFEST)


@pytest.mark.parametrize("raw", [b"{}", b'{"manifests": 3}', b'{"manifests": [{}]}', b"7"])
def test_broken_indexes_are_refused(raw: bytes) -> None:
    with pytest.raises(RegistryError):
        parse_index(raw)


@pytest.mark.parametrize(
    "raw", [b"{}", b'{"rootfs": {"diff_ids": []}}', b'{"rootfs": {"diff_ids": ["x"]}}', b"[1]"]
)
def test_configs_without_a_diff_id_for_each_layer_are_refused(raw: bytes) -> None:
    with pytest.raises(RegistryError):
        parse_config(raw, 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["config", "layers", "digest", "size", "mediaType", "manifests", "x"]),
            inner,
            max_size=4,
        )
    ),
)


@given(JSON)
def test_any_json_is_parsed_or_refused(value: object) -> None:
    raw = json.dumps(value).encode()
    with contextlib.suppress(RegistryError):
        parse_manifest(raw, OCI_MANIFEST)
    with contextlib.suppress(RegistryError):
        parse_index(raw)
    with contextlib.suppress(RegistryError):
        parse_config(raw, 1)
