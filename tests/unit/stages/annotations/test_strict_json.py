from pathlib import Path

import pytest

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.strict_json import load, texts


def test_byte_order_mark_of_utf_8_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert load(tmp_path / "a.json") == {"a": 1}


BAD = {
    "utf-16": ('{"a": 1}'.encode("utf-16"), "is UTF-16 text"),
    "utf-16-of-the-other-end": (b"\xfe\xff\x00{\x00}", "is UTF-16 text"),
    "latin-1": ('{"a": "ä"}'.encode("latin-1"), "is not UTF-8 text"),
    "empty": (b" \n", "is empty"),
    "picture": (b"\xff\xd8\xff\xe0", "is a picture"),
    "cut-off": (b'{"a": [1, 2', "is not JSON"),
    "key-twice": (b'{"a": 1, "a": 2}', 'has the key "a" twice'),
    "too-deep": (b"[" * 100_000, "is nested too deeply"),
    "put-aside-by-git": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n",
        "is a Git LFS pointer",
    ),
}


@pytest.mark.parametrize(("content", "sentence"), BAD.values(), ids=BAD.keys())
def test_file_that_is_no_json_is_one_sentence(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(Defect, match=sentence) as caught:
        load(tmp_path / "a.json")
    assert caught.value.hint


def test_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(Defect, match="is a folder"):
        load(tmp_path)


def test_what_a_key_says_as_text() -> None:
    said = {"a": "x", "b": 3, "c": 0.5, "d": True, "e": "", "f": None, "g": [1], "h": {}}
    assert texts(said) == {"a": "x", "b": "3", "c": "0.5", "d": "True"}
    assert texts(None) == texts([1]) == {}
