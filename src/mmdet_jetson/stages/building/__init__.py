"""What building engines needs besides a backend: precision, calibration, a compiler's frame."""
