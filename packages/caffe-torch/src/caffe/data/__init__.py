"""Where training data comes from, and how it becomes arrays of a batch.

    databases ► datum ─┐
    images ────────────┼► transform ► prefetch ► a net layer's tops
    windows ───────────┘
    hdf5 ► a net layer's tops

Nothing here knows a net. Whoever reads data passes a ``Fail`` (``faults.py``), which names the net
layer in front of whatever is wrong.
"""
