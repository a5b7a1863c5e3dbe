"""What the tasks of ``tasks.py`` call: one module for each group of commands."""
