"""Code that runs inside an environment (Python 3.8 to 3.12); it imports nothing from the host side."""
