import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

import pytest

from mmdet_jetson.contract.records import ContractError, decode, encode, read_record, write_record


@dataclass(frozen=True)
class Inner:
    name: str
    size: Tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Outer:
    inner: Inner
    several: Tuple[Inner, ...]
    maybe: Optional[Inner]
    share: float
    by_name: Mapping[str, Optional[float]]
    anything: Dict[str, object] = field(default_factory=dict)


WHOLE = Outer(
    inner=Inner("a", (2, 3)),
    several=(Inner("b"), Inner("c")),
    maybe=None,
    share=0.5,
    by_name={"AP": 0.5, "AP75": None},
    anything={"x": [1, {"y": None}]},
)


def changed(**values: object) -> Dict[str, object]:
    return {**json.loads(json.dumps(asdict(WHOLE))), **values}


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    write_record(tmp_path / "outer.json", WHOLE)
    assert read_record(tmp_path / "outer.json", Outer) == WHOLE
    assert [path.name for path in tmp_path.iterdir()] == ["outer.json"]


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_what_json_has_no_word_for_is_not_written(tmp_path: Path, number: float) -> None:
    with pytest.raises(ContractError, match=r"outer\.json cannot be written as JSON"):
        write_record(tmp_path / "outer.json", replace(WHOLE, share=number))
    assert not list(tmp_path.iterdir())


def test_a_whole_number_is_a_float_where_one_is_meant() -> None:
    share = decode(Outer, changed(share=1)).share
    assert (share, type(share)) == (1.0, float)


def test_what_has_a_default_may_be_absent() -> None:
    assert decode(Inner, {"name": "a"}) == Inner("a")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"share": "0.5"}, "record: share: '0.5' is not of type float"),
        ({"share": True}, "record: share: True is not of type float"),
        ({"inner": {"name": "a", "sise": [1, 1]}}, "record: inner: Inner has no 'sise'"),
        ({"inner": {"size": [1, 1]}}, "record: inner: Inner needs 'name'"),
        ({"inner": {"name": 1}}, "record: inner: name: 1 is not of type str"),
        ({"inner": {"name": "a", "size": [1]}}, "record: inner: size: 1 entries, not 2"),
        ({"inner": {"name": "a", "size": [1, 1.5]}}, r"size\[1\]: 1.5 is not of type int"),
        ({"several": [{"name": "a"}, []]}, r"record: several\[1\]: not an object"),
        ({"several": {}}, "record: several: not a list"),
        ({"maybe": 1}, "record: maybe: not an object"),
        ({"by_name": {"AP": "high"}}, "record: by_name: AP: 'high' is not of type float"),
        ({"by_name": []}, "record: by_name: not an object"),
    ],
)
def test_what_was_not_agreed_upon_is_named(values: Dict[str, object], told: str) -> None:
    with pytest.raises(ContractError, match=told):
        decode(Outer, changed(**values))


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("{")
    with pytest.raises(ContractError, match=r"job\.json is not JSON"):
        read_record(tmp_path / "job.json", Inner)


def test_only_records_are_encoded() -> None:
    with pytest.raises(TypeError, match="not a record"):
        encode({"name": "a"})
