from dataclasses import replace
from pathlib import Path

import pytest
from fake_docker_host import IMAGE

from mmdet_jetson.containers import image_tests
from mmdet_jetson.store import Provenance, Store

PASSED = '<testcase name="a"/><testcase name="b"/>'
FAILED = '<testcase name="a"/><testcase name="b"><failure message="numpy: the lock says 1&#10;  here 2"/></testcase>'
SKIPPED = '<testcase name="a"><skipped message="no op"/></testcase>'


@pytest.mark.parametrize(
    ("cases", "tests", "failed", "first"),
    [
        (PASSED, 2, 0, ""),
        (FAILED, 2, 1, "b: numpy: the lock says 1 here 2"),
        (SKIPPED, 1, 1, "a: no op"),
        ("", 0, 1, "there is no test"),
    ],
    ids=["passed", "failed", "skipped", "empty"],
)
def test_a_result_counts_its_tests(
    tmp_path: Path, cases: str, tests: int, failed: int, first: str
) -> None:
    result = tmp_path / "junit.xml"
    result.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert image_tests._read(result) == ({"tests": tests, "failed": failed}, first)


@pytest.mark.parametrize("failed", [0, 1])
def test_only_passed_tests_of_this_very_image_count(tmp_path: Path, failed: int) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "result").mkdir()
    (tmp_path / "result/junit.xml").write_text("<testsuites/>")
    provenance = Provenance(
        stage="image-tests",
        step="",
        created="2024-01-01T00:00:00+00:00",
        metrics={"failed": failed},
    )
    store.put("image-tests", tmp_path / "result", provenance, [image_tests._tag(IMAGE)])
    other = replace(IMAGE, id=f"sha256:{'2' * 64}")
    assert (image_tests.passed_tests(store, IMAGE) is not None) is (failed == 0)
    assert image_tests.passed_tests(store, other) is None
