"""How `invoke` runs the commands of one line; ``invoke.yaml`` names it."""

from collections.abc import Callable
from itertools import pairwise

from invoke import executor
from invoke.exceptions import Exit
from invoke.parser.context import ParserContext
from invoke.runners import Result
from invoke.tasks import Task

TELLING = {"runs": "show", "plan": "why", "status": "why"}
"""Commands that only tell, and take no name; and those that tell of one."""


class Executor(executor.Executor):
    """Runs several commands one after the other, where the second can be meant as one.

    Else ``invoke plan train`` would train for hours.
    """

    def execute(
        self, *tasks: str | tuple[str, dict[str, object]] | ParserContext
    ) -> dict[Task[Callable[..., object]], Result]:
        """Run them all, unless one follows a command that only tells.

        Raises:
            Exit: nothing was run.
        """
        names = [str(each.name) for each in tasks if isinstance(each, ParserContext)]
        for first, second in pairwise(names):
            if first in TELLING:
                raise Exit(
                    f"error: `invoke {first}` takes no name, and {second} is a command of its own\n"
                    f"  try: invoke {TELLING[first]} {second}, or each by itself",
                    1,
                )
        return super().execute(*tasks)
