"""A real cluster, and a folder that its nodes share."""

from support.slurm_cluster import slurm, slurm_user  # noqa: F401 fixtures
from support.slurm_site import site  # noqa: F401 a fixture
