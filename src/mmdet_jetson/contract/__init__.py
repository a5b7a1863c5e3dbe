"""What the host side and the stages both know: all that travels between them, and nothing else.

Both sides import it, and images carry it, so it is written for Python 3.8 and imports nothing but
the standard library.
"""
