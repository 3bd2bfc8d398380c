"""From a code folder to image layers: select, plan, stream, remember."""
