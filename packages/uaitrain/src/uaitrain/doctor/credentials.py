"""Logins for registries that Docker or Podman keep."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from uaitrain.doctor.verdict import PUSH, State, Surroundings, Verdict
from uaitrain.errors import UsageError
from uaitrain.registry import auth_files


def check(surroundings: Surroundings) -> Iterator[Verdict]:
    try:
        named = auth_files.helpers()
    except UsageError as error:
        yield Verdict("login", State.MISSING, error.what, error.next_step, (PUSH,))
        return
    for helper, path in named:
        program = f"docker-credential-{helper}"
        if shutil.which(program):
            yield Verdict("login", State.PRESENT, f"{path} keeps logins with {program}")
        else:
            yield Verdict(
                "login",
                State.MISSING,
                f"{path} names the credential helper {program}, which is not installed",
                f"install {program}, or remove its line from {path} and log in again",
                (PUSH,),
            )
