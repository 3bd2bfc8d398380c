"""The flags of ``pack`` that put an SBOM and signatures beside the image, judged."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from typing import TYPE_CHECKING

from uaitrain.errors import UsageError
from uaitrain.provenance.attach import Wanted, check_libraries
from uaitrain.provenance.keys import PASSWORD_VARIABLES, load_signer
from uaitrain.secret import Secret

if TYPE_CHECKING:
    from uaitrain.provenance.keyless import Keyless

KEYLESS = "keyless"
"""In place of a key's path."""


def wanted_from(arguments: argparse.Namespace) -> Wanted:
    """What shall be attached; the key is opened now, so that a wrong password costs no pack.

    Raises UsageError.
    """
    flag = "--sbom" if arguments.sbom else "--sign"
    if not arguments.push:
        raise UsageError(
            f"{flag} attaches to a pushed image, and this one stays here",
            next_step="give --push as well",
        )
    if arguments.sbom:
        check_libraries()
    if arguments.sign is None:
        return Wanted(arguments.sbom)
    if str(arguments.sign) == KEYLESS:
        return Wanted(arguments.sbom, keyless=_keyless())
    return Wanted(arguments.sbom, load_signer(arguments.sign, _ask_password))


def _keyless() -> Keyless:
    try:
        from uaitrain.provenance import keyless
    except ImportError:
        raise UsageError(
            "--sign keyless needs a library that is not installed",
            next_step="pip install 'uaitrain[keyless]'",
        ) from None
    keyless.find_identity()
    return keyless.Keyless()


def _ask_password() -> Secret | None:
    """The key's password: from the environment, else from whoever sits at the terminal."""
    for name in PASSWORD_VARIABLES:
        if name in os.environ:
            return Secret(os.environ[name])
    if not sys.stdin.isatty():
        return None
    return Secret(getpass.getpass("password of the signing key: ", sys.stderr))
