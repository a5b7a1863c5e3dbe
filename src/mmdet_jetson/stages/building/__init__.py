"""What building engines needs besides a backend: precision, calibration, how to drive TensorRT."""
