"""Pack training code into container images that train, and get them running."""

__version__ = "0.1.0"
