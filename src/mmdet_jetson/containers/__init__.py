"""Docker hosts: what they have and run, and the images that are built, pinned and tested there."""
