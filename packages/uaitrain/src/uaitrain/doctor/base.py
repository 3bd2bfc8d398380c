"""A base image to pack upon."""

from __future__ import annotations

from collections.abc import Iterator

from uaitrain.bases import catalogue
from uaitrain.bases.store import Store
from uaitrain.doctor.verdict import PACK, PUSH, State, Surroundings, Verdict
from uaitrain.errors import UaitrainError


def check(surroundings: Surroundings) -> Iterator[Verdict]:
    try:
        known, stored = catalogue.load(), Store.default().list()
    except UaitrainError as error:
        yield Verdict("base", State.MISSING, error.what, error.next_step, (PACK, PUSH))
        return
    for base in stored:
        yield Verdict("base", State.PRESENT, f"base image {base.name} is on this machine")
    if stored:
        return
    recipe = next((entry for entry in known if entry.recipe), None)
    build = f"uaitrain base build {recipe.name}" if recipe else "uaitrain base list"
    yield Verdict(
        "base",
        State.MISSING,
        "no base image is on this machine",
        f"{build} (once), or name one in a registry with --base-cpu and --base-gpu",
        (PACK, PUSH),
    )
