"""A model that is trained already, taken in as a training would have left it."""
