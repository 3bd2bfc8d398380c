"""Images unpacked into folders, for machines that run them without an engine of their own."""
