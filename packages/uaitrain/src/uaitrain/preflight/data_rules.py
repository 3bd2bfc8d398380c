"""What may be wrong with the data that the nets read."""

from __future__ import annotations

from uaitrain.preflight.rule import error, note, warning

ABORT = "Caffe aborts when it sets up the layer"
FOLDER = error(
    "data-folder-missing",
    "the test data folder does not exist or is not a folder",
    "the local test has no data under /data/data",
    "create it and put the data there, or correct test_data_path",
)
SOURCE = error(
    "source-not-given",
    "a data layer without source",
    ABORT,
    "name the source as the container sees it, for instance /data/data/train_lmdb",
)
MISSING = error(
    "source-missing",
    "a data layer's source does not exist",
    ABORT,
    "give the path as the container sees it; relative ones count from /data",
)
ELSEWHERE = note(
    "source-not-looked-at",
    "a data layer's source lies outside /data, inside the base image",
    "it could not be checked",
    "keep data under /data/data",
)
BACKEND = error(
    "backend",
    "the database is an LMDB and the layer says LEVELDB (also by saying nothing), or the reverse",
    "Caffe aborts: the database cannot be opened",
    "set data_param { backend: … } to what the folder is",
)
NOT_A_DATABASE = error(
    "database-broken",
    "the source is not a whole database of its kind",
    ABORT,
    "make or copy the database again",
)
EMPTY = error(
    "source-empty",
    "a database, list or window file without a single record",
    ABORT,
    "check the step that made it",
)
TRUNCATED = warning(
    "database-truncated",
    "data.mdb is shorter than its own header says",
    "reading past the end kills the run by a bus error",
    "copy the whole file again",
)
LISTED = error(
    "listed-file-missing",
    "files that a list names do not exist (the first, the last and a sample are looked at)",
    "Caffe aborts when it comes to that file",
    "check the paths, and root_folder's final slash: it is put before each line as it is",
)
LIST_LINE = error(
    "list-line",
    "a list's line is not what the layer reads",
    ABORT,
    "correct the line",
)
NOT_HDF5 = error(
    "hdf5-broken",
    "a file in an HDF5 list is not HDF5",
    "Caffe aborts: failed opening HDF5 file",
    "make the file again",
)
MEAN = error(
    "mean-file",
    "a mean file is missing or is not a BlobProto (compute_image_mean makes one)",
    ABORT,
    "name the .binaryproto as the container sees it",
)
MEAN_TWICE = error(
    "mean-twice",
    "a layer has both mean_file and mean_value",
    "Caffe aborts: cannot specify mean_file and mean_value at the same time",
    "keep one",
)
BATCH = error(
    "batch-size",
    "a data layer without batch_size, or with 0",
    ABORT,
    "set batch_size",
)
WRITES = warning(
    "hdf5-output-lost",
    "an HDF5Output layer writes outside /data/output",
    "the file stays in the container and is lost with it",
    "write under /data/output",
)
RULES = (
    FOLDER, SOURCE, MISSING, ELSEWHERE, BACKEND, NOT_A_DATABASE, EMPTY, TRUNCATED, LISTED,
    LIST_LINE, NOT_HDF5, MEAN, MEAN_TWICE, BATCH, WRITES,
)  # fmt: skip
