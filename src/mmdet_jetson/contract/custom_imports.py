"""Where the modules lie that a training config imports from the user's own project."""

FOLDER = "custom_imports"
"""A folder to import from: in the input ``config`` of a training, and in a `checkpoint` artifact.

It is there only where the config imports modules of the project.
"""
