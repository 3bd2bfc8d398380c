"""A stand-in platform that checks what it gets, and a backend whose waiting takes no time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from support.uai_server import PRIVATE_KEY, PUBLIC_KEY, Platform, running_platform
from uai_jobs import options
from uaitrain.backends.uai.backend import UaiBackend
from uaitrain.backends.uai.options import options_from


@pytest.fixture
def platform() -> Iterator[Platform]:
    with running_platform() as running:
        yield running


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UCLOUD_PUBLIC_KEY", PUBLIC_KEY)
    monkeypatch.setenv("UCLOUD_PRIVATE_KEY", PRIVATE_KEY)


@dataclass
class Clock:
    """Time that only passes where somebody waits."""

    now: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backend(platform: Platform, clock: Clock) -> UaiBackend:
    chosen = options_from(options(**{"uai.url": platform.url}))
    return UaiBackend(chosen, sleep=clock.sleep, clock=clock)
