"""The one error of a stage that is an answer."""


class StageError(Exception):
    """What the user has to mend: what is wrong and where, and what to try."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
