"""Keys and certificates for tests, made by openssl: a private CA, a server, a token signer."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class KeyPair:
    """PEM files: a P-256 private key and its certificate."""

    key: Path
    certificate: Path


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def self_signed(folder: Path, name: str) -> KeyPair:
    """A CA of our own: it signs itself, and others by :func:`server_certificate`."""
    pair = KeyPair(folder / f"{name}.key", folder / f"{name}.crt")
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", pair.key, "-out", pair.certificate, "-days", "2", "-subj", f"/CN={name}"),
        *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
    )
    return pair


def server_certificate(folder: Path, authority: KeyPair) -> KeyPair:
    """For localhost by name and address, and ``registry.example``; signed by ``authority``."""
    pair = KeyPair(folder / "server.key", folder / "server.crt")
    request, extensions = folder / "server.csr", folder / "server.ext"
    extensions.write_text("subjectAltName=DNS:localhost,DNS:registry.example,IP:127.0.0.1,IP:::1\n")
    _openssl(
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", pair.key, "-out", request, "-subj", "/CN=localhost"),
    )
    _openssl(
        *("x509", "-req", "-in", request, "-CA", authority.certificate, "-CAkey", authority.key),
        *("-CAcreateserial", "-out", pair.certificate, "-days", "2", "-extfile", extensions),
    )
    return pair


def sign(key: Path, data: bytes) -> bytes:
    """An ES256 signature (RFC 7518, 3.4): r and s, 32 bytes each, big-endian."""
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", str(key)],
        input=data,
        capture_output=True,
        check=True,
    )
    der = done.stdout
    numbers, position = [], 2
    for _ in range(2):
        length = der[position + 1]
        numbers.append(int.from_bytes(der[position + 2 : position + 2 + length], "big"))
        position += 2 + length
    return b"".join(number.to_bytes(32, "big") for number in numbers)
