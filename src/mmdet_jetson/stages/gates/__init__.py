"""What an engine must reach: checks that pass, fail or are inconclusive."""
