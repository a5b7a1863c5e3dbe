"""MMDetection, fitted to a job and run."""
