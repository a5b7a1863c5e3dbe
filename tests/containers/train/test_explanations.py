"""What a training dies of, as a sentence where a user can do something about it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from mmcv.transforms import BaseTransform
from mmengine import Config
from torch import nn
from torch.utils.data import DataLoader

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.explanations import explained

if TYPE_CHECKING:
    from mmdet_jetson.stages.training.training_watch import TrainingWatch

CONFIG = Config({"train_dataloader": {"batch_size": 4}})


class Watch:
    """As much of a `TrainingWatch` as an explanation asks for."""

    def __init__(self, trains: bool = True) -> None:
        self.runner = self if trains else None
        self.model = nn.Linear(1, 1)
        self.iter = 6


class Darker(BaseTransform):  # type: ignore[misc]  # MMCV has no types
    """A transform with a fault."""

    def transform(self, results: dict[str, object]) -> dict[str, object]:
        raise KeyError("img")


class Pictures:
    """A dataset whose pictures go through that transform."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> object:
        return Darker()({})


def explanation(error: Exception, watch: TrainingWatch | Watch | None = None) -> StageError:
    with pytest.raises(StageError) as told, explained(watch or Watch(), CONFIG):  # type: ignore[arg-type]
        raise error
    return told.value


def test_a_package_that_is_missing_is_named() -> None:
    """Some are asked for in the first iteration only."""
    told = explanation(ImportError('Please run "pip install sklearn"'))
    assert "needs a package that environment `train` does not have" in told.message
    assert "sklearn" in told.message


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB", "ran out of memory"),
        ("Found no NVIDIA driver on your system.", "runs on a GPU only, and this training is on"),
        ("Torch not compiled with CUDA enabled", "runs on a GPU only"),
        ("carafe_forward_impl: implementation for device cpu not found.", "runs on a GPU only"),
        ("Kernel size can't be greater than actual input size", "the input is too small for"),
        ("DataLoader worker (pid 7) is killed by signal: Killed.", "was killed, most likely"),
        ("loss become infinite or NaN!", "NaN or infinite at iteration 7"),
        ("class `SGD` in torch/optim/sgd.py: lr", "cannot build a part of the training config"),
    ],
)
@pytest.mark.parametrize("kind", [RuntimeError, AssertionError])
def test_what_a_user_can_mend_is_a_sentence(
    kind: type[Exception], text: str, sentence: str
) -> None:
    error = explanation(kind(text))
    assert sentence in error.message
    assert error.hint


@pytest.mark.parametrize("kind", [KeyError, ImportError, AssertionError, AttributeError, OSError])
def test_until_it_trains_every_error_is_about_the_config(kind: type[Exception]) -> None:
    error = explanation(kind("no MyHook"), Watch(trains=False))
    assert error.message.endswith(
        f"cannot build a part of the training config: {kind.__name__}: no MyHook"
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_a_transform_that_fails_is_a_sentence(workers: int) -> None:
    loader = DataLoader(Pictures(), num_workers=workers)
    with pytest.raises(StageError) as error, explained(Watch(), CONFIG):  # type: ignore[arg-type]
        list(loader)
    assert "a picture cannot be prepared: " in error.value.message
    assert "KeyError: " in error.value.message
    assert "img" in error.value.message


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("a bug"),
        RuntimeError("[third_party/gloo/gloo/transport/tcp/pair.cc:598] Connection closed by peer"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_a_bug_a_lost_process_and_a_full_disk_go_through(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, explained(Watch(), CONFIG):  # type: ignore[arg-type]
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    ("error", "sentence", "hint"),
    [
        (
            ValueError("Expected more than 1 value per channel when training, got input size x"),
            "batch norm cannot train on one picture",
            "train.processes",
        ),
        (
            RuntimeError("that your module has parameters that were not used in producing loss."),
            "does not take part in its loss",
            "find_unused_parameters",
        ),
    ],
)
def test_what_several_processes_stumble_over_is_named(
    error: Exception, sentence: str, hint: str
) -> None:
    told = explanation(error)
    assert sentence in told.message
    assert hint in told.hint
