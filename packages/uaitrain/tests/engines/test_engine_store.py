"""What an engine's store answers."""

from __future__ import annotations

import pytest
from support.engines import RunningDocker, RunningPodman
from support.tiny_image import layer_of, with_code
from uaitrain.engines import Engine, store
from uaitrain.errors import EngineError
from uaitrain.oci.image import History, Image
from uaitrain.oci.reference import Reference
from uaitrain.progress import Silent
from uaitrain.sinks.engine import EngineSink


@pytest.fixture(params=["docker", "podman"])
def engine(request: pytest.FixtureRequest) -> Engine:
    running = request.getfixturevalue(f"{request.param}_engine")
    assert isinstance(running, RunningDocker | RunningPodman)
    return running.engine


def _name(name: str) -> Reference:
    return Reference("", name, "uaitrain")


def _put(engine: Engine, image: Image, name: str) -> None:
    EngineSink(engine).put(image, _name(name), Silent())


def test_an_image_that_is_not_there_is_no_error(engine: Engine) -> None:
    assert store.find(engine, _name("never")) is None
    assert store.remove(engine, _name("never")) is False


def test_a_second_name_is_the_same_image(engine: Engine, tiny: Image) -> None:
    _put(engine, with_code(tiny, "tagged"), "tagged")
    store.tag(engine, _name("tagged"), _name("tagged-again"))

    assert store.find(engine, _name("tagged")) == store.find(engine, _name("tagged-again"))


def test_a_name_can_be_removed(engine: Engine, tiny: Image) -> None:
    _put(engine, with_code(tiny, "removed"), "removed")

    assert store.remove(engine, _name("removed")) is True
    assert not store.has(engine, _name("removed"))


def test_tagging_what_is_not_there_gives_the_engines_own_words(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"(?i)never"):
        store.tag(engine, _name("never"), _name("other"))


def test_only_a_common_beginning_of_layers_counts_as_shared(engine: Engine, tiny: Image) -> None:
    low, high = layer_of({"data/low": b"1"}), layer_of({"data/high": b"2"})
    history = [History("a"), History("b")]
    _put(engine, tiny.append([low, high], history), "chain")
    base = tiny.diff_ids[0]

    assert store.shared_layers(engine, (base, low.diff_id, high.diff_id)) == 3
    assert store.shared_layers(engine, (base, high.diff_id, low.diff_id)) == 1
    assert store.shared_layers(engine, (low.diff_id, base)) == 0


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(EngineError, match="cannot start no-such-engine"):
        Engine("docker", ("no-such-engine",)).answer("version")
