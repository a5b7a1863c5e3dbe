"""Releases: artifacts bound into one, shown and compared."""
