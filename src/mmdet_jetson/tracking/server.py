"""What an MLflow server is told of one training, by a thread; nothing where none is named."""

import math
import re
from collections.abc import Callable, Mapping
from textwrap import shorten

from mmdet_jetson.config.toml import flatten
from mmdet_jetson.contract.job import Recorded
from mmdet_jetson.environments.commit import git_commit
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.keys import Ingredients
from mmdet_jetson.store import Artifact, Provenance
from mmdet_jetson.tracking import mlflow_runs
from mmdet_jetson.tracking.delivery import Delivery
from mmdet_jetson.tracking.mlflow_runs import MlflowRun

PATIENCE = 20.0
"""Seconds that a command waits for a server in all, at the end of a training and at its own."""
LONGEST = 160
"""How many characters of a library's words are said."""
UNFIT = re.compile(r"[^\w\-. /]")
"""What no name of a figure may have."""


class Server:
    """Where a training with a key is recorded, if this machine's owner has named a place.

    ``warn`` is told once what goes wrong; a training goes on whatever that is.
    """

    def __init__(self, name: str, key: str, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._delivery: Delivery | None = None
        if not mlflow_runs.is_wanted():
            return
        try:
            self._run = MlflowRun(name, key)
        except UserError as error:
            warn(f"nothing is logged to MLflow: {error}")
            return
        self._delivery = Delivery(self._failed)

    def begin(self, now: Ingredients) -> None:
        """A training starts, or goes on."""
        if self._delivery is None:
            return
        self._delivery.add(self._run.begin)
        self._describe(now.parameters, now.inputs)
        self._tag({"environment": now.environment, "commit": git_commit()})

    def heard(self, recorded: Recorded) -> None:
        """An epoch has figures."""
        if recorded.figures:
            self._add(lambda: self._run.figures(_named(recorded.figures), recorded.epoch))

    def made(self, checkpoint: Provenance, artifacts: Mapping[str, Artifact]) -> None:
        """A training has ended, and by step there is now this of it."""
        self._describe(checkpoint.parameters, checkpoint.inputs)
        tags = {f"artifact.{step}": made.digest for step, made in artifacts.items()}
        figures = {
            f"{step}/{name}": value
            for step, made in artifacts.items()
            for name, value in made.provenance.metrics.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        self._tag(tags)
        self._add(lambda: self._run.figures(_named(figures)))

    def close(self, status: str, seconds: float) -> None:
        """It has ended so: FINISHED, FAILED or KILLED; wait so long for what is left to tell."""
        self._add(lambda: self._run.end(status))
        if self._delivery and (left := self._delivery.close(seconds)):
            self._warn(
                f"MLflow was not told everything ({left} messages were left at the end): the next "
                "command tells it again what was made, but no figures of epochs, which "
                "TensorBoard's files have"
            )

    def _describe(self, parameters: Mapping[str, object], inputs: Mapping[str, str]) -> None:
        told = {name: value for name, value in flatten(parameters).items() if value != {}}
        digests = {f"input.{name}": digest for name, digest in inputs.items()}
        self._add(lambda: self._run.describe(told, digests))

    def _tag(self, tags: Mapping[str, str]) -> None:
        self._add(lambda: self._run.tag(tags))

    def _add(self, job: Callable[[], object]) -> None:
        if self._delivery:
            self._delivery.add(job)

    def _failed(self, error: Exception) -> None:
        self._warn(
            f"MLflow cannot be told ({_reason(error)}); it is tried again, and the training goes "
            f"on. {mlflow_runs.ADDRESS} names the server"
        )


def _reason(error: BaseException) -> str:
    """Say what went wrong as whoever knew it first; libraries wrap that in theirs."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    first = next(iter(str(error).splitlines()), "")
    return shorten(f"{type(error).__name__}: {first}", LONGEST, placeholder=" ...")


def _named(figures: Mapping[str, float]) -> dict[str, float]:
    return {UNFIT.sub("_", k): float(v) for k, v in figures.items() if math.isfinite(v)}
