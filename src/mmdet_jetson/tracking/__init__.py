"""Trainings as people watch and compare them: TensorBoard's files, and runs of an MLflow server."""
