"""A training with MMDetection: its config, its data, its run."""
