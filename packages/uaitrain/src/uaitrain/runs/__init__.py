"""Watching a training run: the log's events, the live line, the container, the curve."""
