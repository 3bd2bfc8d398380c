"""Images as values: digests, references, descriptors, layers, images. No network, no disk."""
