"""Documents beside an image: on a registry without the referrers API and on one with it."""

from __future__ import annotations

import json
import subprocess

import pytest
from support.cosign import program_of
from support.fault_proxy import Fault, running_fault_proxy
from support.images import at, client, image
from support.referrers_api import running_referrers_api
from support.registry import RunningRegistry
from uaitrain.errors import RegistryError
from uaitrain.oci.descriptor import OCI_INDEX, OCI_MANIFEST, Descriptor
from uaitrain.oci.digest import digest_of
from uaitrain.registry.client import Registry
from uaitrain.registry.push import push_image
from uaitrain.registry.referrers import (
    EMPTY,
    EMPTY_TYPE,
    Artifact,
    attach,
    fallback_tag,
    referrers,
)

REPOSITORY = "team/mnist"
KIND = "application/vnd.example.words"


def _pushed(registry: Registry) -> Descriptor:
    made = image()
    push_image(registry, made, at(registry.host))
    return made.descriptor


def _about(subject: Descriptor, text: str) -> Artifact:
    return Artifact(KIND, "text/plain", text.encode(), subject, {"about": text})


def test_without_the_api_a_tag_lists_what_is_attached(registry: RunningRegistry) -> None:
    own = client(registry.host)
    subject = _pushed(own)
    first, second = _about(subject, "one"), _about(subject, "two")

    done = attach(own, REPOSITORY, first)
    attach(own, REPOSITORY, second, "words")

    assert (done.digest, done.sent, done.unchanged) == (first.digest, len("one") + 2, False)
    listed = own.get_manifest(REPOSITORY, fallback_tag(subject.digest))
    assert listed.media_type == OCI_INDEX
    assert json.loads(listed.raw)["manifests"] == [first.entry(), second.entry()]
    assert referrers(own, REPOSITORY, subject.digest) == [first.entry(), second.entry()]
    assert own.head_manifest(REPOSITORY, "words") == second.digest
    manifest = json.loads(own.get_manifest(REPOSITORY, first.digest).raw)
    assert manifest == {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": KIND,
        "config": {"mediaType": EMPTY_TYPE, "digest": digest_of(EMPTY), "size": 2},
        "layers": [{"mediaType": "text/plain", "digest": digest_of(b"one"), "size": 3}],
        "subject": {
            "mediaType": subject.media_type,
            "digest": subject.digest,
            "size": subject.size,
        },
        "annotations": {"about": "one"},
    }


def test_oras_finds_what_is_attached(registry: RunningRegistry) -> None:
    own = client(registry.host)
    subject = _pushed(own)
    made = [_about(subject, "one"), _about(subject, "two")]
    for artifact in made:
        attach(own, REPOSITORY, artifact)

    oras = program_of("oras", "sid")
    image = f"{registry.host}/{REPOSITORY}@{subject.digest}"
    done = subprocess.run(
        [oras, "discover", "--plain-http", "--format", "json", image],
        capture_output=True,
        text=True,
        check=True,
    )

    listed = json.loads(done.stdout)["referrers"]
    assert {(each["digest"], each["artifactType"]) for each in listed} == {
        (artifact.digest, KIND) for artifact in made
    }


def test_what_is_there_is_not_written_again(registry: RunningRegistry) -> None:
    own = client(registry.host)
    artifact = _about(_pushed(own), "one")
    attach(own, REPOSITORY, artifact, "words")

    with running_fault_proxy(registry.host) as proxy:
        again = attach(client(proxy.host), REPOSITORY, artifact, "words")

    assert (again.digest, again.sent, again.unchanged) == (artifact.digest, 0, True)
    assert {request.partition(" ")[0] for request in proxy.requests} <= {"GET", "HEAD"}
    assert proxy.requests


def test_a_lost_list_is_made_again(registry: RunningRegistry) -> None:
    """The document is there and its listing is not: what a kill between the two leaves."""
    own = client(registry.host)
    artifact = _about(_pushed(own), "one")
    tag = fallback_tag(artifact.subject.digest)
    with (
        running_fault_proxy(registry.host, Fault(f"PUT .*{tag}", status=403)) as proxy,
        pytest.raises(RegistryError),
    ):
        attach(client(proxy.host), REPOSITORY, artifact)
    assert referrers(own, REPOSITORY, artifact.subject.digest) == []

    again = attach(own, REPOSITORY, artifact)

    assert (again.sent, again.unchanged) == (0, False)
    assert referrers(own, REPOSITORY, artifact.subject.digest) == [artifact.entry()]


def test_a_list_that_somebody_else_wrote_at_the_same_time_is_merged(
    registry: RunningRegistry,
) -> None:
    own = client(registry.host)
    subject = _pushed(own)
    mine, other = _about(subject, "mine"), _about(subject, "other")
    tag = fallback_tag(subject.digest)

    def overwrite() -> None:
        raw = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [other.entry()]}
        own.put_manifest(REPOSITORY, tag, json.dumps(raw).encode(), OCI_INDEX)

    attach(own, REPOSITORY, other)
    # The list is asked for, written, and asked for again: by then it is another one's.
    asked = f"GET .*{tag}"
    with running_fault_proxy(registry.host, Fault(asked), Fault(asked, before=overwrite)) as proxy:
        attach(client(proxy.host), REPOSITORY, mine)

    assert proxy.count(f"PUT .*{tag}") == 2
    assert referrers(own, REPOSITORY, subject.digest) == [other.entry(), mine.entry()]


def test_with_the_api_the_registry_keeps_the_list(registry: RunningRegistry) -> None:
    with running_referrers_api(registry.host) as api:
        own = client(api.host)
        subject = _pushed(own)
        artifacts = [_about(subject, word) for word in ("one", "two", "three")]

        for artifact in artifacts:
            attach(own, REPOSITORY, artifact)
        again = attach(own, REPOSITORY, artifacts[2])

        # Three documents are two pages.
        assert [e["digest"] for e in referrers(own, REPOSITORY, subject.digest)] == [
            artifact.digest for artifact in artifacts
        ]
        assert again.unchanged
        assert own.head_manifest(REPOSITORY, fallback_tag(subject.digest)) is None


def test_what_a_registry_had_before_it_learnt_the_api_is_listed_too(
    registry: RunningRegistry,
) -> None:
    artifact = _about(_pushed(client(registry.host)), "one")
    attach(client(registry.host), REPOSITORY, artifact)

    with running_referrers_api(registry.host) as api:
        done = attach(client(api.host), REPOSITORY, artifact)

        assert (done.sent, done.unchanged) == (0, False)
        assert [e["digest"] for e in api.lists[artifact.subject.digest]] == [artifact.digest]


def test_a_registry_that_does_not_list_what_it_stored_is_told_of(
    registry: RunningRegistry,
) -> None:
    with running_referrers_api(registry.host) as api:
        api.forgets = True
        own = client(api.host)
        artifact = _about(_pushed(own), "one")

        with pytest.raises(RegistryError, match="does not list it as a referrer"):
            attach(own, REPOSITORY, artifact)


@pytest.mark.parametrize(
    ("raw", "media_type", "words"),
    [
        (b'{"schemaVersion":2,"mediaType":"%s","manifests":[{}]}', OCI_INDEX, "no image index"),
        (b'{"schemaVersion":2,"mediaType":"%s","manifests":7}', OCI_INDEX, "no image index"),
        (b'{"schemaVersion":2,"mediaType":"%s"}', OCI_MANIFEST, "no list of attached documents"),
    ],
)
def test_a_tag_that_holds_no_list_is_left_alone(
    registry: RunningRegistry, raw: bytes, media_type: str, words: str
) -> None:
    """The real registry refuses such a tag, so it is answered in its place."""
    own = client(registry.host)
    artifact = _about(_pushed(own), "one")
    body = raw.replace(b"%s", media_type.encode())
    tag = fallback_tag(artifact.subject.digest)
    fault = Fault(
        f"GET .*manifests/{tag}",
        times=9,
        status=200,
        body=body,
        headers={"Content-Type": media_type},
    )
    with running_fault_proxy(registry.host, fault) as proxy:
        with pytest.raises(RegistryError, match=words):
            attach(client(proxy.host), REPOSITORY, artifact)
        assert not any("PUT" in r and tag in r for r in proxy.requests)
