"""Running an engine: from a picture to boxes in it."""
