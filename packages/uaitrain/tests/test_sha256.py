"""Both ways of hashing give the same digests, and little data loads no OpenSSL."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from uaitrain.sha256 import LITTLE_BYTES, _own, sha256


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, LITTLE_BYTES, LITTLE_BYTES + 1])
def test_all_hash_alike(size: int) -> None:
    data = b"\xa5" * size
    wanted = hashlib.sha256(data).hexdigest()

    assert sha256(data).hexdigest() == wanted
    assert _own(data).hexdigest() == wanted
    piecewise = sha256(size=size)
    piecewise.update(data[:10])
    piecewise.update(data[10:])
    assert piecewise.hexdigest() == wanted


@pytest.mark.parametrize(("size", "loads"), [(1000, False), (LITTLE_BYTES + 1, True)])
def test_openssl_is_loaded_for_much_data_only(size: int, loads: bool) -> None:
    code = (
        "import sys; from uaitrain.sha256 import sha256;"
        f"sha256(size={size}).update(b'x' * 10); sha256(b'y').hexdigest();"
        "print('_hashlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == str(loads)
