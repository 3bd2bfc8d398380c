"""Private keys on the curve P-256, by the library ``cryptography``."""

from __future__ import annotations

import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from uaitrain.errors import UsageError
from uaitrain.provenance.keys import Signer, wrong_password
from uaitrain.secret import Secret

_ENCRYPTED = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE|^Proc-Type: 4,ENCRYPTED", re.M)


class _Key:
    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @property
    def public_key(self) -> bytes:
        public = self._key.public_key()
        return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True))


def is_encrypted(pem: bytes) -> bool:
    return bool(_ENCRYPTED.search(pem))


def from_pem(pem: bytes, password: Secret | None, path: str) -> Signer:
    """PKCS #8 or SEC 1. Raises UsageError."""
    secret = password.reveal().encode() if password else None
    try:
        return _judged(load_pem_private_key(pem, secret), path)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library has the same error for a wrong password and for a broken file.
        raise wrong_password(path) if password else _no_key(path) from None


def from_der(der: bytes, path: str) -> Signer:
    """PKCS #8. Raises UsageError."""
    try:
        return _judged(load_der_private_key(der, None), path)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _no_key(path) from None


def _judged(key: object, path: str) -> Signer:
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return _Key(key)
    raise UsageError(
        f"--sign: {path!r} holds a key of another kind",
        allowed="ECDSA on the curve P-256",
        next_step="cosign generate-key-pair makes one",
    )


def _no_key(path: str) -> UsageError:
    return UsageError(
        f"--sign: {path!r} holds no private key that can be read",
        allowed="a private key in PEM format (PKCS #8, SEC 1, or cosign's own)",
        next_step="cosign generate-key-pair makes one",
    )
