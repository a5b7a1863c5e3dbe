"""What a training starts from: the input ``weights``, or random numbers, and nothing else.

A config can name weights as well. A stage has no network, and what is trained on is part of a cache
key, so those are never used, and never left unused without a word.
"""

import re
from dataclasses import dataclass
from typing import List, Tuple

from mmengine import Config

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.mmdet_config import drop_downloads, owners

ADDRESS = re.compile(r"[\w-]+://")


@dataclass(frozen=True)
class NamedWeights:
    """What a config names to start from.

    ``load_from`` is a whole model's, ``parts`` are those that parts of the model are to start from,
    and ``resumes`` tells whether it asks to go on with an earlier training.
    """

    load_from: str
    parts: Tuple[str, ...]
    resumes: bool

    def warnings(self, has_weights: bool) -> List[str]:
        """Say what is not used. ``has_weights`` tells whether the job has weights to start from.

        Raises:
            StageError: the training would start from random numbers instead of a file.
        """
        files = [(path, "init_cfg") for path in self.parts if not ADDRESS.match(path)]
        if self.load_from:
            files.insert(0, (self.load_from, "load_from"))
        if files and not has_weights:
            path, key = files[0]
            raise StageError(
                f"the training config starts from {path} ({key}), but what a training starts from "
                "is an input: it belongs into train.weights",
                f"name that file, or a source of sources.toml, as train.weights, and set {key} of "
                "the config to None",
            )
        unused = [
            f"the training starts from train.weights, and not from {path}, which {key} of the "
            "training config names"
            for path, key in files
        ]
        return [*unused, *self._of_downloads(has_weights), *self._of_resuming()]

    def _of_downloads(self, has_weights: bool) -> List[str]:
        if has_weights:
            return []
        return [
            "the training starts from random weights: a stage has no network to download "
            f"{address}; set train.weights to start from trained ones"
            for address in self.parts
            if ADDRESS.match(address)
        ]

    def _of_resuming(self) -> List[str]:
        if not self.resumes:
            return []
        return [
            "resume of the training config is not used: a killed training goes on when the same "
            "command is given again, and a finished one's weights belong into train.weights"
        ]


def take_named_weights(config: Config) -> NamedWeights:
    """Remove from a config all that it names to start from, and return it.

    Raises:
        StageError: the model learns from another one, whose weights no input brings.
    """
    for owner in owners(config.model, "teacher_ckpt"):
        if owner["teacher_ckpt"]:
            raise StageError(
                "the model of the training config learns from a teacher, whose weights "
                f"{owner['teacher_ckpt']} (teacher_ckpt) are no input of a training",
                "choose the config of a detector that learns without a teacher",
            )
    named = NamedWeights(
        load_from=str(config.get("load_from") or ""),
        parts=tuple(drop_downloads(config.model)),
        resumes=bool(config.get("resume")),
    )
    config.load_from = None
    config.resume = False
    return named
