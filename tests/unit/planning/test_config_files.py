from pathlib import Path

import pytest

from mmdet_jetson.errors import ConfigError
from mmdet_jetson.planning.config_files import config_input


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "train").mkdir()
    (tmp_path / "train/mine.py").write_text("_base_ = ['./base.py', 'mmdet::rtmdet/tiny.py']")
    (tmp_path / "train/base.py").write_text("_base_ = '../root.py'\n")
    (tmp_path / "root.py").write_text("epochs = 1\n")
    (tmp_path / "train/other.py").write_text("")
    return tmp_path


def test_local_bases_travel_along(root: Path, tmp_path: Path) -> None:
    copied = config_input(root, "train/mine.py").place(tmp_path / "copied")
    files = {path.relative_to(copied).as_posix() for path in copied.rglob("*.py")}
    assert files == {"train/mine.py", "train/base.py", "root.py"}


def test_the_digest_follows_bases_and_nothing_else(root: Path) -> None:
    before = config_input(root, "train/mine.py").digest()
    (root / "train/other.py").write_text("changed = 1")
    assert config_input(root, "train/mine.py").digest() == before
    (root / "root.py").write_text("epochs = 2\n")
    assert config_input(root, "train/mine.py").digest() != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("_base_ = './absent.py'", "absent.py: no such config"),
        ("_base_ = '../../outside.py'", "outside the project"),
        ("this is no python", "not a Python config"),
        ("_base_ = ['a.py'] + ['b.py']", "_base_ is computed"),
    ],
)
def test_a_broken_config_is_named(root: Path, content: str, message: str) -> None:
    (root / "train/mine.py").write_text(content)
    with pytest.raises(ConfigError, match=message):
        config_input(root, "train/mine.py")
