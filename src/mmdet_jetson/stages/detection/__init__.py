"""What a device runs, and how well it does."""
