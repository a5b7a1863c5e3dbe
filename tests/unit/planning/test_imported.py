"""What is kept of parsed modules: for their content alone, and never a reason to fail."""

import sys
from pathlib import Path

import msgspec
import pytest

from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import imported
from mmdet_jetson.planning.imported import Imported

MODULE = b"import os\nimport importlib\nfrom ours.a import b\n\ndef f():\n    from ours import c\n"
NAMES = ["importlib", "ours.a", "ours.a.b", "ours.c"]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "imported.json"
    monkeypatch.setattr(imported, "_file", lambda: file)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return file


def _names(content: bytes = MODULE) -> list[str]:
    ours = Imported("ours", others=("importlib",))
    names = ours.names(Path("m.py"), content)
    ours.keep()
    return sorted(names)


def test_it_is_parsed_once_for_each_content(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _names() == NAMES
    parsed: list[bytes] = []

    def nothing(_: Path, content: bytes) -> list[str]:
        parsed.append(content)
        return []

    monkeypatch.setattr(imported, "_imported_names", nothing)

    assert _names() == NAMES
    assert parsed == []
    assert _names(MODULE + b"\n") == []
    assert parsed == [MODULE + b"\n"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"by": "", "imported": {"x": 1}}', b"\xff"]
)
def test_what_is_damaged_is_made_anew(kept: Path, content: bytes) -> None:
    kept.write_bytes(content)
    assert _names() == NAMES
    assert msgspec.json.decode(kept.read_bytes())["imported"]


def test_another_parser_does_not_count(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as other:
        other.setattr(imported, "_digest_of", lambda *_: "another")
        other.setattr(imported, "_imported_names", lambda *_: ["ours.wrong"])
        assert _names() == ["ours.wrong"]
    assert _names() == NAMES


def test_who_asks_for_other_names_is_not_given_those_of_before(kept: Path) -> None:
    assert _names() == NAMES
    assert kept.exists()
    assert Imported("theirs", others=("os",)).names(Path("m.py"), MODULE) == ["os"]


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imported, "_file", lambda: tmp_path / "missing/imported.json")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert _names() == NAMES


def test_nothing_is_kept_where_python_is_to_keep_nothing(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert _names() == NAMES
    assert not kept.exists()


def test_what_is_not_python_is_refused_each_time(kept: Path) -> None:
    for _ in range(2):
        with pytest.raises(UserError, match=r"m\.py, line 1: this is not Python"):
            _names(b"def")
