"""From an MMDetection detector and a dataset to a proven engine for each device."""

__version__ = "0.1.0"
