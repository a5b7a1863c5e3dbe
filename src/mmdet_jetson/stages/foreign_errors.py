"""What a library's exception says, in a form that fits into one of our sentences."""

from textwrap import shorten

LONGEST = 160


def reason_of(error: BaseException) -> str:
    """Give an exception's kind and the first line of its text, shortened."""
    text = str(error).strip() or "(no message)"
    return shorten(f"{type(error).__name__}: {text.splitlines()[0]}", LONGEST, placeholder=" ...")
