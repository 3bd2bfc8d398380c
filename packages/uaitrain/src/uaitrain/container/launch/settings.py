"""What the launcher is told by variables: the table is in docs/architecture/12-shipping.md."""

import os
import re

from errors import EXIT_USAGE, Failure

RUN_ID = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?$")
RUN_ID_CHARACTERS = 52
MASTER_PORT = "29500"


class Settings(object):
    """Judged. Raises Failure."""

    def __init__(self, environ):
        self.run_id = environ.get("UAITRAIN_RUN_ID", "")
        if self.run_id and not (
            RUN_ID.match(self.run_id) and len(self.run_id) <= RUN_ID_CHARACTERS
        ):
            raise Failure(
                EXIT_USAGE,
                "UAITRAIN_RUN_ID=%s: it must be lower-case letters, digits and dashes, a letter "
                "first, at most %d characters" % (self.run_id, RUN_ID_CHARACTERS),
            )
        self.nodes = number(environ, ("UAITRAIN_NODES", "SLURM_NNODES"), 1, 1)
        ranks = ("UAITRAIN_RANK", "SLURM_NODEID", "JOB_COMPLETION_INDEX")
        self.rank = number(environ, ranks, 0, 0)
        if self.rank >= self.nodes:
            if any(environ.get(name) for name in ("UAITRAIN_NODES", "UAITRAIN_RANK")):
                raise Failure(
                    EXIT_USAGE,
                    "UAITRAIN_RANK=%d of UAITRAIN_NODES=%d: ranks count from 0"
                    % (self.rank, self.nodes),
                )
            self.rank = 0  # an index of something else than this run's nodes
        self.keep_last = number(environ, ("UAITRAIN_KEEP_LAST",), 0, 0)
        self.master = environ.get("UAITRAIN_MASTER", "")

    def for_command(self):
        """The variables that tell the command its place among the nodes (torch.distributed)."""
        if self.nodes == 1:
            return {}
        told = {"RANK": str(self.rank), "LOCAL_RANK": "0", "WORLD_SIZE": str(self.nodes)}
        if self.master:
            host, _, port = self.master.rpartition(":")
            told["MASTER_ADDR"] = host or self.master
            told["MASTER_PORT"] = port if host else MASTER_PORT
        return told


def number(environ, names, default, least):
    for name in names:
        text = environ.get(name, "")
        if text:
            if not text.isdigit() or int(text) < least:
                raise Failure(EXIT_USAGE, "%s=%s: it must be %d or more" % (name, text, least))
            return int(text)
    return default


def folder_of(options, name, default):
    """A folder that the command is told by `--name`, absolute."""
    return os.path.abspath(options.get(name) or default)
