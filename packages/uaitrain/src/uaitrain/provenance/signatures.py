"""Signatures in the two forms that cosign reads.

- *Bundles* (cosign 3; cosign 2.4 with ``--new-bundle-format``): an in-toto statement in a DSSE
  envelope, in a Sigstore bundle (version 0.3), attached as a referrer.
- *Layers of an image* (cosign 1 and 2, and 3 where it finds no bundle): under the tag
  ``sha256-<hex>.sig`` a payload that names the image's digest, with the signature as the layer's
  annotation (sigstore, "Cosign Signature Specifications"); under ``sha256-<hex>.att`` the same
  envelopes as in the bundles.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from uaitrain.errors import NotFoundError, RegistryError
from uaitrain.oci.descriptor import OCI_CONFIG, OCI_MANIFEST, Descriptor
from uaitrain.oci.digest import Digest, digest_of
from uaitrain.oci.image import canonical_json, parse_manifest
from uaitrain.provenance.keys import Signer, hint
from uaitrain.provenance.statement import MEDIA_TYPE as IN_TOTO
from uaitrain.registry.client import Registry
from uaitrain.registry.referrers import Artifact, Attached, fallback_tag, put_blob

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"

_ROUNDS = 5
"""How often the tag is written when others write it at the same time."""


def payload(name: str, digest: Digest) -> bytes:
    """What a simple signature signs: that ``digest`` is an image called ``name``."""
    return canonical_json(
        {
            "critical": {
                "identity": {"docker-reference": name},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    )


def envelope(signer: Signer, statement: bytes) -> dict[str, Any]:
    """``statement``, signed (DSSE protocol)."""
    signature = signer.sign(pre_authentication(IN_TOTO, statement))
    return {
        "payload": _base64(statement),
        "payloadType": IN_TOTO,
        "signatures": [{"sig": _base64(signature)}],
    }


def bundle(
    subject: Descriptor, signer: Signer, signed: dict[str, Any], predicate_type: str
) -> Artifact:
    """A ``signed`` statement about ``subject``."""
    content = canonical_json(
        {
            "mediaType": BUNDLE_TYPE,
            "verificationMaterial": {"publicKey": {"hint": hint(signer)}},
            "dsseEnvelope": signed,
        }
    )
    return artifact(subject, content, predicate_type)


def artifact(subject: Descriptor, content: bytes, predicate_type: str) -> Artifact:
    """The bundle ``content`` as a document about ``subject``."""
    annotations = {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": predicate_type,
    }
    return Artifact(BUNDLE_TYPE, BUNDLE_TYPE, content, subject, annotations)


def pre_authentication(payload_type: str, body: bytes) -> bytes:
    """What a DSSE signature covers (DSSE protocol, "PAE")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)


def attach_signature(
    registry: Registry, repository: str, signer: Signer, signed: bytes, image: Digest
) -> Attached:
    """Put the signature over ``signed`` beside those that ``image`` has already."""
    annotations = {SIGNATURE: _base64(signer.sign(signed))}
    tag = f"{fallback_tag(image)}.sig"
    return _add_layer(registry, repository, tag, PAYLOAD_TYPE, signed, annotations)


def attach_envelope(
    registry: Registry, repository: str, signed: dict[str, Any], predicate_type: str, image: Digest
) -> Attached:
    """Put a signed statement beside those that ``image`` has already."""
    annotations = {SIGNATURE: "", "predicateType": predicate_type}
    tag = f"{fallback_tag(image)}.att"
    return _add_layer(registry, repository, tag, ENVELOPE_TYPE, canonical_json(signed), annotations)


def _add_layer(
    registry: Registry,
    repository: str,
    tag: str,
    media_type: str,
    content: bytes,
    annotations: Mapping[str, str],
) -> Attached:
    layer = Descriptor(media_type, digest_of(content), len(content), annotations)
    sent = 0
    for written in range(_ROUNDS):
        layers = _there(registry, repository, tag)
        if layer in layers:
            return Attached(layer.digest, sent, written == 0)
        config = _config([*layers, layer])
        sent += put_blob(registry, repository, media_type, content)
        sent += put_blob(registry, repository, OCI_CONFIG, config)
        registry.put_manifest(repository, tag, _manifest(config, [*layers, layer]), OCI_MANIFEST)
    raise RegistryError(
        f"others wrote the tag {tag} of {registry.host}/{repository} at the same time, "
        f"{_ROUNDS} times in a row",
        next_step="try again when they are done",
    )


def _there(registry: Registry, repository: str, tag: str) -> tuple[Descriptor, ...]:
    """What is signed already."""
    try:
        fetched = registry.get_manifest(repository, tag)
    except NotFoundError:
        return ()
    return parse_manifest(fetched.raw, fetched.media_type).layers


def _config(layers: Sequence[Descriptor]) -> bytes:
    """A signature is stored as an image, and an image has a config."""
    rootfs = {"type": "layers", "diff_ids": [layer.digest for layer in layers]}
    return canonical_json({"architecture": "", "os": "", "config": {}, "rootfs": rootfs})


def _manifest(config: bytes, layers: Sequence[Descriptor]) -> bytes:
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": Descriptor(OCI_CONFIG, digest_of(config), len(config)).to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
