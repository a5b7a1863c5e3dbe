"""Errors that are answers: one sentence for the user, a hint, an exit code."""


class UserError(Exception):
    """Something the user can mend; shown as one line and a hint, never as a traceback.

    Anything that is not a ``UserError`` is a bug of ours and keeps its traceback.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  try: {self.hint}" if self.hint else self.message


class ConfigError(UserError):
    """A setting is wrong: the file, the field and what was expected are in the message."""

    exit_code = 2


class GateFailed(UserError):
    """The pipeline ran to its end and its verdict is: do not ship this."""

    exit_code = 3


class NotProven(UserError):
    """The pipeline ran to its end, and its evidence is too thin for a verdict."""

    exit_code = 4


class Detached(Exception):
    """A command that ends here while its work goes on elsewhere; its message is the last line."""

    def __init__(self, message: str = "", exit_code: int = 0) -> None:
        super().__init__(message)
        self.message, self.exit_code = message, exit_code
