"""Keys of openssl and of cosign, and signatures that openssl verifies."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest
from support.cosign import KEY_PASSWORD
from uaitrain.errors import UsageError
from uaitrain.provenance.keys import Signer, load_signer
from uaitrain.secret import Secret

LABEL = "ENCRYPTED SIGSTORE PRIVATE KEY"


def openssl(*words: str, data: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *words], input=data, capture_output=True, check=True)
    return done.stdout


def nobody() -> None:
    return None


def knows() -> Secret:
    return Secret(KEY_PASSWORD)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.pem"
    path.write_bytes(openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout"))
    return path


def verified(signer: Signer, folder: Path) -> bool:
    """Whether openssl finds the signature good."""
    (folder / "pub.der").write_bytes(signer.public_key)
    (folder / "sig").write_bytes(signer.sign(b"words"))
    public = openssl("ec", "-pubin", "-inform", "DER", "-in", str(folder / "pub.der"))
    (folder / "pub.pem").write_bytes(public)
    said = openssl(
        *("dgst", "-sha256", "-verify", str(folder / "pub.pem"), "-signature"),
        str(folder / "sig"),
        data=b"words",
    )
    return said == b"Verified OK\n"


def test_a_plain_key_signs_and_signs_the_same_again(plain: Path, tmp_path: Path) -> None:
    signer = load_signer(plain, nobody)

    assert verified(signer, tmp_path)
    assert signer.sign(b"words") == load_signer(plain, nobody).sign(b"words")
    assert signer.sign(b"words") != signer.sign(b"other words")


@pytest.mark.parametrize("traditional", [False, True])
def test_an_encrypted_key_of_openssl(plain: Path, tmp_path: Path, traditional: bool) -> None:
    words = ("ec", "-aes256") if traditional else ("pkcs8", "-topk8", "-v2", "aes256")
    out = ("-passout", f"pass:{KEY_PASSWORD}")
    path = tmp_path / "encrypted.pem"
    path.write_bytes(openssl(*words, "-in", str(plain), *out))

    assert load_signer(path, knows).public_key == load_signer(plain, nobody).public_key
    with pytest.raises(UsageError, match="the password does not open"):
        load_signer(path, lambda: Secret("wrong"))
    with pytest.raises(UsageError, match="nobody is there to be asked"):
        load_signer(path, nobody)


def test_cosigns_own_key(cosign_key: Path, tmp_path: Path) -> None:
    signer = load_signer(cosign_key, knows)

    assert verified(signer, tmp_path)
    assert (tmp_path / "pub.pem").read_text() == cosign_key.with_suffix(".pub").read_text()
    with pytest.raises(UsageError, match="the password does not open"):
        load_signer(cosign_key, lambda: Secret("wrong"))


def _broken(text: str, **changes: object) -> bytes:
    """cosign's key with other values in it."""
    body = "".join(line for line in text.splitlines() if "-----" not in line)
    value = json.loads(base64.b64decode(body)) | changes
    inner = base64.encodebytes(json.dumps(value).encode()).decode()
    return f"-----BEGIN {LABEL}-----\n{inner}-----END {LABEL}-----\n".encode()


def test_a_file_that_asks_for_all_memory_is_refused(cosign_key: Path, tmp_path: Path) -> None:
    kdf = {"name": "scrypt", "params": {"N": 1 << 40, "r": 8, "p": 1}, "salt": "AAAA"}
    path = tmp_path / "greedy.key"
    for changes in ({"kdf": kdf}, {"kdf": 7}, {"ciphertext": "AA"}, {"cipher": {"name": "x"}}):
        path.write_bytes(_broken(cosign_key.read_text(), **changes))
        with pytest.raises(UsageError):
            load_signer(path, knows)


def test_what_is_no_key_of_ours_is_refused(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / "other.pem"
    cases = {
        openssl("genpkey", "-algorithm", "ed25519"): "a key of another kind",
        openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout"): "a key of another kind",
        openssl("ec", "-in", str(plain), "-pubout"): "no private key",
        b"": "no private key",
        f"-----BEGIN {LABEL}-----\n".encode(): "broken key file",
    }
    for data, words in cases.items():
        path.write_bytes(data)
        with pytest.raises(UsageError, match=words):
            load_signer(path, knows)
    with pytest.raises(UsageError, match="cannot read"):
        load_signer(tmp_path / "none", nobody)
    with pytest.raises(UsageError, match="cannot read"):
        load_signer(tmp_path, nobody)
