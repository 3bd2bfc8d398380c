"""The key that signs: ECDSA on P-256, from a PEM file of openssl or of cosign.

Signatures are deterministic (RFC 6979): signing the same bytes again gives the same signature, so
that nothing is sent twice.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from uaitrain.errors import UsageError
from uaitrain.secret import Secret

PASSWORD_VARIABLES = ("UAITRAIN_SIGN_PASSWORD", "COSIGN_PASSWORD")
EXTRA = "pip install 'uaitrain[sign]'"

_COSIGN = (b"ENCRYPTED SIGSTORE PRIVATE KEY", b"ENCRYPTED COSIGN PRIVATE KEY")
_MAX_BYTES = 1 << 20

AskPassword = Callable[[], Secret | None]
"""Gives the key's password, or None where there is none to be had; called only if needed."""


class Signer(Protocol):
    """Signs bytes; ``public_key`` is its other half (SubjectPublicKeyInfo, DER)."""

    @property
    def public_key(self) -> bytes: ...

    def sign(self, data: bytes) -> bytes:
        """The signature over SHA-256 of ``data``, in ASN.1 (X9.62)."""


def hint(signer: Signer) -> str:
    """How a bundle names a public key: the base64 of its SHA-256."""
    return base64.b64encode(hashlib.sha256(signer.public_key).digest()).decode()


def load_signer(path: Path, ask_password: AskPassword) -> Signer:
    """The key in ``path``. Raises UsageError: no such file, no key, wrong password."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES)
    except OSError as error:
        raise UsageError(
            f"--sign: cannot read {str(path)!r}: {error.strerror}",
            allowed="a file with a private key in PEM format",
        ) from None
    try:
        from uaitrain.provenance import p256
    except ImportError:
        raise UsageError("--sign needs libraries that are not installed", next_step=EXTRA) from None
    if any(b"-----BEGIN " + label + b"-----" in data for label in _COSIGN):
        from uaitrain.provenance import cosign_key

        der = cosign_key.decrypt(data, _password(path, ask_password), str(path))
        return p256.from_der(der, str(path))
    if p256.is_encrypted(data):
        return p256.from_pem(data, _password(path, ask_password), str(path))
    return p256.from_pem(data, None, str(path))


def wrong_password(path: str) -> UsageError:
    return UsageError(
        f"--sign: the password does not open the key {path!r}",
        next_step=f"check {' or '.join(PASSWORD_VARIABLES)}",
    )


def _password(path: Path, ask: AskPassword) -> Secret:
    password = ask()
    if password is None:
        raise UsageError(
            f"--sign: the key {str(path)!r} is encrypted and nobody is there to be asked",
            next_step=f"give its password in {PASSWORD_VARIABLES[0]}",
        )
    return password
