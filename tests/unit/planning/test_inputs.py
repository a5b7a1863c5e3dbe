import hashlib
import os
from pathlib import Path

import msgspec
import pytest

from mmdet_jetson.config.pipeline import load_project
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import ConfigError, UserError
from mmdet_jetson.fetching import digests
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.steps import ExternalInput

CONFIG = Path(__file__).resolve().parents[3] / "configs/pipeline.toml"


def test_a_wrong_file_on_first_use_can_be_taken_back(settings: Settings, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "balloon_dataset.zip").write_bytes(b"oops")
    for name in ("pipeline.toml", "targets.toml", "sources.toml"):
        (tmp_path / name).write_bytes((CONFIG.parent / name).read_bytes())
    project = load_project(tmp_path / "pipeline.toml")
    mirrored = msgspec.structs.replace(settings, mirrors=(str(mirror),), offline=True)
    source = Inputs(project, mirrored, lambda name, done, total: None).dataset("balloon")
    with pytest.raises(UserError, match="neither a zip nor a tar") as caught:
        source.place(tmp_path / "unpacked")
    assert f"delete it and 'balloon' in {tmp_path}/sources.lock" in caught.value.hint


@pytest.mark.parametrize("kind", ["dataset", "weights", "plugin"])
def test_an_own_file_is_hashed_once_for_all_commands(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    file = tmp_path / "own file"
    file.write_bytes(b"large")
    os.utime(file, (1_600_000_000, 1_600_000_000))
    project = load_project(CONFIG)

    def digest() -> str:
        inputs = Inputs(project, settings, lambda name, done, total: None)
        more = ("field",) if kind == "plugin" else ()
        external: ExternalInput = getattr(inputs, kind)(str(file), *more)
        return external.digest()

    first = digest()
    monkeypatch.setattr(digests, "_read", lambda _: pytest.fail("hashed again"))
    assert digest() == first == hashlib.sha256(b"large").hexdigest()


@pytest.mark.parametrize("kind", ["dataset", "weights"])
@pytest.mark.timeout(20)
def test_a_pipe_is_refused_when_it_is_planned(
    settings: Settings, tmp_path: Path, kind: str
) -> None:
    """To wait for what nobody writes would look like a long step."""
    os.mkfifo(tmp_path / "pipe")
    inputs = Inputs(load_project(CONFIG), settings, lambda name, done, total: None)
    with pytest.raises(ConfigError, match=r"pipe' cannot be read: it is a pipe") as caught:
        getattr(inputs, kind)(str(tmp_path / "pipe"))
    assert {"dataset": "dataset.source", "weights": "train.weights"}[kind] in str(caught.value)
