"""Locked sets of packages on this machine, the Pythons for them, and what this machine is."""
