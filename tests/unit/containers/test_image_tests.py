import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from fake_docker_host import IMAGE, FakeDockerHost

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.containers import image_tests
from mmdet_jetson.containers.image_build import image_build
from mmdet_jetson.containers.images import images_of
from mmdet_jetson.containers.objects import ContainerSpec, Exit, HostFacts, Image
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


JETSON = HostFacts(
    id="ID", name="jetson", architecture="arm64", kernel="5.15.148-tegra", version="27.5", cores=8,
    memory=8 << 30, runtimes=("runc", "nvidia"),
)  # fmt: skip
ARM = replace(IMAGE, architecture="arm64")
STAND_IN = {"io.mmdet-jetson.stand-in": "true"}


@dataclass
class SuitesPass(FakeDockerHost):
    """A Docker host in whose containers every suite passes."""

    def run(self, container: str, on_output: Callable[[int, bytes], None]) -> Exit:
        return Exit(0, out_of_memory=False)

    def get(self, container: str, path: str) -> Iterator[bytes]:
        content, packed = f"<testsuites>{PASSED}</testsuites>".encode(), io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            member = tarfile.TarInfo("junit.xml")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        return iter([packed.getvalue()])


def suite_on(
    host: SuitesPass, image: Image, name: str, settings: Settings, store: Store
) -> tuple[ContainerSpec, list[str], object]:
    """How a suite is run, what is said, and what the result says of the GPU."""
    real = msgspec.structs.replace(settings, bases="registry")
    said: list[str] = []
    planned = image_build(name, images_of(real), real)
    run = image_tests.run_suite(host.host, planned, image, image, store=store, say=said.append)
    return host.specs[-1], said, run.provenance.facts["gpu"]


def test_a_jetsons_image_is_tested_with_its_gpu(settings: Settings, tmp_path: Path) -> None:
    host, store = SuitesPass(facts=JETSON), Store(tmp_path / "store")
    spec, said, gpu = suite_on(host, ARM, "jp62", settings, store)
    assert (spec.gpu, spec.environ["MMDET_JETSON_ON_GPU"], said, gpu) == (True, "1", [], True)


@pytest.mark.parametrize(
    ("facts", "image", "name", "why"),
    [
        (replace(JETSON, runtimes=("runc",)), ARM, "jp62", "fake has no NVIDIA runtime"),
        (replace(JETSON, architecture="amd64"), ARM, "jp62", "the image is emulated here"),
        (JETSON, replace(ARM, labels=STAND_IN), "jp62", "a stand-in base has no TensorRT"),
        (replace(JETSON, architecture="amd64"), IMAGE, "pc", "the image has no TensorRT"),
        (replace(JETSON, architecture="amd64"), IMAGE, "train", ""),
    ],
    ids=["no-runtime", "emulated", "stand-in", "pc", "train"],
)
def test_what_leaves_the_gpu_untested_is_said(  # noqa: PLR0917
    facts: HostFacts, image: Image, name: str, why: str, settings: Settings, tmp_path: Path
) -> None:
    host, store = SuitesPass(facts=facts), Store(tmp_path / "store")
    spec, said, gpu = suite_on(host, image, name, settings, store)
    assert (spec.gpu, spec.environ["MMDET_JETSON_ON_GPU"], gpu) == (False, "", False)
    assert len(said) == bool(why)
    assert all(each.startswith("tests on the GPU are not run: ") and why in each for each in said)


PC = replace(JETSON, architecture="amd64", runtimes=("runc",), cores=16, memory=64 << 30)


@pytest.mark.parametrize(
    ("name", "image", "facts", "processes"),
    [
        ("train", IMAGE, PC, 4),
        ("train", IMAGE, replace(PC, cores=2), 2),
        ("train", IMAGE, replace(PC, memory=9 << 30), 2),
        ("train", IMAGE, replace(PC, memory=2 << 30), 1),
        ("pc", IMAGE, PC, 1),
        ("jp62", ARM, JETSON, 1),
    ],
)
def test_only_the_long_suite_is_shared_by_processes(  # noqa: PLR0917
    name: str, image: Image, facts: HostFacts, processes: int, settings: Settings, tmp_path: Path
) -> None:
    host = SuitesPass(facts=facts)
    spec, _, _ = suite_on(host, image, name, settings, Store(tmp_path / "store"))
    shared = [f"--numprocesses={processes}", "--dist=worksteal"] if processes > 1 else []
    assert [word for word in spec.command if word.startswith(("--num", "--dist"))] == shared
    assert ("OMP_NUM_THREADS" in spec.environ) is bool(shared)


def test_an_image_that_passed_without_a_gpu_is_tested_again_on_one(
    settings: Settings, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    real = msgspec.structs.replace(settings, bases="registry")
    planned = image_build("jp62", images_of(real), real)
    without, on_gpu = replace(JETSON, runtimes=("runc",)), JETSON
    runs = []
    for facts in (without, without, on_gpu, on_gpu, without):
        host = SuitesPass({planned.tag: ARM, planned.test_tag: ARM}, facts=facts)
        image_tests.ensure_tested(host.host, "jp62", real, store, lambda _: None)
        runs.append(len(host.specs))
    assert runs == [1, 0, 1, 0, 0]


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
