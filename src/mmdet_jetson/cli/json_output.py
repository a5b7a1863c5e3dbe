"""JSON on standard output, for programs."""

import json
import os
import sys

READER_LEFT = 141
"""As a shell says of a program that SIGPIPE ended: 128 and the signal's number."""


def print_json(value: object) -> None:
    """Print a value as JSON, and nothing else.

    Who reads it may have had enough, as `head` has: then this ends without a word.
    """
    try:
        print(json.dumps(value, indent=2), flush=True)
    except BrokenPipeError:
        # What is still buffered would be written, and fail, when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(READER_LEFT) from None
