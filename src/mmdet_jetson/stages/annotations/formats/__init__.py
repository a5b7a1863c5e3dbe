"""The annotation formats that are read: one module for each."""
