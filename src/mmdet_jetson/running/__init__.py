"""Running a step: its job folder, its runtime, its place in the store."""
