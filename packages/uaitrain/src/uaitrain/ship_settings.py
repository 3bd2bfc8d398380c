"""What ``uaitrain submit`` can be told beside the job itself: one visible table.

The keys stand in ``uaitrain.toml`` beside the job's, the flags belong to ``submit`` alone. The
first word of a key is its table: ``run`` is for every backend, the others are the backend's.
"""

from __future__ import annotations

from uaitrain.setting import LIST, NUMBER, TEXT, Setting

SHIP_SETTINGS = (
    Setting("run.data", "--run-data", "where the data lies for the run: path or URI", "", TEXT,
            "PLACE"),
    Setting("run.output", "--run-output", "where the results go: path or URI", "", TEXT, "PLACE"),
    Setting("run.endpoint", "--endpoint", "S3 endpoint of s3:// places (default: AWS)", "", TEXT,
            "URL"),
    Setting("run.secrets", "--secret", "one more environment variable that the run gets, never "
            "shown", (), LIST, "NAME"),
    Setting("run.keep_last", "--keep-last", "snapshots to keep, the best one apart; 0 all", 0,
            NUMBER, "N"),
    Setting("run.sync", "--sync", "seconds between two copies of results to a URI", 30, NUMBER,
            "SECONDS"),
    Setting("run.nodes", "--nodes", "machines of a run", 1, NUMBER, "N"),
    Setting("run.cpus", "--cpus", "CPU cores on each node; 0 the backend's default", 0, NUMBER,
            "N"),
    Setting("run.memory", "--memory", "memory on each node, such as 16g", "", TEXT, "SIZE"),
    Setting("run.time", "--time", "time limit, such as 90m, 12h or 2d", "", TEXT, "TIME"),
)  # fmt: skip
"""Places are paths where the job runs, or URIs (``s3://bucket/prefix``, ``file:///path``)."""


def table(name: str) -> tuple[Setting, ...]:
    """The settings of the table ``name``."""
    return tuple(each for each in SHIP_SETTINGS if each.table == name)
