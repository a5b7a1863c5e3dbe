"""Runs of an MLflow server: a training's parameters and figures, and what was made of it.

The package ``mlflow-skinny`` is none of the project's: it is used where it is installed. MMEngine
0.7.1 has no back end for MLflow, and a stage has no network; so this side tells the server.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from mmdet_jetson.errors import UserError

ADDRESS = "MLFLOW_TRACKING_URI"
EXPERIMENT = "MLFLOW_EXPERIMENT_NAME"
KEY = "mmdet_jetson.key"
"""The tag that a run is found again by."""
LONGEST = 500
"""How many characters a parameter may have; more are cut off."""
MOST = 100
"""How many parameters MLflow takes at once."""
INSTALL = (
    "{python} -m pip install mlflow-skinny; a store in a database needs the whole package, mlflow"
)
# A training does not wait for a server, but its end does a little.
QUIET = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class MlflowRun:
    """The run of one training, made or found by the training's key when something is first told.

    Every method talks to the server, and raises whatever MLflow does.
    """

    def __init__(self, name: str, key: str) -> None:
        for variable, value in QUIET.items():
            os.environ.setdefault(variable, value)
        self._mlflow = _package()
        self._name, self._key = name, key
        self._client: Any = None
        self._id = ""

    def begin(self) -> None:
        """Say that the training runs, for the first time or again."""
        self._find()
        self._client.update_run(self._id, "RUNNING")

    def describe(self, parameters: Mapping[str, object], tags: Mapping[str, str]) -> None:
        """Say what the training is told and made from."""
        self._find()
        params = [
            self._mlflow.entities.Param(name, str(value)[:LONGEST])
            for name, value in parameters.items()
        ]
        for start in range(0, len(params), MOST):
            self._client.log_batch(self._id, params=params[start : start + MOST])
        self.tag(tags)

    def figures(self, figures: Mapping[str, float], step: int = 0) -> None:
        """Add figures of an epoch."""
        self._find()
        now = int(time.time() * 1000)
        metric = self._mlflow.entities.Metric
        metrics = [metric(name, value, now, step) for name, value in figures.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Add facts."""
        self._find()
        entities = [self._mlflow.entities.RunTag(name, value) for name, value in tags.items()]
        self._client.log_batch(self._id, tags=entities)

    def end(self, status: str) -> None:
        """Say how it ended: FINISHED, FAILED or KILLED."""
        self._find()
        self._client.set_terminated(self._id, status)

    def _find(self) -> None:
        if self._id:
            return
        self._client = self._client or self._mlflow.MlflowClient()
        experiment = self._experiment(os.environ.get(EXPERIMENT) or self._name)
        found: Sequence[Any] = self._client.search_runs(
            [experiment], filter_string=f"tags.`{KEY}` = '{self._key}'", max_results=1
        )
        run = (
            found[0]
            if found
            else self._client.create_run(
                experiment, tags={KEY: self._key}, run_name=f"{self._name}-{self._key[:8]}"
            )
        )
        self._id = run.info.run_id

    def _experiment(self, name: str) -> str:
        known = self._client.get_experiment_by_name(name)
        return str(known.experiment_id if known else self._client.create_experiment(name))


def is_wanted() -> bool:
    """Whether this machine's owner has named a server."""
    return bool(os.environ.get(ADDRESS))


def _package() -> Any:
    try:
        import_module("mlflow.entities")
        return import_module("mlflow")
    except ImportError as error:
        raise UserError(
            f"{ADDRESS} is set, but Invoke's Python has no MLflow ({error})",
            INSTALL.format(python=sys.executable),
        ) from error
