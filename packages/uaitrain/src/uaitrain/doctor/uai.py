"""What runs on UCloud's training platform need here: the vendor's SDK and an account's keys.

The platform is not asked: most machines never send anything there.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from uaitrain.backends.uai.api import EXTRA
from uaitrain.backends.uai.keys import load_keys
from uaitrain.doctor.verdict import State, Surroundings, Verdict
from uaitrain.errors import CredentialsError

_DOES_NOT = "uaitrain submit uai does not work here"


def check(surroundings: Surroundings) -> Iterator[Verdict]:
    if importlib.util.find_spec("ucloud") is None:
        what, mend = "the platform's SDK is not installed", f"pip install '{EXTRA}'"
        yield Verdict("uai", State.NOTE, f"{_DOES_NOT}: {what}", mend)
        return
    try:
        load_keys()
    except CredentialsError as error:
        mend = error.next_step or error.allowed
        yield Verdict("uai", State.NOTE, f"{_DOES_NOT}: {error.what}", mend)
        return
    yield Verdict("uai", State.PRESENT, "the platform's SDK and the keys of a UCloud account")
