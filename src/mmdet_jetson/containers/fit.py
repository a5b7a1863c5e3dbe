"""Whether an engine's machine fits a target: told in one sentence, before anything is uploaded."""

import re

from mmdet_jetson.config import Target
from mmdet_jetson.containers.box import Facts
from mmdet_jetson.containers.engine import Engine
from mmdet_jetson.errors import UserError

RELEASE_FILE = "/etc/nv_tegra_release"
# As in "# R34 (release), REVISION: 1.1, GCID: 30414990, BOARD: t186ref, EABI: aarch64, DATE: ..."
RELEASE = re.compile(r"R(\d+) \(release\), REVISION: (\d+(?:\.\d+)*)")


def check_fit(engine: Engine, name: str, target: Target) -> None:
    """Refuse an engine that cannot build for a target on a Jetson.

    ONNX Runtime's engines need no GPU, so any machine that runs arm64 programs will do, emulated
    ones included; whether it does is found out when the image is there.

    Raises:
        UserError: says what does not fit: architecture, NVIDIA's runtime, or the L4T release.
    """
    problem = misfit(engine.facts, target)
    if not problem and target.l4t and target.backend != "onnxruntime":
        problem = _other_release(engine, target.l4t)
    if problem:
        raise UserError(
            f"the engine at {engine.address} does not fit target {name!r}: {problem}",
            "name another with --engine, or a target that fits it",
        )


def misfit(facts: Facts, target: Target) -> str:
    """Say what an engine's own words reveal, or nothing."""
    if target.backend == "onnxruntime":
        return ""
    if facts.architecture != "arm64":
        return f"it runs on {facts.architecture}, and a Jetson is arm64"
    if not facts.has_gpu:
        return "it has no NVIDIA runtime, which gives containers the GPU"
    return ""


def release_of(text: str) -> str:
    """The L4T release in the words of ``/etc/nv_tegra_release``: "34.1.1", or empty."""
    found = RELEASE.search(text)
    return f"{found[1]}.{found[2]}" if found else ""


def _other_release(engine: Engine, wanted: str) -> str:
    content = engine.host_file(RELEASE_FILE)
    if content is None:
        return f"it has no {RELEASE_FILE}, so it is no Jetson"
    release = release_of(content.decode(errors="replace"))
    if f"{release}.".startswith(f"{wanted}."):
        return ""
    return f"it runs L4T {release or 'of a release that it does not tell'}, and needed is {wanted}"
