"""Verdict and page."""
