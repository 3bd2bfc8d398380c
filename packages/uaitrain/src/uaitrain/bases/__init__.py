"""Base images: which there are, how they are built, where they lie on this machine."""
