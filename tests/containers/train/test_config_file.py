"""Configs as people write them: names with a scope, and modules of their own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from json_values import at
from mmdet.datasets.transforms import Resize
from mmengine import Config

from mmdet_jetson.stages.checkpoints.config_file import read_config, unscoped
from mmdet_jetson.stages.errors import StageError

if TYPE_CHECKING:
    from pathlib import Path

REGISTERS = """
from mmdet.registry import TRANSFORMS
@TRANSFORMS.register_module()
class {name}:
    pass
"""


@pytest.fixture(autouse=True)
def _own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])


def read(folder: Path, content: str, **modules: str) -> Config:
    for name, text in modules.items():
        (folder / "custom_imports").mkdir(exist_ok=True)
        (folder / f"custom_imports/{name}.py").write_text(text)
    (folder / "mine.py").write_text(content)
    return read_config(folder / "mine.py", folder, "the training config mine.py", "mend it")


@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        ("mmdet.Resize", "Resize"),
        ("mmdet.RTMDet", "RTMDet"),
        ("mmdet.CocoDataset", "CocoDataset"),
        ("mmdet.LoadImageFromFile", "LoadImageFromFile"),
        ("mmengine.EpochBasedTrainLoop", "EpochBasedTrainLoop"),
        ("mmengine.AmpOptimWrapper", "AmpOptimWrapper"),
        (Resize, "Resize"),
        ("Resize", "Resize"),
        # MMCV has one of its own, which MMDetection's stands before.
        ("mmengine.Resize", "mmengine.Resize"),
        ("mmdet.NoSuchThing", "mmdet.NoSuchThing"),
        ("mmcls.ConvNeXt", "mmcls.ConvNeXt"),
    ],
)
def test_a_scope_goes_where_the_plain_name_is_the_same(kind: object, plain: str) -> None:
    config = Config({"a": [{"b": ({"type": kind, "_scope_": "mmdet"},)}]})
    assert unscoped(config).to_dict() == {"a": [{"b": ({"type": plain},)}]}


def test_another_default_scope_is_left_alone() -> None:
    config = Config({"default_scope": "mine", "a": {"type": "mmdet.Resize"}})
    assert at(unscoped(config).to_dict(), "a.type") == "mmdet.Resize"


def test_a_scoped_config_reads_as_a_plain_one(tmp_path: Path) -> None:
    config = read(tmp_path, "a = dict(_scope_='mmdet', type='mmdet.Pad', size=(1, 2))")
    assert config.to_dict() == {"a": {"type": "Pad", "size": (1, 2)}}


@pytest.mark.parametrize("imports", ["['own_one']", "'own_two'", "('own_three',)"])
def test_own_modules_are_imported(tmp_path: Path, imports: str) -> None:
    name = imports.strip("[](),").strip("'")
    kind = f"{name}_transform"
    content = f"custom_imports = dict(imports={imports})\na = dict(type='mmdet.{kind}')"
    config = read(tmp_path, content, **{name: REGISTERS.format(name=kind)})
    assert config.a.type == kind


def test_a_config_may_import_a_module_itself(tmp_path: Path) -> None:
    content = "from own_sizes import SIDE\na = dict(scale=(SIDE, SIDE))"
    assert read(tmp_path, content, own_sizes="SIDE = 96").a.scale == (96, 96)


@pytest.mark.parametrize(
    ("imports", "modules", "sentence"),
    [
        ("absent", {}, "imports the module absent (custom_imports), which was found neither"),
        ("absent.inner", {}, "imports the module absent.inner"),
        ("half.inner", {"half": ""}, "half.inner"),
        (
            "needs_more",
            {"needs_more": "import albumentations"},
            "the module needs_more, which the training config mine.py imports (custom_imports), "
            "fails: ModuleNotFoundError: No module named 'albumentations'",
        ),
        ("broken", {"broken": "x = 1 / 0"}, "fails: ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(
    tmp_path: Path, imports: str, modules: dict[str, str], sentence: str
) -> None:
    with pytest.raises(StageError) as error:
        read(tmp_path, f"custom_imports = {{'imports': ['{imports}']}}", **modules)
    assert sentence in error.value.message
    assert error.value.hint


def test_imports_without_their_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"custom_imports of .* is a list"):
        read(tmp_path, "custom_imports = ['own_one']")


def test_an_import_that_may_fail_may_fail(tmp_path: Path) -> None:
    content = "custom_imports = dict(imports=['absent'], allow_failed_imports=True)"
    with pytest.warns(UserWarning, match="absent is not imported: ModuleNotFoundError"):
        read(tmp_path, content)
