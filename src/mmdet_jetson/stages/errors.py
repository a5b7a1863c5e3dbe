"""The one error of a stage that is an answer, and what a library's error says inside of one."""

from textwrap import shorten

LONGEST = 160


class StageError(Exception):
    """What the user has to mend: what is wrong and where, and what to try."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def reason_of(error: BaseException) -> str:
    """Give an exception's kind and the first line of its text, short enough for a sentence."""
    text = str(error).strip() or "(no message)"
    return shorten(f"{type(error).__name__}: {text.splitlines()[0]}", LONGEST, placeholder=" ...")
