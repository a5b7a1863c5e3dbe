"""The serving pipelines that an engine can be exported for."""

PIPELINES = ("triton", "deepstream")
"""Each is a module of that name in ``stages/pipelines``."""
