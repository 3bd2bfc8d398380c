"""A way to build base images."""

from __future__ import annotations

from collections.abc import Iterator

from uaitrain.bases.mmdebstrap import find_builder
from uaitrain.doctor.verdict import BASE_BUILD, State, Surroundings, Verdict
from uaitrain.errors import BaseError


def check(surroundings: Surroundings) -> Iterator[Verdict]:
    try:
        builder = find_builder()
    except BaseError as error:
        yield Verdict("builder", State.MISSING, error.what, error.next_step, (BASE_BUILD,))
        return
    yield Verdict("builder", State.PRESENT, f"base images are built by {builder.program}")
