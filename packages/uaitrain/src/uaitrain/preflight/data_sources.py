"""The data that the nets read: there, not empty, and of the kind that the layer says?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from uaitrain.frameworks.caffe_net import NetLayer
from uaitrain.preflight import databases, file_lists
from uaitrain.preflight.data_rules import (
    BACKEND,
    BATCH,
    ELSEWHERE,
    EMPTY,
    FOLDER,
    LIST_LINE,
    LISTED,
    MEAN,
    MEAN_TWICE,
    MISSING,
    NOT_A_DATABASE,
    NOT_HDF5,
    SOURCE,
    TRUNCATED,
    WRITES,
)
from uaitrain.preflight.finding import Finding
from uaitrain.preflight.look import Look, NetUse, Presence, at
from uaitrain.preflight.mean_file import mean_fault
from uaitrain.preflight.paths import OUTPUT, Place
from uaitrain.preflight.rule import Rule
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@dataclass(frozen=True)
class Reader:
    """A data layer in a net, with its own parameter message."""

    look: Look
    use: NetUse
    layer: NetLayer
    field: str

    @property
    def parameters(self) -> Any:
        return getattr(self.layer.message, self.field)

    def where(self, *names: str) -> str:
        node = self.layer.node
        for name in (self.field, *names):
            node = node.at(name)
        return self.use.document.where(node)


def check(look: Look) -> Iterator[Finding]:
    if not look.data_is_there:
        yield FOLDER.finding(f"no data folder {look.spec.data}", str(look.spec.data))
    # What both phases read is told once.
    told: set[Finding] = set()
    for use in look.uses:
        for layer in use.layers:
            for finding in _layer(look, use, layer):
                if finding not in told:
                    told.add(finding)
                    yield finding


def _layer(look: Look, use: NetUse, layer: NetLayer) -> Iterator[Finding]:
    if layer.type == "HDF5Output":
        yield from _output(Reader(look, use, layer, "hdf5_output_param"))
    known = READERS.get(layer.type)
    if known is None:
        return
    field, inspect = known
    reader = Reader(look, use, layer, field)
    if not reader.parameters.batch_size:
        yield BATCH.finding(f'layer "{layer.name}" has no batch_size', reader.where("batch_size"))
    if not reader.parameters.source:
        yield SOURCE.finding(f'layer "{layer.name}" has no source', reader.where("source"))
    else:
        place = look.resolve(reader.parameters.source)
        if _present(look, place):
            assert place.host is not None
            yield from _guarded(reader, inspect, place.host)
        else:
            yield from _absent(reader, place)
    yield from _mean(reader)


def _present(look: Look, place: Place) -> bool:
    return look.presence(place) is Presence.THERE


def _guarded(
    reader: Reader, inspect: Callable[[Reader, Path], Iterator[Finding]], host: Path
) -> Iterator[Finding]:
    try:
        yield from inspect(reader, host)
    except OSError as failure:
        what = f"the source cannot be read: {failure.strerror} ({failure.filename})"
        yield NOT_A_DATABASE.finding(what, reader.where("source"))


def _absent(reader: Reader, place: Place, rule: Rule = MISSING) -> Iterator[Finding]:
    look = reader.look
    where = reader.where("source")
    if place.host is None:
        what = f'layer "{reader.layer.name}" reads {place.container}, inside the base image'
        yield ELSEWHERE.finding(what, where)
    elif not look.told_already(place):
        near = look.nearby(place)
        mend = f"did you mean {' or '.join(near)}?" if near else ""
        what = f'source of layer "{reader.layer.name}": {look.absence(place)}'
        yield rule.finding(what, where, mend)


def _database(reader: Reader, host: Path) -> Iterator[Finding]:
    where = reader.where("backend")
    says = databases.LMDB if reader.parameters.backend else databases.LEVELDB
    found = databases.backend(host)
    if found is None:
        what = f"{host} is neither an LMDB (data.mdb) nor a LevelDB (CURRENT)"
        yield NOT_A_DATABASE.finding(what, reader.where("source"))
        return
    if found != says:
        by_default = "" if reader.parameters.HasField("backend") else ", which is the default"
        what = f"{host} is {found}, the layer says {says}{by_default}"
        yield BACKEND.finding(what, where, f"set data_param {{ backend: {found} }}")
    yield from (_lmdb if found == databases.LMDB else _leveldb)(reader, host)


def _lmdb(reader: Reader, host: Path) -> Iterator[Finding]:
    facts = databases.lmdb(host)
    where = reader.where("source")
    if facts is None:
        yield NOT_A_DATABASE.finding(f"{host / databases.LMDB_FILE} is not an LMDB", where)
    elif facts.entries == 0:
        yield EMPTY.finding(f"the LMDB {host} has no records", where)
    elif facts.size < facts.needed_bytes:
        what = f"{host / databases.LMDB_FILE} has {facts.size:,} of {facts.needed_bytes:,} bytes"
        yield TRUNCATED.finding(what, where)


def _leveldb(reader: Reader, host: Path) -> Iterator[Finding]:
    fault = databases.leveldb_fault(host)
    if fault:
        yield NOT_A_DATABASE.finding(f"the LevelDB {host}: {fault}", reader.where("source"))


def _listed(reader: Reader, host: Path, items: file_lists.Listed) -> Iterator[Finding]:
    if items.fault_line:
        what = f"line {items.fault_line} of {host}: {items.fault}"
        yield LIST_LINE.finding(what, at(host, items.fault_line))
    elif not items.names:
        yield EMPTY.finding(f"{host} lists nothing", reader.where("source"))


def _missing_items(
    reader: Reader, host: Path, root: str, items: file_lists.Listed
) -> Iterator[Finding]:
    """The sampled names that are missing, as one finding."""
    look = reader.look
    sample = file_lists.sample(items.names)
    places = [(line, look.resolve(root + name)) for line, name in sample]
    missing = [
        (line, place)
        for line, place in places
        if look.presence(place) in (Presence.MISSING, Presence.IGNORED)
        and not look.told_already(place)
    ]
    if missing:
        line, place = missing[0]
        what = (
            f"{len(missing)} of {len(sample)} looked at of the {len(items.names):,} files in "
            f"{host} are missing, the first: {look.absence(place)}"
        )
        yield LISTED.finding(what, at(host, line))


def _images(reader: Reader, host: Path) -> Iterator[Finding]:
    items = file_lists.images(host)
    yield from _listed(reader, host, items)
    yield from _missing_items(reader, host, reader.parameters.root_folder, items)


def _windows(reader: Reader, host: Path) -> Iterator[Finding]:
    items = file_lists.windows(host)
    yield from _listed(reader, host, items)
    yield from _missing_items(reader, host, reader.parameters.root_folder, items)


def _hdf5(reader: Reader, host: Path) -> Iterator[Finding]:
    items = file_lists.plain(host)
    yield from _listed(reader, host, items)
    yield from _missing_items(reader, host, "", items)
    for line, name in file_lists.sample(items.names):
        place = reader.look.resolve(name)
        if _present(reader.look, place) and place.host and not _is_hdf5(place.host):
            yield NOT_HDF5.finding(f"{place.host} is not an HDF5 file", at(host, line))


def _is_hdf5(path: Path) -> bool:
    return path.is_file() and databases.is_hdf5(path)


def _mean(reader: Reader) -> Iterator[Finding]:
    look, message = reader.look, reader.layer.message
    transform = message.transform_param
    old = getattr(reader.parameters, "mean_file", "")
    path = transform.mean_file or old
    if not path:
        return
    node = reader.layer.node.at("transform_param" if transform.mean_file else reader.field)
    where = reader.use.document.where(node.at("mean_file"))
    if transform.mean_value:
        yield MEAN_TWICE.finding(f'layer "{reader.layer.name}" has both', where)
    place = look.resolve(path)
    presence = look.presence(place)
    if presence is Presence.THERE and place.host is not None:
        fault = mean_fault(place.host)
        if fault:
            yield MEAN.finding(f"the mean file {place.host}: {fault}", where)
    elif presence is not Presence.UNKNOWN and not look.told_already(place):
        yield MEAN.finding(f"no mean file: {look.absence(place)}", where)


def _output(reader: Reader) -> Iterator[Finding]:
    place = reader.look.resolve(reader.parameters.file_name)
    if place.side != OUTPUT:
        what = f'layer "{reader.layer.name}" writes {place.container}'
        yield WRITES.finding(what, reader.where("file_name"))


READERS: dict[str, tuple[str, Callable[[Reader, Path], Iterator[Finding]]]] = {
    "Data": ("data_param", _database),
    "ImageData": ("image_data_param", _images),
    "HDF5Data": ("hdf5_data_param", _hdf5),
    "WindowData": ("window_data_param", _windows),
}
