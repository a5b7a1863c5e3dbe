"""Code that runs inside an environment (Python 3.8 to 3.12), apart from the host side."""
