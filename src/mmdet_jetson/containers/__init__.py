"""Container images: what they are built from, how they are built, and how they prove themselves."""
