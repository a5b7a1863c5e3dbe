"""What stands around every command: errors of ours become one sentence and an exit code."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

from invoke.exceptions import Exit

from mmdet_jetson.errors import Detached, UserError
from mmdet_jetson.files import disk_errors

CANCELLED = 130

P = ParamSpec("P")
R = TypeVar("R")


def answering(verb: Callable[P, R]) -> Callable[P, R]:
    """Turn our errors into one sentence and an exit code, in this one place; bugs pass through."""

    @functools.wraps(verb)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            _refuse_empty(options)
            # What was not given takes the verb's own default.
            given = {name: value for name, value in options.items() if value is not None}
            with disk_errors("the store or the cache"):
                return verb(*arguments, **given)  # type: ignore[arg-type]
        except UserError as error:
            raise Exit(f"error: {error}", error.exit_code) from None
        except Detached as detached:
            raise Exit(detached.message or None, detached.exit_code) from None
        except KeyboardInterrupt:
            raise Exit("cancelled; run the same command again to continue", CANCELLED) from None

    # What `invoke` reads: an option that is given empty must differ from one that is left out.
    signature = inspect.signature(verb)
    shown = [
        each.replace(default=None) if each.default == "" else each
        for each in signature.parameters.values()
    ]
    vars(run)["__signature__"] = signature.replace(parameters=shown)
    return run


def _refuse_empty(options: Mapping[str, object]) -> None:
    """Refuse what names nothing, such as ``--onnx "$UNSET"``, which would do something else."""
    for name, value in options.items():
        if value == "" or (isinstance(value, list) and "" in value):
            raise UserError(
                f"--{name.rstrip('_').replace('_', '-')} is empty",
                "name something, or leave it out; a variable of the shell may not be set",
            )
