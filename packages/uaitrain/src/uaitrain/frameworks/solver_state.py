"""Names and shapes out of a ``.solverstate``, without its blobs."""

from __future__ import annotations

from pathlib import Path

from uaitrain.frameworks import wire
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

BLOB_SHAPE = 7


@dataclass(frozen=True)
class SolverState:
    """``learned_net`` is a path as the run wrote it; ``shapes`` one for each history blob."""

    iteration: int
    learned_net: str
    shapes: tuple[tuple[int, ...], ...]


def read(path: Path) -> SolverState:
    """Raises OSError, and wire.WireError where the file is something else."""
    iteration: int | None = None
    learned_net = ""
    shapes: list[tuple[int, ...]] = []
    with path.open("rb") as file:
        for field in wire.fields(file, 0, wire.file_size(file)):
            match field.number, field.kind:
                case (1, wire.VARINT):
                    iteration = field.value
                case (2, wire.BYTES):
                    learned_net = wire.text(file, field)
                case (3, wire.BYTES):
                    shapes.append(_shape(file, field))
                case (4, wire.VARINT):
                    pass
                case (number, _):
                    raise wire.WireError(f"a SolverState has no field {number} of that kind")
    if iteration is None:
        raise wire.WireError("it holds no iteration")
    return SolverState(iteration, learned_net, tuple(shapes))


def _shape(file: BinaryIO, blob: wire.Field) -> tuple[int, ...]:
    dims: list[int] = []
    for field in wire.fields(file, blob.start, blob.end):
        if field.number == BLOB_SHAPE and field.kind == wire.BYTES:
            for shape in wire.fields(file, field.start, field.end):
                dims += wire.packed_varints(file, shape)
    return tuple(dims)
