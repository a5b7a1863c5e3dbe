"""Artifacts between the store and other places: registries, folders and archives in OCI layout."""
