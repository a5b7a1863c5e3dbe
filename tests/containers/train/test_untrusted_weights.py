"""Weights of a stranger: what they want to run is named, and not run; what OpenMMLab saves opens."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import tarfile
import zipfile
from collections import OrderedDict, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.runner import load_checkpoint

from mmdet_jetson.stages.checkpoints.checkpoint_file import only_tensors, read_checkpoint
from mmdet_jetson.stages.checkpoints.models import build_model
from mmdet_jetson.stages.checkpoints.weights import newest_whole, publish, read_weights
from mmdet_jetson.stages.errors import StageError

PROGRAM = "touch ran"
STATE = OrderedDict(weight=torch.arange(6.0).reshape(2, 3), steps=torch.tensor(7))


class Calls:
    """Pickled as a call of a function; opening it by `pickle` makes the call."""

    def __init__(self, function: Callable[..., Any], *arguments: object, state: object = None):
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.call


class Ended:
    """Has a state of its own, and a place for items."""

    def __init__(self) -> None:
        self.after = [Path("b")]


def zipped(content: bytes, storages: dict[str, bytes] | None = None, **members: bytes) -> bytes:
    """A checkpoint's file around a pickle that `torch.save` would not write."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        for key, numbers in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", numbers)
        for name, member in {"version": b"3\n", **members}.items():
            archive.writestr(f"archive/{name}", member)
    return buffer.getvalue()


def saved(content: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def legacy(content: object) -> bytes:
    return saved(content, _use_new_zipfile_serialization=False)


def opcodes(*parts: bytes) -> bytes:
    """A pickle by its instructions, after the one that says its protocol."""
    return b"\x80\x02" + b"".join(parts) + b"."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def tensor(count: int, size: bytes, stride: bytes) -> bytes:
    """The instructions of a tensor over a storage that claims so many numbers."""
    return b"".join(
        [
            named("torch._utils", "_rebuild_tensor_v2"),
            b"((", text("storage"), named("torch", "FloatStorage"), text("0"), text("cpu"),
            long(count), b"tQK\x00", size, stride, b"\x89", b"}tR",
        ]
    )  # fmt: skip


def long(value: int) -> bytes:
    content = value.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def laughing() -> bytes:
    """A tuple of two tuples of two tuples ..., as the key of an item: its hash takes for ever."""
    twice = b"".join(bytes([*b"h", n, *b"h", n, *b"\x86q", n + 1, *b"0"]) for n in range(60))
    return opcodes(b"}", b"K\x01\x85q\x000", twice, b"h\x3cK\x01s")


def doubled(times: int) -> bytes:
    """The instructions of a list of two lists of two lists ..., whose text has no end."""
    twice = b"".join(bytes([*b"](h", n, *b"h", n, *b"eq", n + 1, *b"0"]) for n in range(times))
    return b"]q\x000" + twice + bytes([*b"h", times])


def script() -> bytes:
    class Program(torch.nn.Module):  # type: ignore[misc]  # PyTorch is not checked
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(Program(), torch.zeros(1)), buffer)
    return buffer.getvalue()


def compressed() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(b"\0" * (64 << 20), 2))
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return buffer.getvalue()


def array_of_objects() -> bytes:
    """NumPy unpickles what an array of objects holds, and a scalar object as well."""
    return saved({"meta": np.array([Calls(os.system, PROGRAM)], dtype=object)})


SYSTEM = "want to run posix.system, which no tensor needs"
HOSTILE = {
    "call": (saved(Calls(os.system, PROGRAM)), SYSTEM),
    "call-in-the-old-format": (legacy(Calls(os.system, PROGRAM)), SYSTEM),
    "call-before-the-old-format": (pickle.dumps(Calls(os.system, PROGRAM)), SYSTEM),
    "call-in-protocol-0": (pickle.dumps(Calls(os.system, PROGRAM), 0), SYSTEM),
    "call-in-protocol-4": (saved(Calls(os.system, PROGRAM), pickle_protocol=4), SYSTEM),
    "nested": (saved({"state_dict": {**STATE, "x": [(1, {"y": Calls(os.system, PROGRAM)})]}}), SYSTEM),
    "eval": (
        saved(Calls(eval, f"__import__('os').system('{PROGRAM}')")),
        "want to run __builtin__.eval",
    ),
    "a-pickle-in-a-storage": (
        saved(Calls(torch.storage._load_from_bytes, pickle.dumps(Calls(os.system, PROGRAM)))),
        "want to run torch.storage._load_from_bytes",
    ),
    "through-a-torch-function": (
        saved(Calls(torch._utils._import_dotted_name, "antigravity")),
        "want to run torch._utils._import_dotted_name",
    ),
    "through-a-torch-class": (
        zipped(opcodes(named("torch.nn.modules.container", "Sequential"), b")\x81}b")),
        "want to run torch.nn.modules.container.Sequential",
    ),
    "a-module-not-imported-yet": (
        zipped(opcodes(named("antigravity", "fly"), b")R")),
        "want to run antigravity.fly",
    ),
    "a-dotted-name": (
        zipped(b"\x80\x04" + text("torch.serialization") + text("os.system") + b"\x93"
               + text(PROGRAM) + b"\x85R."),
        "want to run torch.serialization.os.system",
    ),
    "getattr": (
        zipped(opcodes(named("builtins", "getattr"), named("torch", "Size"), text("__class__"), b"\x86R")),
        "want to run builtins.getattr",
    ),
    "crafted-state-of-a-class": (
        zipped(opcodes(named("collections", "OrderedDict"), b"}", text("__init__"),
                       named("collections", "OrderedDict"), b"sb")),
        "want to change a Named",
    ),
    "crafted-state-of-a-list": (zipped(opcodes(b"]}", text("append"), b"K\x01sb")), "want to change a list"),
    "crafted-state-of-an-array": (
        zipped(opcodes(named("numpy.core.multiarray", "_reconstruct"), named("numpy", "ndarray"),
                       b"K\x00\x85", text("b"), b"\x87R", b"(K\x01", long(1 << 40), b"\x85",
                       named("numpy", "dtype"), text("f8"), b"\x85R\x89C\x08", b"\0" * 8, b"tb")),
        "claim an array of 1,099,511,627,776 values in 8 bytes",
    ),
    "an-array-of-objects": (array_of_objects(), "have NumPy objects that are no numbers"),
    "a-scalar-object": (
        zipped(opcodes(named("numpy.core.multiarray", "scalar"), named("numpy", "dtype"),
                       text("O8"), b"\x85R", text("x"), b"\x86R")),
        "have NumPy objects that are no numbers",
    ),
    "newobj-ex": (
        zipped(b"\x80\x04" + named("subprocess", "Popen") + text(PROGRAM) + b"\x85}\x92."),
        "want to run subprocess.Popen",
    ),
    "newobj-ex-of-an-allowed-class": (
        zipped(b"\x80\x04" + named("collections", "OrderedDict") + b")}\x92."),
        "use the pickle instruction NEWOBJ_EX",
    ),
    "inst": (zipped(opcodes(b"(", text(PROGRAM), b"iposix\nsystem\n")), SYSTEM),
    "obj": (zipped(opcodes(b"(", named("collections", "OrderedDict"), b"o")), "pickle instruction OBJ"),
    "extension": (zipped(opcodes(b"\x82\x01")), "use the pickle instruction EXT1"),
    "torchscript": (script(), "are a program in TorchScript"),
    "source-code": (
        zipped(opcodes(b"(", text("module"), named("collections", "OrderedDict"), text("f"),
                       text("s"), b"tQ")),
        "want to open what is no numbers",
    ),
    "huge-storage": (
        zipped(opcodes(tensor(10**15, b"K\x01\x85", b"K\x01\x85")), {"0": b"\0" * 4}),
        "claim a storage of 4,000,000,000,000,000 bytes, of which they hold 4",
    ),
    "huge-tensor": (
        zipped(opcodes(tensor(1, long(10**15) + b"\x85", b"K\x01\x85")), {"0": b"\0" * 4}),
        "claim a tensor of 1,000,000,000,000,000 numbers, of which they hold 1",
    ),
    "repeated-without-end": (
        zipped(opcodes(tensor(1, long(10**15) + b"\x85", b"K\x00\x85")), {"0": b"\0" * 4}),
        "claim a tensor of 1,000,000,000,000,000 numbers, of which they hold 1",
    ),
    "before-its-storage": (
        zipped(opcodes(tensor(1, b"K\x01\x85", long(-8) + b"\x85")), {"0": b"\0" * 4}),
        "claim an impossible size",
    ),
    "huge-storage-in-the-old-format": (
        legacy(STATE).replace(b"K\x06N", b"J\xff\xff\xff\x7fN"),
        "claim more numbers than their file has bytes",
    ),
    "huge-text": (zipped(b"\x80\x04\x8d" + struct.pack("<Q", 1 << 50) + b"x."), "damaged or incomplete"),
    "huge-frame": (zipped(b"\x80\x04\x95" + struct.pack("<Q", 1 << 50) + b"N."), "hold no tensors"),
    "laughs": (zipped(laughing()), "have a name for an item that is no plain value"),
    "copies-of-copies": (
        zipped(opcodes(b"]q\x01(" + b"K\x01" * 999 + b"e(",
                       (named("builtins", "set") + b"h\x01\x85R") * 9999, b"t")),
        "would become many times as large as their file",
    ),
    "sets-by-the-byte": (
        zipped(opcodes(b"(" + pickle.EMPTY_SET * 99_999 + b"t")),
        "would become many times as large as their file",
    ),
    "a-list-named-as-pairs": (
        zipped(opcodes(b"]q\x01(" + b"K\x01" * 999 + b"e0", named("collections", "OrderedDict"),
                       b"](" + b"h\x01" * 9999 + b"e\x85R")),
        "have a dictionary of what are no pairs",
    ),
    "numbers-named-as-a-pair": (
        zipped(opcodes(named("collections", "OrderedDict"), b"](",
                       tensor(1, long(1 << 24) + b"\x85", b"K\x00\x85"), b"e\x85R"),
               {"0": b"\0" * 4}),
        "want to read a Tensor item by item",
    ),
    "a-text-without-end": (
        zipped(opcodes(named("builtins", "getattr"), named("torch", "Size"), doubled(60), b"\x86R")),
        "want to run builtins.getattr",
    ),
    "a-long-name": (
        zipped(opcodes(named("evil" * 50, "run"), b")R")), f"want to run {'evil' * 25}..., which"
    ),
    "compressed": (compressed(), "are compressed, as no checkpoint of PyTorch is"),
    "tar": (tarred(), "are in PyTorch's format of 2016"),
    "other-order-of-bytes": (zipped(opcodes(b"}"), byteorder=b"big"), "another order of bytes"),
    "steers-the-terminal": (
        zipped(b"\x80\x04" + text("os\x1b[2J") + text("system") + b"\x93."),
        "damaged or incomplete",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "sentence"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_a_file_wants_to_run_is_named_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(StageError) as error:
        read_weights(path)
    assert error.value.message.startswith("the weights x.pth ")
    assert sentence in error.value.message
    assert error.value.hint
    assert [each.name for each in tmp_path.iterdir()] == ["x.pth"]
    assert "antigravity" not in sys.modules


def test_such_a_file_does_run_when_pytorch_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the tests above could pass because their files do nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "load", torch.serialization.load)
    for name in ("call", "nested", "a-pickle-in-a-storage", "an-array-of-objects", "eval", "inst"):
        with suppress(RuntimeError):
            torch.load(io.BytesIO(HOSTILE[name][0]))
        (tmp_path / "ran").unlink()


def test_mmengine_reads_tensors_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hostile, good = tmp_path / "x.pth", tmp_path / "y.pth"
    hostile.write_bytes(HOSTILE["call"][0])
    good.write_bytes(saved({"state_dict": {"weight": torch.ones(1, 1)}}))
    layer, unpatched = torch.nn.Linear(1, 1, bias=False), torch.load
    with only_tensors():
        load_checkpoint(layer, str(good), map_location="cpu")
        with pytest.raises(StageError, match=r"want to run posix\.system"):
            load_checkpoint(layer, str(hostile))
    assert layer.weight.item() == 1
    assert torch.load is unpatched
    assert not (tmp_path / "ran").exists()


def test_a_model_that_opens_weights_while_it_is_built_reads_tensors_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one with a teacher does (`teacher_ckpt`)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pth").write_bytes(HOSTILE["call"][0])

    class Pupil(torch.nn.Linear):  # type: ignore[misc]  # PyTorch is not checked
        def __init__(self) -> None:
            super().__init__(1, 1)
            load_checkpoint(self, "x.pth")

    monkeypatch.setitem(MODELS.module_dict, "Pupil", Pupil)
    with pytest.raises(StageError, match=r"want to run posix\.system"):
        build_model(Config({"model": {"type": "Pupil"}}), "the training config", "")
    assert not (tmp_path / "ran").exists()


def test_a_training_is_not_resumed_from_a_strangers_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"state_dict": {}, "optimizer": {}, "meta": {"epoch": 1}}
    (tmp_path / "epoch_1.pth").write_bytes(saved(content))
    (tmp_path / "epoch_2.pth").write_bytes(saved({**content, "x": Calls(os.system, PROGRAM)}))
    assert newest_whole(tmp_path) == tmp_path / "epoch_1.pth"
    assert "epoch_2.pth want to run posix.system" in capsys.readouterr().err


def test_no_training_is_lost_for_what_a_hook_left_beside_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    beside = [Path("a"), {Path("a"): 1}, {(1, 2)}, np.array([None]), range(3), Ended(), torch.device("cpu"),
              torch.eye(2).to_sparse(), Calls(os.system, PROGRAM)]  # fmt: skip
    content = {"meta": {"epoch": 2}, "state_dict": STATE, "message_hub": {"mine": beside}}
    (tmp_path / "epoch_2.pth").write_bytes(saved(content))
    assert publish(tmp_path / "epoch_2.pth", tmp_path / "best.pth") == 2
    assert read_weights(tmp_path / "best.pth").keys() == STATE.keys()
    assert not (tmp_path / "ran").exists()


def test_only_one_module_opens_pickles() -> None:
    import mmdet_jetson.stages  # noqa: PLC0415

    folder = Path(mmdet_jetson.stages.__file__).parent
    opens = ("torch.load(", "pickle.load", "jit.load(", "allow_pickle", "load_checkpoint(")
    found = {
        f"{path.name}: {name}"
        for path in folder.rglob("*.py")
        for name in opens
        if name in path.read_text()
    }
    assert found == set()


def network() -> OrderedDict[str, torch.Tensor]:
    """A state_dict of every kind of number, with the versions of its modules."""
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    state: OrderedDict[str, torch.Tensor] = model.state_dict()
    dtypes = (torch.float16, torch.bfloat16, torch.float64, torch.uint8, torch.int8, torch.int16,
              torch.int32, torch.bool, torch.complex64, torch.complex128)  # fmt: skip
    state.update({str(dtype): torch.ones(2, 3).to(dtype) for dtype in dtypes})
    state["empty"] = torch.empty(0, 4)
    state["transposed"] = torch.arange(6).reshape(2, 3).t()
    state["a-view"] = torch.arange(10)[4:8]
    state["repeated"] = torch.arange(3).expand(4, 3)
    state["trained"] = torch.nn.Parameter(torch.ones(2))
    return state


def optimizer() -> torch.optim.Optimizer:
    weight = torch.nn.Parameter(torch.ones(3))
    made = torch.optim.AdamW([weight], lr=0.1)
    weight.grad = torch.ones(3)
    made.step()
    return made


TEXT_META = {"time": "Sun", "config": "model = dict()", "env_info": "", "seed": 0, "epoch": 12}
HISTORY = {
    "log_scalars": {"train/loss": HistoryBuffer([1.0, 0.5], [1, 1]), "empty": HistoryBuffer()},
    "runtime_info": {
        "iter": 3,
        "best_score": np.float64(0.4),
        "eta": np.float32(1),
        "n": np.int64(2),
    },
    "resumed_keys": {"train/loss": True},
}
# What each kind of file contains, of the years that it is from.
LAYOUTS = {
    "mmdetection-3": {"meta": {**TEXT_META, "dataset_meta": {"classes": ("a", "b"), "palette": [(1, 2, 3)]},
                               "mmengine_version": "0.7.1", "cfg": "model = dict()", "iter": 9,
                               "experiment_name": "e", "hook_msgs": {}},
                      "state_dict": network()},
    "mmdetection-3-in-training": {"meta": TEXT_META, "state_dict": network(),
                                  "ema_state_dict": {**network(), "steps": torch.tensor(3)},
                                  "optimizer": optimizer().state_dict(),
                                  "param_schedulers": [{"begin": 0, "last_step": 2, "by_epoch": True},
                                                       {"anneal_func": OneCycleParamScheduler._annealing_cos}],
                                  "message_hub": HISTORY, "loss_scaler": {"scale": 1.0}},
    "mmdetection-3-config-pieces": {"meta": {"dataset_meta": ConfigDict(classes=["a"], more={"b": 1})},
                                    "state_dict": network()},
    "mmdetection-2": {"meta": {**TEXT_META, "CLASSES": ("a", "b"), "PALETTE": None, "mmdet_version": "2.25",
                               "hook_msgs": {"best_score": np.float64(0.4), "best_ckpt": "x.pth"}},
                      "state_dict": network(), "optimizer": {"state": {}, "param_groups": []}},
    "mmclassification-backbone": {"state_dict": OrderedDict(network()), "meta": {}, "message_hub": HISTORY},
    "torchvision": network(),
    "detectron-as-mmdet-has-it": {"state_dict": dict(network()), "meta": {}, "author": "OpenMMLab",
                                  "arrays": [np.arange(3), np.array(["a"]), np.array([[True]])]},
    "other-containers": {"state_dict": network(), "meta": {"set": {1, 2}, "frozen": frozenset("ab"),
                         "default": defaultdict(list, a=[1]), "size": torch.Size([1, 2]), "none": None,
                         "large": 10**30, "bytes": b"\xff\0"}},
}  # fmt: skip


@pytest.mark.parametrize("save", [saved, legacy], ids=["zip", "old"])
@pytest.mark.parametrize("content", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_every_layout_of_openmmlab_opens(
    tmp_path: Path, content: dict[str, Any], save: Callable[[object], bytes]
) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(save(content))
    read: Any = read_checkpoint(path)
    assert described(read) == described(content)
    expected = content.get("state_dict", content)
    weights = read_weights(path)
    assert all(torch.equal(weights[name], value) for name, value in expected.items())
    kept = read.get("state_dict", read)
    assert getattr(kept, "_metadata", None) == getattr(expected, "_metadata", None)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_every_protocol_of_torch_save_opens(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(saved(LAYOUTS["mmdetection-3-in-training"], pickle_protocol=protocol))
    assert described(read_checkpoint(path)) == described(LAYOUTS["mmdetection-3-in-training"])


def test_newer_pytorch_and_numpy_open(tmp_path: Path) -> None:
    """Newer PyTorch adds members to the archive; NumPy 2 has another name for its core."""
    content = pickle.dumps({"x": np.float64(2)}, 2).replace(b"numpy.core.", b"numpy._core.")
    path = tmp_path / "x.pth"
    path.write_bytes(zipped(content, byteorder=b"little"))
    assert read_checkpoint(path) == {"x": 2}


def test_tensors_that_share_numbers_still_do(tmp_path: Path) -> None:
    one = torch.zeros(4)
    for save in (saved, legacy):
        (tmp_path / "x.pth").write_bytes(save({"a": one, "b": one[1:]}))
        read: Any = read_checkpoint(tmp_path / "x.pth")
        read["a"][1] = 5
        assert read["b"][0] == 5


def described(value: object) -> object:
    """Values that can be compared, kinds of dictionaries apart."""
    if isinstance(value, dict):
        return {key: described(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(described, value)]
    if isinstance(value, HistoryBuffer):
        return [described(value._log_history), described(value._count_history), value.max_length]
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return [str(value.dtype), list(value.shape), value.tolist()]
    return [type(value).__name__, value]
