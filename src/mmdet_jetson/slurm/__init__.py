"""Steps as batch jobs of Slurm: submitted as a chain, followed by whoever is attached."""
