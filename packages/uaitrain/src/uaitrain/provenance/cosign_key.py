"""The key files of ``cosign generate-key-pair``: PKCS #8 in NaCl's secretbox, the key by scrypt.

Format: securesystemslib's ``encrypted`` (JSON with ``kdf``, ``cipher``, ``ciphertext``), in PEM.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from uaitrain.errors import UsageError
from uaitrain.provenance.keys import wrong_password
from uaitrain.secret import Secret

_BODY = re.compile(rb"-----BEGIN ENCRYPTED [A-Z ]+-----(.*?)-----END ", re.S)
_MAX_BYTES = 256 << 20
"""Of memory that a file may have us take; cosign's own settings take 64 MiB."""


def decrypt(pem: bytes, password: Secret, path: str) -> bytes:
    """The PKCS #8 key in ``pem``. Raises UsageError."""
    try:
        body = _BODY.search(pem)
        value = json.loads(base64.b64decode(body[1] if body else b""))
        kdf, cipher = value["kdf"], value["cipher"]
        n, r, p = (kdf["params"][name] for name in ("N", "r", "p"))
        salt = base64.b64decode(kdf["salt"])
        nonce, text = base64.b64decode(cipher["nonce"]), base64.b64decode(value["ciphertext"])
        if (kdf["name"], cipher["name"]) != ("scrypt", "nacl/secretbox") or not (
            0 < p <= 16 and 0 < 128 * n * r <= _MAX_BYTES
        ):
            raise ValueError("another way of encrypting")
        key = hashlib.scrypt(
            password.reveal().encode(), salt=salt, n=n, r=r, p=p, maxmem=2 * _MAX_BYTES, dklen=32
        )
        return SecretBox(key).decrypt(text, nonce)
    except CryptoError:
        raise wrong_password(path) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f"--sign: {path!r} is a broken key file of cosign's",
            next_step="make another key: cosign generate-key-pair",
        ) from None
