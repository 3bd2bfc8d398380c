"""The flags of ``pack`` that put an SBOM and signatures beside the image, judged."""

from __future__ import annotations

import argparse
import getpass
import os
import sys

from uaitrain.errors import UsageError
from uaitrain.provenance.attach import Wanted, check_libraries
from uaitrain.provenance.keys import PASSWORD_VARIABLES, load_signer
from uaitrain.secret import Secret


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
    signer = load_signer(arguments.sign, _ask_password) if arguments.sign else None
    return Wanted(arguments.sbom, signer)


def _ask_password() -> Secret | None:
    """The key's password: from the environment, else from whoever sits at the terminal."""
    for name in PASSWORD_VARIABLES:
        if name in os.environ:
            return Secret(os.environ[name])
    if not sys.stdin.isatty():
        return None
    return Secret(getpass.getpass("password of the signing key: ", sys.stderr))
