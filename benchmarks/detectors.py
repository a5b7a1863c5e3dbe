"""Take stock configs of MMDetection through the whole pipeline, and tell what became of each.

    .venv/bin/python benchmarks/detectors.py [NAME...] [--write docs/detectors.md] [--keep FOLDER]

For each: a training config of one line (``_base_ = 'mmdet::...'``), a pipeline on drawn pictures,
`invoke pipeline` as a user types it. What is proven was trained for one epoch from random numbers:
enough for detections to compare, not for any to be right. Exits with 1 where a detector ended in
another way than a proof or a refusal before its training.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.contract.report import FAIL, PASS
from mmdet_jetson.store import Artifact, Store

TARGET = "pc-onnxruntime"
PROVEN, REFUSED, WRONG = "proven", "refused before training", "WRONG"
SCORE = "model.test_cfg.score_thr"
# Scores of such detectors tie, and rounding then decides which of two boxes drops the other.
MAY_BE_ALONE = 0.005
MINUTES = 15


@dataclass(frozen=True)
class Detector:
    """A stock config, and what its pipeline sets beside it.

    ``from_score`` is the score from which on detections count, in the model's test as in the gate:
    those of a detector that has seen next to nothing are low. ``threshold`` is the key of the
    test's, where it has one. ``documented`` is `export.compare_documented`: MMDeploy cannot write
    the graph of every head, nor each as MMDetection has it. ``epochs`` are more than one where
    batch norms learn so slowly that everything would look the same.
    """

    name: str
    config: str
    size: int = 128
    from_score: float = 0.001
    epochs: int = 1
    threshold: str = SCORE
    documented: bool = True


DETECTORS = (
    Detector("RTMDet-tiny", "rtmdet/rtmdet_tiny_8xb32-300e_coco"),
    Detector("RTMDet-s", "rtmdet/rtmdet_s_8xb32-300e_coco"),
    Detector("YOLOX-tiny", "yolox/yolox_tiny_8xb8-300e_coco", from_score=1e-5),
    Detector("YOLOX-s", "yolox/yolox_s_8xb8-300e_coco", from_score=1e-5),
    Detector("RetinaNet", "retinanet/retinanet_r18_fpn_1x_coco"),
    Detector("FCOS", "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco"),
    Detector("ATSS", "atss/atss_r50_fpn_1x_coco"),
    Detector("GFL", "gfl/gfl_r50_fpn_1x_coco"),
    Detector("TOOD", "tood/tood_r50_fpn_1x_coco"),
    Detector("VFNet", "vfnet/vfnet_r50_fpn_1x_coco"),
    Detector("DDOD", "ddod/ddod_r50_fpn_1x_coco", size=384),
    Detector("PAA", "paa/paa_r50_fpn_1x_coco"),
    Detector("FSAF", "fsaf/fsaf_r50_fpn_1x_coco"),
    Detector("FreeAnchor", "free_anchor/freeanchor_r50_fpn_1x_coco"),
    # MMDeploy writes its normalising layer in other operators.
    Detector("SSD300", "ssd/ssd300_coco", size=300, documented=False),
    Detector("SSDLite", "ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco", size=320, epochs=30),
    Detector("YOLOv3", "yolo/yolov3_mobilenetv2_8xb24-320-300e_coco"),
    Detector("CenterNet", "centernet/centernet_r18_8xb16-crop512-140e_coco", threshold=""),
    Detector("RepPoints", "reppoints/reppoints-moment_r50_fpn_1x_coco"),
    Detector("Faster R-CNN", "faster_rcnn/faster-rcnn_r50_fpn_1x_coco", threshold=""),
    Detector("Mask R-CNN", "mask_rcnn/mask-rcnn_r50_fpn_1x_coco", threshold=""),
    Detector("Cascade R-CNN", "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco", threshold=""),
    Detector("RTMDet-Ins-tiny", "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco"),
    Detector("CornerNet", "cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco", threshold=""),
    Detector("DETR", "detr/detr_r50_8xb2-150e_coco", threshold=""),
    Detector("Deformable DETR", "deformable_detr/deformable-detr_r50_16xb2-50e_coco", threshold=""),
)


@dataclass(frozen=True)
class Outcome:
    """What became of a detector: `PROVEN`, `REFUSED` or `WRONG`, and the details.

    ``box`` is a share of the picture's longer side.
    """

    word: str
    details: str
    box: float | None = None
    score: float | None = None
    matched: int | None = None


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="of the table; all of them by default")
    parser.add_argument("--write", type=Path, help="put the table into this page")
    parser.add_argument("--keep", type=Path, help="keep stores and logs in this folder")
    options = parser.parse_args()
    unknown = set(options.names) - {each.name for each in DETECTORS}
    if unknown:
        parser.error(f"no detector is called {min(unknown)}")
    chosen = [each for each in DETECTORS if not options.names or each.name in options.names]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        lines, words = [*HEAD], set()
        print(*lines, sep="\n", flush=True)
        for each in chosen:
            outcome = taken_through(each, folder.resolve())
            words.add(outcome.word)
            lines.append(row(each, outcome))
            print(lines[-1], flush=True)
    if options.write:
        write(options.write, "\n".join(lines))
    return int(WRONG in words)


def taken_through(detector: Detector, folder: Path) -> Outcome:
    """Run a detector's pipeline, with a store and a log of its own in ``folder``."""
    name = re.sub(r"\W+", "-", detector.name.lower()).strip("-")
    print(f"{detector.name} ...", end=" ", file=sys.stderr, flush=True)
    # A training config has to lie in the project, as a user's does.
    with tempfile.TemporaryDirectory(dir=ROOT / "configs", prefix="detectors-") as configs:
        for needed in ("targets.toml", "sources.toml", "images.toml"):
            shutil.copy(ROOT / "configs" / needed, configs)
        config = Path(configs) / f"{name}.py"
        config.write_text(f"_base_ = 'mmdet::{detector.config}.py'\n")
        pipeline = Path(configs) / f"{name}.toml"
        pipeline.write_text(pipeline_toml(detector, name, config))
        store = folder / name
        code, output = invoke_pipeline(pipeline, store)
    (folder / f"{name}.log").write_text(output)
    outcome = told(Store(store), name, code, output)
    print(outcome.word, file=sys.stderr)
    return outcome


def pipeline_toml(detector: Detector, name: str, config: Path) -> str:
    """Write the pipeline.toml of a detector: sixteen drawn pictures, one epoch."""
    threshold = f'"{detector.threshold}" = {detector.from_score}' if detector.threshold else ""
    return f"""name = "{name}"
input_size = [{detector.size}, {detector.size}]
targets = ["{TARGET}"]

[dataset]
format = "drawn"
classes = ["ellipse", "rectangle"]
drawn = {{ train = 16, val = 8, size = [160, 120] }}

[train]
config = "{config.relative_to(ROOT)}"
epochs = {detector.epochs}
batch_size = 4
workers = 0
device = "cpu"

[train.overrides]
{threshold}

[export]
compare_documented = {str(detector.documented).lower()}

[gates.proof.fp32]
from_score = {detector.from_score}
alone = {MAY_BE_ALONE}
"""


def invoke_pipeline(config: Path, store: Path) -> tuple[int, str]:
    """Run `invoke pipeline`; give its exit code, 124 when it took too long, and all it printed."""
    command = [sys.executable, "-m", "invoke", "pipeline", "--config", str(config)]
    env = {**os.environ, "MMDET_JETSON_ARTIFACTS": str(store), "COLUMNS": "1000"}
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60 * MINUTES,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        printed = expired.output or b""
        return 124, printed.decode() if isinstance(printed, bytes) else printed
    return done.returncode, done.stdout


def told(store: Store, name: str, code: int, output: str) -> Outcome:
    """Tell from a run's end and its artifacts what became of a detector."""
    report = store.find(f"{name}.report") if store.exists() else None
    if report:
        return judged(store, name, report)
    errors = re.findall(r"^error: (.*)$", output, re.MULTILINE)
    # Of what is no sentence, the end of the stage's log is shown.
    if "Traceback" in output or "the end of its log" in output or not errors:
        return Outcome(WRONG, f"exit code {code}: {output.strip().splitlines()[-1][:200]}")
    if store.exists() and store.find(f"{name}.train"):
        return Outcome(WRONG, f"after its training: {errors[-1]}")
    return Outcome(REFUSED, errors[-1])


def judged(store: Store, name: str, report: Artifact) -> Outcome:
    """Tell what the gate `proof` said, and how far the engine was from PyTorch."""
    gates = json.loads(store.read(report, "verdict.json"))["gates"]
    proof = store.find(f"{name}.prove-{TARGET}")
    assert proof  # the report was made from it
    deviation = json.loads(store.read(proof, "proof.json"))["models"]["engine"]["deviation"]
    (gate,) = (gate for gate in gates if gate["name"] == f"proof:{TARGET}")
    return Outcome(
        PROVEN if gate["outcome"] == PASS else WRONG,
        gate["sentence"] if gate["outcome"] == FAIL else "",
        deviation["box"],
        deviation["score"],
        deviation["matched"],
    )


HEAD = (
    "| detector | stock config | input | becomes | detections | largest box difference "
    "| largest score difference |",
    "|---|---|---:|---|---:|---:|---:|",
)


def row(detector: Detector, outcome: Outcome) -> str:
    """Write a line of the table."""
    becomes = f"{outcome.word}: {outcome.details}" if outcome.details else outcome.word
    figures: Sequence[str] = ("", "", "")
    if outcome.box is not None:
        figures = (f"{outcome.matched}", f"{100 * outcome.box:.5f}%", f"{outcome.score:.6f}")
    config = f"`{detector.config}`"
    cells = (detector.name, config, str(detector.size), becomes.replace("|", "\\|"), *figures)
    return f"| {' | '.join(cells)} |"


def write(page: Path, table: str) -> None:
    """Put the table into a page, in place of the one that is there."""
    text = page.read_text()
    changed, places = re.subn(r"(?m)^\| detector \|(.*\n)*?(?=\n|\Z)", lambda _: f"{table}\n", text)
    if places != 1:
        raise SystemExit(f"{page} has {places} tables of detectors, not one")
    page.write_text(changed)


if __name__ == "__main__":
    sys.exit(main())
