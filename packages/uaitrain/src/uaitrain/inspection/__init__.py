"""Looking into finished images, ours and foreign ones, wherever they lie, and comparing two.

Everything read here may come from a stranger: what is read is bounded, and what is shown has
passed :mod:`uaitrain.inspection.shown`.
"""
