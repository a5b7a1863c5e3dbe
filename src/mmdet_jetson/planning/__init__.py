"""What would run: steps, the keys of their results, and why one would run again."""
