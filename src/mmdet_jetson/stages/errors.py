"""The one error of a stage that is an answer, and what a library's error says inside of one."""

import re
from textwrap import shorten
from typing import Tuple

LONGEST = 300
# So MMEngine begins the text of an error that a part of a config raises while it is built, once for
# each part that the part is in.
WRAPPED = re.compile(r"[\\\"']*class `(?P<part>[^`]+)` in \S+\.py: ")

# Here MMEngine's and PyTorch's advice begins, which is about other programs than this one.
ADVICE_FOLLOWS = ". Please check"


class StageError(Exception):
    """What the user has to mend: what is wrong and where, and what to try."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def reason_of(error: BaseException) -> str:
    """Give an exception's kind and the first line of its text, short enough for a sentence.

    Of an error in a part of a part of a config it is the innermost one, after that part's name.
    """
    part, cause = _innermost(error)
    # A KeyError puts its text into quotation marks.
    text = str(cause.args[0] if isinstance(cause, KeyError) and cause.args else cause).strip()
    line = (text or "(no message)").splitlines()[0].partition(ADVICE_FOLLOWS)[0]
    return shorten(f"{type(cause).__name__}: {part}{line}", LONGEST, placeholder=" ...")


def _innermost(error: BaseException) -> Tuple[str, BaseException]:
    part = ""
    while True:
        wrapped = WRAPPED.match(str(error))
        if wrapped is None or error.__context__ is None:
            return part, error
        part, error = f"{wrapped['part']}: ", error.__context__
