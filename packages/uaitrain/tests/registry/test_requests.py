"""How many requests a push takes."""

from __future__ import annotations

from support.fault_proxy import Fault, FaultProxy, running_fault_proxy
from support.images import QUICK, at, client, image, noise, tar_layer
from support.registry import RunningRegistry
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.image import Image
from uaitrain.registry.pull import pull_image
from uaitrain.registry.push import EXISTING, MOUNTED, UPLOADED, push_image

MIB = 1 << 20
TAG = "/v2/team/mnist/manifests/v1"


def _methods(proxy: FaultProxy) -> list[str]:
    """What was asked, the manifest's requests in full, the others by their method, sorted."""
    first, *middle, last = proxy.requests
    return [first, *sorted(request.split()[0] for request in middle), last]


def test_an_unchanged_image_takes_one_request(registry: RunningRegistry) -> None:
    push_image(client(registry.host), image(), at(registry.host))
    with running_fault_proxy(registry.host) as proxy:
        assert push_image(client(proxy.host), image(), at(proxy.host)).unchanged

    assert proxy.requests == [f"GET {TAG}"]
    assert proxy.connections == 1


def test_a_first_push_takes_two_requests_a_blob_and_two_for_the_manifest(
    registry: RunningRegistry,
) -> None:
    with running_fault_proxy(registry.host) as proxy:
        push_image(client(proxy.host), image(), at(proxy.host))

    assert _methods(proxy) == [f"GET {TAG}", *["POST"] * 3, *["PUT"] * 3, f"PUT {TAG}"]
    # One for each thread at most: connections are used again.
    assert proxy.connections <= 4


def test_a_base_of_the_same_registry_takes_one_request_a_layer(registry: RunningRegistry) -> None:
    own = client(registry.host)
    push_image(own, image(), at(registry.host, "vendor/base:1"))
    with running_fault_proxy(registry.host) as proxy:
        there = client(proxy.host)
        base = pull_image(there, at(proxy.host, "vendor/base:1"), Platform()).image
        proxy.requests.clear()
        top = tar_layer("data/train.py", b"print(1)")
        report = push_image(there, Image((*base.layers, top), base.config), at(proxy.host))

    assert [layer.outcome for layer in report.layers] == [MOUNTED, MOUNTED, UPLOADED]
    assert _methods(proxy) == [f"GET {TAG}", *["POST"] * 4, *["PUT"] * 2, f"PUT {TAG}"]


def test_blobs_under_another_tag_take_one_request_each(registry: RunningRegistry) -> None:
    push_image(client(registry.host), image(), at(registry.host, "team/mnist:other"))
    with running_fault_proxy(registry.host) as proxy:
        report = push_image(client(proxy.host), image(), at(proxy.host))

    assert {layer.outcome for layer in report.layers} == {EXISTING}
    assert report.sent == 0
    assert _methods(proxy) == [f"GET {TAG}", *["POST"] * 3, f"PUT {TAG}"]


def test_a_registry_that_breaks_over_mounts_is_spared_them(registry: RunningRegistry) -> None:
    broken = Fault("^POST .*mount=", 99, status=500)
    with running_fault_proxy(registry.host, broken) as proxy:
        push_image(client(proxy.host), image(), at(proxy.host), parallel=1)

    assert proxy.count("^POST .*mount=") == QUICK.attempts
    assert proxy.count("^POST") == QUICK.attempts + 3


def test_a_large_blob_is_asked_for_where_nothing_is_mounted(registry: RunningRegistry) -> None:
    large = image(tar_layer("data/a", noise(2 * MIB)))
    push_image(client(registry.host), large, at(registry.host, "team/mnist:other"))
    # Without its parameters a mount is the start of an upload, as registries do that have none.
    refused = b'{"errors":[{"code":"UNSUPPORTED","message":"no mounting here"}]}'
    with running_fault_proxy(
        registry.host, Fault("^POST .*mount=", 9, status=405, body=refused)
    ) as proxy:
        report = push_image(client(proxy.host), large, at(proxy.host))

    assert [layer.outcome for layer in report.layers] == [EXISTING]
    assert proxy.count("^HEAD") == 1
