"""NVIDIA's releases for Jetson, and how versions are compared."""

import pytest

from mmdet_jetson.contract.nvidia import is_version, jetpack_of, release_of


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64", "35.4.1"),
        ("# R34 (release), REVISION: 1.1, GCID: 30414990, BOARD: t186ref", "34.1.1"),
        ("# R36 (release), REVISION: 4.3, GCID: 1", "36.4.3"),
        ("\ufffd?", ""),
    ],
)
def test_a_release_is_read_in_its_parts(line: str, release: str) -> None:
    assert release_of(line) == release


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [
        ("34.1.1", "5.0.1"),
        ("35.4.1", "5.1.2"),
        ("36.4.3", "6.2"),
        ("36.4.7", "6.2.1"),
        ("38.2.1", "7.0"),
        ("36.4.30", None),
        ("36.9.0", None),
        ("", None),
    ],
)
def test_a_release_of_jetson_linux_is_one_jetpack(l4t: str, jetpack: str | None) -> None:
    assert jetpack_of(l4t) == jetpack


@pytest.mark.parametrize(
    ("found", "needed", "same"),
    [
        ("8.4.0.11", "8.4", True),
        ("8.4.0.11", "8.4.0", True),
        ("8.4.0", "8.4.0", True),
        ("8.40.1", "8.4", False),
        ("8.4", "8.4.0", False),
        ("11.4.20220427", "11.4", True),
    ],
)
def test_versions_are_compared_as_far_as_they_go(found: str, needed: str, same: bool) -> None:
    assert is_version(found, needed) == same
