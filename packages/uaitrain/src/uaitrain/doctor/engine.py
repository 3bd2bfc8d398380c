"""An engine to load images into and to run them with."""

from __future__ import annotations

from collections.abc import Iterator

from uaitrain.doctor.verdict import TEST_CPU, TEST_GPU, State, Surroundings, Verdict


def check(surroundings: Surroundings) -> Iterator[Verdict]:
    usable = surroundings.engine
    for probe in surroundings.probes:
        if probe.engine:
            sudo = ", through sudo" if probe.engine.needs_sudo else ""
            used = "" if probe is usable else f" (not used: {usable and usable.program} is)"
            what = f"{probe.program} {probe.version} answers{sudo}{used}"
            yield Verdict("engine", State.PRESENT, what)
        elif usable:
            what = f"{probe.program} is not used: {probe.reason}"
            yield Verdict("engine", State.NOTE, what, probe.mend)
        else:
            stops = (TEST_CPU, TEST_GPU)
            yield Verdict("engine", State.MISSING, probe.reason, probe.mend, stops)
    if not usable:
        yield Verdict(
            "engine",
            State.NOTE,
            "packing and pushing work without an engine: the CPU image goes to an OCI layout",
        )
