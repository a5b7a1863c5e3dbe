"""`invoke pack`: what it says to type next, and what it refuses before anything is made."""

from pathlib import Path

import msgspec
import pytest

from mmdet_jetson.cli import pack
from mmdet_jetson.cli.request import Request
from mmdet_jetson.config.pipeline import load_project
from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.errors import UserError

DEMO = "configs/demo.toml"


def test_the_next_steps_are_what_has_to_be_typed() -> None:
    project = load_project(ROOT / DEMO, ['targets=["orin-jp62", "thor-jp7"]'])
    project = msgspec.structs.replace(project, typed=f"--config {DEMO} --precision fp16")

    first, *steps = pack._next_steps(project, "usb/my mugs", "my mugs")

    assert first.startswith("usb/my mugs has what orin-jp62, thor-jp7 need of demo.")
    chosen = f"--config {DEMO} --precision fp16 --target"
    assert steps == [
        f"  invoke {verb} {chosen} {target} --onnx 'my mugs'"
        for target in ("orin-jp62", "thor-jp7")
        for verb in ("build-jetson-engine", "report")
    ]


@pytest.mark.parametrize(
    ("into", "says"),
    [
        ("artifacts/sub", "artifacts/sub is inside this machine's store"),
        ("artifacts", "artifacts is this machine's store"),
        (".", "exists already"),
        ("artifacts/blobs/x", "artifacts/blobs/x is inside this machine's store"),
        ("file/inside", "file/inside cannot be written: a part of its path is a file"),
        ("/proc/x", "/proc/x cannot be written"),
        ("x" * 300, "x cannot be written: a name in it is too long"),
        ("file", "file exists already"),
    ],
)
def test_a_place_for_it_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, into: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "artifacts"))
    (tmp_path / "file").touch()
    made: list[object] = []
    monkeypatch.setattr(pack, "make", lambda *given: made.append(given))

    with pytest.raises(UserError, match=says):
        pack.pack(into, Request(config=DEMO))

    assert not made
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
