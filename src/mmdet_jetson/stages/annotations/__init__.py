"""Annotated pictures: read, checked, drawn and written."""
