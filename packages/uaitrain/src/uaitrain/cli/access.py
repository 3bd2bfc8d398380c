"""The flags that say how registries are reached, shared by every verb that talks to one."""

from __future__ import annotations

import sys
from pathlib import Path

from uaitrain.access import Access
from uaitrain.errors import UsageError
from uaitrain.oci.reference import check_host
from uaitrain.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_access_arguments(parser: argparse.ArgumentParser, *, username: bool = True) -> None:
    group = parser.add_argument_group("registry")
    if username:
        group.add_argument("--username", metavar="NAME", help="user name on the target registry")
    group.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )
    group.add_argument(
        "--insecure-registry",
        action="append",
        default=[],
        metavar="HOST",
        help="allow plain HTTP to this host (loopback is always allowed)",
    )
    group.add_argument(
        "--ca-file",
        type=Path,
        metavar="PEM",
        help="certificate authority to trust besides the system's",
    )


def read_password(arguments: argparse.Namespace) -> Secret | None:
    """The first line of standard input, if it was asked for. Raises UsageError."""
    if not arguments.password_stdin:
        return None
    text = sys.stdin.readline().rstrip("\r\n")
    if not text:
        raise UsageError(
            "--password-stdin: standard input is empty",
            next_step="printf '%s' \"$PASSWORD\" | uaitrain … --password-stdin",
        )
    return Secret(text)


def access_from(
    arguments: argparse.Namespace,
    target_host: str,
    username: str = "",
    password: Secret | None = None,
) -> Access:
    """How to reach registries; explicit credentials are for ``target_host`` alone.

    Raises UsageError.
    """
    from uaitrain.registry.credentials import Credentials

    ca_file: Path | None = arguments.ca_file
    if ca_file is not None and not ca_file.is_file():
        raise UsageError(f"--ca-file: no such file: {str(ca_file)!r}", allowed="a PEM file")
    username = username or getattr(arguments, "username", None) or ""
    password = password or read_password(arguments)
    if password and not username:
        raise UsageError(
            "there is a password but no user name", next_step="give --username as well"
        )
    return Access(
        target_host,
        Credentials(username, password) if password else None,
        frozenset(check_host(host) for host in arguments.insecure_registry),
        ca_file,
    )
