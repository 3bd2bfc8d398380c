"""A few hundred inputs for each parser; ``bench/fuzz.py`` runs a hundred thousand."""

from __future__ import annotations

import pytest
from fuzz_targets import TARGETS
from hypothesis import HealthCheck, given, seed, settings


@pytest.mark.parametrize("name", TARGETS)
def test_only_our_errors_come_out_and_what_is_accepted_survives_writing(name: str) -> None:
    target = TARGETS[name]

    @seed(1)
    @settings(
        max_examples=300,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def run(case: object) -> None:
        target.holds(case)

    run()
