"""A finished engine in its folder: opened with care, compared, carried in one file."""
