"""Weights files, good and bad, against a small network."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from torch.serialization import load

from mmdet_jetson.stages.checkpoints.weights import (
    find_weights,
    match_weights,
    newest_whole,
    publish,
    read_weights,
)
from mmdet_jetson.stages.errors import StageError


def network(classes: int) -> torch.nn.Sequential:
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3), torch.nn.BatchNorm2d(16), torch.nn.Conv2d(16, classes, 1)
    )


def pickled(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


WHOLE = pickled({"state_dict": network(2).state_dict()})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "are an empty file"),
        (b"<!DOCTYPE html><html>gone</html>", "are text (perhaps a web page"),
        (b'{"message": "not found"}', "are text (perhaps a web page"),
        (WHOLE[: len(WHOLE) // 2], "are a damaged or incomplete checkpoint"),
        (b"\x89\x01\x02 no pickle", "are not a PyTorch checkpoint"),
        (pickled([1, 2, 3]), "hold no tensors: they are a list"),
        (pickled({"epoch": 3}), "hold no tensors"),
        (pickled({"state_dict": {}}), "hold no tensors"),
        (pickled(None), "hold no tensors: they are a NoneType"),
        (pickled({"model": {"w": torch.ones(2)}}), "have their tensors below 'model'"),
        (pickled({"w": torch.tensor([1.0, float("nan")])}), "have values in w that are no numbers"),
    ],
    ids=[
        *("empty", "html", "json", "truncated", "noise", "list", "no-tensors", "nothing", "none"),
        *("elsewhere", "no-numbers"),
    ],
)
def test_bad_weights_are_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "base.pth"
    path.write_bytes(content)
    with pytest.raises(StageError) as error:
        read_weights(path)
    assert error.value.message.startswith("the weights base.pth ")
    assert sentence in error.value.message
    assert error.value.hint


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [True, False])
def test_every_usual_form_is_read(tmp_path: Path, prefix: str, wrapped: bool) -> None:
    state = network(2).state_dict()
    named = {prefix + key: value for key, value in state.items()}
    path = tmp_path / "base.pth"
    path.write_bytes(pickled({"state_dict": named} if wrapped else named))
    assert read_weights(path).keys() == state.keys()


def test_layers_of_other_classes_are_counted_and_left_out() -> None:
    matched = match_weights(network(2), dict(network(5).state_dict()))
    matched.check_related("base.pth")
    assert matched.missing == ("2.weight", "2.bias")
    (warning,) = matched.warnings("base.pth")
    assert "2 of 9 weights" in warning
    assert warning.endswith("random values: 2")


def test_matching_weights_need_no_warning() -> None:
    state = dict(network(2).state_dict())
    del state["1.num_batches_tracked"]
    assert match_weights(network(2), state).warnings("base.pth") == []


def test_weights_of_another_model_are_refused() -> None:
    matched = match_weights(network(2), {"fc.weight": torch.zeros(3)})
    with pytest.raises(StageError, match="belong to another model: they have only 0% of"):
        matched.check_related("base.pth")


class Detector(torch.nn.Module):  # type: ignore[misc]  # no types here
    """A backbone that is a small share of a detector."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        self.neck = torch.nn.Conv2d(4, 64, 3)
        self.bbox_head = torch.nn.Sequential(torch.nn.Conv2d(64, 64, 3), torch.nn.Conv2d(64, 2, 1))


# As MMDetection's own files of pre-trained backbones, torchvision's, and one of before counters.
CLASSIFIERS = {
    "with-prefix": ("backbone.", "head.fc.weight", ""),
    "plain": ("", "fc.weight", ""),
    "old": ("", "fc.weight", "1.num_batches_tracked"),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_backbone_starts_from_its_own_file(name: str) -> None:
    model = Detector()
    prefix, own, without = CLASSIFIERS[name]
    found = {f"{prefix}{key}": value + 1 for key, value in model.backbone.state_dict().items()}
    found.pop(f"{prefix}{without}", None)
    found[own] = torch.zeros(1000, 64)
    matched = match_weights(model, found)
    matched.check_related("imagenet.pth")
    before = model.backbone.state_dict()
    for key, value in matched.weights.items():
        assert torch.equal(value, before[key[len("backbone.") :]] + 1)
    (warning,) = matched.warnings("imagenet.pth")
    assert warning.startswith("imagenet.pth has all of backbone; 6 of 13 weights are not in")
    assert warning.endswith("they start from random values: bbox_head, neck")


def test_half_a_backbone_is_another_model_s() -> None:
    state = {f"backbone.{key}": each for key, each in Detector().backbone.state_dict().items()}
    state["backbone.1.weight"] = torch.zeros(5)
    with pytest.raises(StageError, match="and no whole backbone of it"):
        match_weights(Detector(), state).check_related("other.pth")


def test_a_neck_alone_is_another_model_s() -> None:
    state = {f"neck.{key}": each for key, each in Detector().neck.state_dict().items()}
    with pytest.raises(StageError, match="belong to another model"):
        match_weights(Detector(), state).check_related("other.pth")


@pytest.mark.parametrize("key", ["0.weight", "1.num_batches_tracked", "fc.weight"])
def test_weights_of_ones_own_model_are_complete(key: str) -> None:
    state = dict(network(2).state_dict())
    match_weights(network(2), state).check_complete()
    changed = {name: value for name, value in state.items() if name != key}
    if key not in state:
        changed[key] = torch.zeros(3)
    with pytest.raises(StageError, match=f"does not match config.py: 1 of 9 .* is {key}$"):
        match_weights(network(2), changed).check_complete()


@pytest.mark.parametrize("count", [0, 2])
def test_a_weights_folder_holds_one_file(tmp_path: Path, count: int) -> None:
    for number in range(count):
        (tmp_path / f"{number}.pth").write_bytes(WHOLE)
    with pytest.raises(StageError, match=f"holds {count} files"):
        find_weights(tmp_path)


def test_the_newest_whole_checkpoint_is_chosen(tmp_path: Path) -> None:
    whole = pickled({"state_dict": {}, "optimizer": {}, "meta": {}})
    assert newest_whole(tmp_path) is None
    for name, content in {
        "epoch_2.pth": whole,
        "epoch_10.pth": whole,
        "epoch_11.pth": whole[:200],
        "epoch_12.pth": b"",
        "epoch_13.pth": pickled({"state_dict": {}}),
    }.items():
        (tmp_path / name).write_bytes(content)
    assert newest_whole(tmp_path) == tmp_path / "epoch_10.pth"


def test_what_only_a_resumed_training_needs_is_not_published(tmp_path: Path) -> None:
    state = network(2).state_dict()
    meta = {"epoch": 3, "cfg": "work_dir = '/home/me'", "time": "now", "dataset_meta": {"a": 1}}
    content = {
        "state_dict": state,
        "ema_state_dict": state,
        "optimizer": {},
        "meta": meta,
        "message_hub": {},
    }
    (tmp_path / "epoch_3.pth").write_bytes(pickled(content))
    epoch = publish(tmp_path / "epoch_3.pth", tmp_path / "best.pth")
    published = load(str(tmp_path / "best.pth"))
    assert published["meta"] == {"epoch": epoch, "dataset_meta": {"a": 1}}
    assert epoch == 3
    assert published.keys() == {"meta", "state_dict"}


@pytest.mark.parametrize("kind", [torch.complex64, torch.bool, torch.int64])
def test_tensors_of_another_kind_are_none_of_the_model(kind: torch.dtype) -> None:
    """A complex number would lose its imaginary part without a word."""
    model = network(2)
    found = {**model.state_dict(), "0.weight": model.state_dict()["0.weight"].to(kind)}

    assert "0.weight" not in match_weights(model, found).weights
