"""Whether what was deployed detects what was trained."""
