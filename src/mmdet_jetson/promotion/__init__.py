"""Channels: what may enter one, what did, and why."""
