"""What users and machines decide: TOML files and environment variables, parsed once and frozen."""
