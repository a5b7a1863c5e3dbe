"""Weights in files, and the models that they belong to."""
