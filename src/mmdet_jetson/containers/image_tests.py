"""The tests of an image: its suite runs inside it, confined as a stage is, and the result is kept.

The suite lies in a layer on top of the image, so that what is tested is the image itself. The
result is an artifact of kind ``image-tests`` that names the image's digest, passed or not.
On a Jetson's Docker host the suite of its image is given the GPU, and tests it.
"""

import shlex
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.image_build import ImageBuild
from mmdet_jetson.containers.images import Say, build, decide
from mmdet_jetson.containers.lines import Lines, plain
from mmdet_jetson.containers.objects import ContainerSpec, HostFacts, Image, VolumeMount
from mmdet_jetson.containers.transfer import receive
from mmdet_jetson.contract.process import ENVIRON, WATCH_STDIN
from mmdet_jetson.environments.commit import git_commit
from mmdet_jetson.errors import UserError
from mmdet_jetson.store import Artifact, Provenance, Store, cache_tag

KIND = "image-tests"
SUITES = {"Dockerfile.train": "train", "Dockerfile.l4t": "l4t"}
RESULT = "junit.xml"
ON_GPU = "MMDET_JETSON_ON_GPU"
"""The environment variable that adds what needs a GPU to a suite."""
LONGEST = 300  # characters of a failure that fit a sentence
AT_ONCE = 4  # processes of a suite at most
ROOM = 4 << 30  # bytes of the Docker host's memory for each: PyTorch and a detector or two


class ImageTestsFailed(UserError):
    """An image has failed its tests; says which test failed first, and why."""


def passed_tests(store: Store, image: Image) -> Artifact | None:
    """The passed tests of exactly this image; ``None`` where there are none."""
    artifact = store.find(_tag(image))
    return artifact if artifact and not artifact.provenance.metrics["failed"] else None


def in_use(store: Store) -> set[str]:
    """Digests of the passed tests that runs may still ask for, whatever their age.

    No Docker host is asked, for it may be away. An image is in use if anything in the store was
    made in it, or if it is the last that passed of its name, Docker host and kind of base.
    """
    artifacts = store.artifacts()
    used = {each.provenance.facts.get("image_digest") for each in artifacts}
    passed = [e for e in artifacts if e.kind == KIND and not e.provenance.metrics["failed"]]
    passed.sort(key=lambda artifact: artifact.provenance.created)
    last = {_place(each): each.digest for each in passed}
    ran = {each.digest for each in passed if each.provenance.inputs.get("image") in used}
    return ran | set(last.values())


def _place(tests: Artifact) -> tuple[object, ...]:
    facts = tests.provenance.facts
    return tests.provenance.step, facts.get("docker_host"), facts.get("stand_in")


def ensure_tested(
    host: DockerHost,
    name: str,
    settings: Settings,
    store: Store,
    say: Say,
    *,
    again: bool = False,
) -> Artifact:
    """Build an image where it is missing, run its suite inside it and keep the result.

    Where this very image passed this very suite, that result is returned, unless ``again`` or it
    was taken without the GPU that there is now.

    Raises:
        DockerHostError: it could not be built or run.
        ImageTestsFailed: a test failed; the result is in the store all the same.
    """
    planned = decide(host, name, settings)
    image = build(host, planned, settings, say)
    with_suite = build(host, planned, settings, say, tests=True)
    if with_suite.layers[: len(image.layers)] != image.layers:
        # The builder lost its cache in between, and built other layers with the same content.
        host.remove_image(planned.tag)
        image = build(host, planned, settings, say)
    known = passed_tests(store, image)
    without_gpu = why_without_gpu(host, planned, image)
    as_good = known and (without_gpu or known.provenance.facts.get("gpu"))
    if known and as_good and known.provenance.environment == with_suite.id and not again:
        return known
    artifact = run_suite(host, planned, image, with_suite, store=store, say=say)
    failed = artifact.provenance.metrics["failed"]
    if failed:
        raise ImageTestsFailed(
            f"the image {image.reference} fails {failed} of its tests; the first one:"
            f" {artifact.provenance.facts['first_failure']}",
            f"invoke checkout {_tag(image)} FOLDER, and read {RESULT} there",
        )
    return artifact


def why_without_gpu(host: DockerHost, planned: ImageBuild, image: Image) -> str:
    """Say why the suite leaves out its tests on a GPU; empty where it runs them."""
    if planned.platform != "linux/arm64":
        return "the image has no TensorRT, which Jetsons' have"
    if image.is_stand_in:
        return "a stand-in base has no TensorRT"
    if image.architecture != host.facts.architecture:
        return "the image is emulated here"
    if not host.facts.has_gpu:
        return f"the Docker host at {host.address} has no NVIDIA runtime"
    return ""


def run_suite(
    host: DockerHost,
    planned: ImageBuild,
    image: Image,
    with_suite: Image,
    *,
    store: Store,
    say: Say,
) -> Artifact:
    """Run the suite that lies in ``with_suite``, and store its result as that of ``image``."""
    began, without_gpu = time.monotonic(), why_without_gpu(host, planned, image)
    if without_gpu and SUITES[planned.dockerfile] == "l4t":
        say(f"tests on the GPU are not run: {without_gpu}")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, RESULT)
        _run(host, with_suite, SUITES[planned.dockerfile], result, say, gpu=not without_gpu)
        metrics, first_failure = _read(result)
        provenance = Provenance(
            stage=KIND,
            step=f"{KIND}-{planned.name}",
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            parameters={"image": planned.name, "suite": SUITES[planned.dockerfile]},
            inputs={"image": image.id},
            environment=with_suite.id,
            commit=git_commit(),
            seconds=round(time.monotonic() - began, 3),
            metrics=metrics,
            facts={
                "image": image.reference,
                "platform": planned.platform,
                "docker_host": host.facts.name,
                "emulated": image.architecture != host.facts.architecture,
                "stand_in": image.is_stand_in,
                "gpu": not without_gpu,
                "lock": planned.lock_digest,
                "first_failure": first_failure,
            },
        )
        return store.put(KIND, Path(folder), provenance, [_tag(image)])


def _run(host: DockerHost, image: Image, suite: str, result: Path, say: Say, *, gpu: bool) -> None:
    """Run pytest as the stage user without network; its output is passed on line by line."""
    processes = processes_for(suite, host.facts)
    command = [
        "python", "-m", "pytest", "-c", "tests/containers/pytest.ini",
        "tests/containers/image", f"tests/containers/{suite}",
        *in_processes(processes),
        "--basetemp=/job/tmp", f"--junitxml=/job/{RESULT}",
    ]  # fmt: skip
    last = "(none)"

    def show(line: str) -> None:
        nonlocal last
        last = plain(line)
        say(last)

    output = Lines(show)
    # The suite runs stages inside itself, where they have no standard input of their own to watch.
    environ = {**ENVIRON, WATCH_STDIN: "", ON_GPU: "1" if gpu else "", **threads_for(processes)}
    job = VolumeMount("", "/job", read_only=False)
    with host.container(ContainerSpec(image.id, command, [job], environ, gpu=gpu)) as container:
        ended = host.run(container, lambda _, content: output.feed(content))
        output.close()
        packed = host.get(container, f"/job/{RESULT}")
        if packed is None:
            raise ImageTestsFailed(
                f"the suite of {image.reference} ended with exit code {ended.code} and no result;"
                f" the last line of its output: {last}",
                f"docker run --rm --network none {image.reference} {shlex.join(command[:-2])}",
            )
        receive(packed, result)


def processes_for(suite: str, facts: HostFacts) -> int:
    """How many processes share a suite: that of `train` is long, and its tests use one core each.

    A device's suite is short, and on a GPU its tests would take each other's memory.
    """
    if suite != "train":
        return 1
    return max(1, min(AT_ONCE, facts.cores, facts.memory // ROOM))


def in_processes(count: int) -> list[str]:
    """Options of pytest for so many processes; one that is done takes tests from the others."""
    return [f"--numprocesses={count}", "--dist=worksteal"] if count > 1 else []


def threads_for(processes: int) -> dict[str, str]:
    """Variables for tests in several processes, whose threads would fight over the cores."""
    return {"OMP_NUM_THREADS": "1"} if processes > 1 else {}


def _read(result: Path) -> tuple[dict[str, int], str]:
    """Count the tests of a JUnit result, and give the message of the first one that failed.

    No tests at all, and tests that were skipped, show nothing: they count as failed too.
    """
    cases = list(ElementTree.parse(result).getroot().iter("testcase"))  # noqa: S314 - we wrote it
    bad = [
        (case, each)
        for case in cases
        for each in case
        if each.tag in ("failure", "error", "skipped")
    ]
    metrics = {"tests": len(cases), "failed": len(bad) if cases else 1}
    if not cases:
        return metrics, "there is no test"
    messages = (f"{case.get('name')}: {each.get('message')}" for case, each in bad)
    return metrics, " ".join(next(messages, "").split())[:LONGEST]


def _tag(image: Image) -> str:
    return cache_tag(f"{KIND}.{image.id.removeprefix('sha256:')}")
