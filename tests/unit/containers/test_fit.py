from dataclasses import dataclass, replace

import pytest
from folder_engine import PC

from mmdet_jetson.config import Target
from mmdet_jetson.containers.box import Facts
from mmdet_jetson.containers.fit import check_fit, release_of
from mmdet_jetson.errors import UserError

ORIN = replace(
    PC, name="orin", architecture="arm64", kernel="5.10.65-tegra", runtimes=("nvidia", "runc")
)
WORDS = "# R{major} (release), REVISION: {rest}, GCID: 30414990, BOARD: t186ref, EABI: aarch64\n"
TARGET = Target(description="", backend="tensorrt", l4t="34.1.1")


@dataclass
class Asked:
    """An engine that answers what it is asked, and has no way to upload anything."""

    facts: Facts = ORIN
    release: bytes | None = WORDS.format(major=34, rest="1.1").encode()
    address: str = "ssh://orin"

    def host_file(self, path: str) -> bytes | None:
        assert path == "/etc/nv_tegra_release"
        return self.release


def test_the_device_fits() -> None:
    check_fit(Asked(), "orin", TARGET)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Asked(PC), "it runs on amd64, and a Jetson is arm64"),
        (Asked(replace(ORIN, runtimes=("runc",))), "no NVIDIA runtime"),
        (Asked(release=None), "so it is no Jetson"),
        (
            Asked(release=WORDS.format(major=35, rest="4.1").encode()),
            "runs L4T 35.4.1, and needed is 34.1.1",
        ),
        (Asked(release=b"\xff?"), "of a release that it does not tell"),
    ],
    ids=["pc", "no-runtime", "other-board", "other-release", "garbled-release"],
)
def test_what_does_not_fit_is_one_sentence(asked: Asked, told: str) -> None:
    with pytest.raises(UserError, match=told) as refused:
        check_fit(asked, "orin", TARGET)  # type: ignore[arg-type]
    assert "\n" not in refused.value.message
    assert "ssh://orin" in refused.value.message


def test_onnx_runtime_asks_for_no_device() -> None:
    check_fit(Asked(PC, None), "x", Target(description="", backend="onnxruntime", l4t="34.1.1"))  # type: ignore[arg-type]


@pytest.mark.parametrize("wanted", ["38", "38.2"])
def test_a_target_may_leave_the_minor_release_open(wanted: str) -> None:
    asked = Asked(release=WORDS.format(major=38, rest="2.0").encode())
    check_fit(asked, "thor", Target(description="", backend="tensorrt", l4t=wanted))  # type: ignore[arg-type]


def test_a_release_is_compared_by_its_parts() -> None:
    asked = Asked(release=WORDS.format(major=34, rest="1.10").encode())
    with pytest.raises(UserError, match=r"runs L4T 34\.1\.10"):
        check_fit(asked, "orin", TARGET)  # type: ignore[arg-type]


def test_release_of() -> None:
    assert release_of("# R36 (release), REVISION: 4.3, GCID: 1") == "36.4.3"
    assert release_of("") == ""
