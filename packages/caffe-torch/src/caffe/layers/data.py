"""Data: batches of Datum records from an LMDB or a LevelDB (the default backend).

The first top holds the transformed images, the second, if there is one, the labels. A batch takes
the shape of its first record. Behind the last record it goes on with the first. With several
solvers each takes every n-th record in TRAIN; in TEST all.

As in Caffe 1.0: ``rand_skip``, ``force_encoded_color`` and data_param's own ``scale``, ``mirror``,
``crop_size`` and ``mean_file`` do nothing here (old definitions' are moved to transform_param when
they are upgraded), and a record without a label has the label 0. Unlike Caffe, a LevelDB can be
read by several layers and processes at once, and from a read-only folder.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from caffe.data.databases import Record, endless, open_database
from caffe.data.datum import Datums
from caffe.data.faults import record_name
from caffe.layers.base import TRAIN, Context, Shape
from caffe.layers.base_data import Fail, Loader, PrefetchingData, Slot, Transformer
from caffe.proto import caffe_pb2

_LEVELDB, _LMDB = caffe_pb2.DataParameter.LEVELDB, caffe_pb2.DataParameter.LMDB
_OPENED = {_LEVELDB: ("db_leveldb.cpp:18", "leveldb"), _LMDB: ("db_lmdb.cpp:35", "lmdb")}


class Data(PrefetchingData):
    kind = "Data"
    tops = (1, 2)
    size_told_at = "data_layer.cpp:45"

    def open(self, transformer: Transformer) -> Loader:
        self.batch_size(self.param.data_param.batch_size, "data_param.batch_size")
        return _Loader(self.param, self.context, transformer, self.fail)


class _Loader:
    def __init__(self, param: Any, context: Context, transformer: Transformer, fail: Fail) -> None:
        data, transform = param.data_param, param.transform_param
        self._batch: int = data.batch_size
        self._labels = len(param.top) > 1
        self._transformer = transformer
        self._database = open_database(data.source, lmdb=data.backend == _LMDB, fail=fail)
        place, kind = _OPENED[data.backend]
        context.log(place, f"Opened {kind} {data.source}")
        self._datums = Datums(data.source, transform.force_color, transform.force_gray, fail)
        mine = (context.rank, context.ranks) if context.phase == TRAIN else (0, 1)
        log = context.log

        def restarted() -> None:
            if context.rank == 0:
                log("data_layer.cpp:73", "Restarting data prefetching from start.")

        self._records = endless(self._database, *mine, restarted)
        self._seen: list[Record] = []
        try:
            first = list(islice(self._database.records(), 1))
            images, _ = self._datums.read(first)
            name = record_name(data.source, first[0][0])
            image = transformer.shape(images[0].shape, name)
        except BaseException:
            self._database.close()
            raise
        self.shapes: list[Shape] = [(self._batch, *image)]
        if self._labels:
            self.shapes.append((self._batch,))

    def fill(self, slot: Slot) -> None:
        self._seen = list(islice(self._records, self._batch))
        images, labels = self._datums.read(self._seen)
        shape = self._transformer.shape(images[0].shape, self._name(0))
        out = slot.array(0, (self._batch, *shape))
        self._transformer.apply(images, out, self._name)
        if self._labels:
            slot.array(1, (self._batch,))[:] = labels

    def _name(self, index: int) -> str:
        return record_name(self._database.source, self._seen[index][0])

    def close(self) -> None:
        self._seen = []
        self._records = iter(())
        self._database.close()
