"""The command line: the only part that prints. One file a verb; the table is in ``main``."""
