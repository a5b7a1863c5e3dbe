"""The report of made-up artifacts: complete, self-contained, escaped and reproducible."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_analyses import made_analysis, write_analysis
from measured import FP32
from passports import passport

from mmdet_jetson.contract.conditions import Conditions
from mmdet_jetson.contract.gates import Tolerances
from mmdet_jetson.contract.job import ArtifactSummary
from mmdet_jetson.contract.parameters.report import ReportParameters
from mmdet_jetson.contract.records import ContractError, read_record, write_record
from mmdet_jetson.contract.report import (
    Bounds,
    EvaluationMetrics,
    GateResult,
    ProfileMetrics,
    Spread,
    Verdict,
)
from mmdet_jetson.stages import report
from mmdet_jetson.stages.annotations.coco_file import Prediction
from mmdet_jetson.stages.annotations.summary import DatasetSummary, SplitSummary
from mmdet_jetson.stages.evaluation.coco_figures import FIGURES, coco_figures
from mmdet_jetson.stages.gates.measured import Measured
from mmdet_jetson.stages.inference.passport import EngineFile
from mmdet_jetson.stages.job import StageJob
from mmdet_jetson.stages.proving.deviation import Deviation
from mmdet_jetson.stages.proving.proof import ComparedModel, NetworkComparison, Proof
from mmdet_jetson.stages.reporting import charts, report_page
from mmdet_jetson.stages.reporting.page_text import (
    difference,
    duration,
    fact,
    filesize,
)

CLASSES = ("<script>alert(1)</script>", "jug & cup")
TARGETS = ("pc", "edge")
PICTURES = 12
VOID = {"meta", "input", "img", "br", "path", "rect", "circle", "use"}

Job = StageJob[ReportParameters]


def write(folder: Path, name: str, content: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def make_dataset(folder: Path) -> None:
    images = [
        {"id": i, "file_name": f"{i:02}.jpg", "width": 100, "height": 100} for i in range(PICTURES)
    ]
    objects = [
        {
            "id": i + 1,
            "image_id": i,
            "category_id": 1 + i % 2,
            "bbox": [9, 9, 40, 40],
            "area": 1600,
            "iscrowd": 0,
        }
        for i in range(PICTURES)
    ]
    content = {
        "images": images,
        "annotations": objects,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
    }
    write(folder, "val.json", content)
    split = SplitSummary(PICTURES, annotations=12, per_class=dict.fromkeys(CLASSES, 6))
    warning = "train/<b>.jpg: the box of region 3 left the picture and was cut"
    summary = DatasetSummary(CLASSES, {"train": split, "val": split}, (warning,))
    write_record(folder / "summary.json", summary)


def make_checkpoint(folder: Path) -> None:
    train = [{"step": i, "epoch": 1 + i // 50, "loss": 2 / i, "lr": 1e-3} for i in range(1, 901)]
    val = [{"epoch": e, "AP": e / 30, "AP50": e / 20} for e in (5, 10, 15)]
    best = {"epoch": 15, "AP": 0.5}
    curves = {"train": train, "val": val}
    write(folder, "metrics.json", {"best": best, "epochs": 15, "curves": curves, "device": "cpu"})


def make_evaluation(folder: Path, dataset: Path, subject: str, output: str) -> None:
    predictions: list[Prediction] = [
        {"image_id": i, "category_id": 1 + i % 2, "bbox": [9, 9, 40, 40], "score": 0.9}
        for i in range(PICTURES)
    ]
    result = coco_figures(dataset / "val.json", predictions)
    metrics = EvaluationMetrics(
        subject=subject,
        evidence="measured" if subject != "engine" else "emulated, stand-in base",
        preprocessing={"input_size": [64, 64], "keep_ratio": subject != "base"},
        figures=result.figures,
        per_class=result.per_class,
        pictures=PICTURES,
        detections=PICTURES,
    )
    write(folder, "predictions.json", predictions)
    write_record(folder / "metrics.json", metrics)
    picture = np.full((600, 900, 3), 128, np.uint8)
    (folder / "pictures").mkdir()
    for shade, name in enumerate((output, 'pictures/00 "quoted" <i>.jpg.jpg', "pictures/01.jpg")):
        assert cv2.imwrite(str(folder / name), picture - 50 * shade)


def make_engine(inputs: Mapping[str, Path], target: str) -> None:
    steps = ("load", "resize", "normalize", "format", "network", "postprocess")
    profile = ProfileMetrics(
        backend="onnxruntime",
        precision="fp32",
        samples=662,
        seconds=12.0,
        warmup=20,
        unit="ms",
        steps=dict.fromkeys(steps, Spread(mean=3.0, p50=2.9, p90=3.5, p99=4.0)),
        total=Spread(mean=18.0, p50=17.4, p90=21.0, p99=24.0),
        gpu=None,
        pictures=PICTURES,
        machine={"cpu": "Some CPU", "cores": 2, "load_average": [0.1, 0.2, 0.3]},
        evidence="measured",
        warnings=("the clocks were not locked: sudo jetson_clocks",),
        bounds={"p50": Bounds(17, 17.9), "p90": Bounds(20, 21.9), "p99": Bounds(22, 26.25)},
        conditions=Conditions("jetson", looks=13, seconds=12.0, power_modes=("MAXN",), drift=0.012),
    )
    inputs[f"profile-{target}"].mkdir()
    write_record(inputs[f"profile-{target}"] / "profile.json", profile)
    engine = EngineFile("engine.onnx", "ab", 21_300_000)
    inputs[f"engine-{target}"].mkdir()
    made = replace(passport(target, {}), engine=engine)
    write_record(inputs[f"engine-{target}"] / "passport.json", made)


def with_proof(
    job: Job, folder: Path, target: str, network: NetworkComparison | None = None
) -> Job:
    def compared(ap: float, **deviation: float) -> ComparedModel:
        return ComparedModel({"AP": ap}, Deviation(41, 2, 1, 0, **deviation))

    proof = Proof(
        target=target,
        evidence="emulated",
        tolerances=FP32,
        pictures=PICTURES,
        models={
            "documented graph": compared(0.2033, box=0.00125, score=0.000004),
            "engine": compared(0.2011, box=0.000025, score=0.00005),
            "pytorch": ComparedModel({"AP": 0.20341}),
        },
        network=network,
    )
    folder.mkdir()
    write_record(folder / "proof.json", proof)
    return replace(job, inputs={**job.inputs, f"proof-{target}": folder})


ARTIFACT = ArtifactSummary(
    step="train",
    kind="checkpoint",
    digest="sha256:" + 64 * "e",
    created="2026-01-02T03:04:05Z",
    environment="train <lock>",
    commit="abc123",
    seconds=125.0,
    size=52_000_000,
    warnings=(),
)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    names = ["dataset", "checkpoint", "evaluation-base", "evaluation-checkpoint"]
    names += [f"{kind}-{t}" for t in TARGETS for kind in ("engine", "evaluation", "profile")]
    inputs = {name: tmp_path / name for name in names}
    make_dataset(inputs["dataset"])
    make_checkpoint(inputs["checkpoint"])
    for subject in ("base", "checkpoint"):
        folder = inputs[f"evaluation-{subject}"]
        make_evaluation(folder, inputs["dataset"], subject, "output_pytorch.jpg")
    for target in TARGETS:
        folder = inputs[f"evaluation-{target}"]
        make_evaluation(folder, inputs["dataset"], "engine", "output_onnxruntime.jpg")
        make_engine(inputs, target)
    return StageJob(
        parameters=ReportParameters(
            name="cups <and> jugs",
            gates={"min_AP50": 0.6, "max_AP_difference": 0.002},
            proofs={},
            targets=TARGETS,
        ),
        inputs=inputs,
        output=tmp_path / "report",
        work=tmp_path / "work",
        artifacts=(ARTIFACT,),
        channel=io.StringIO(),
    )


def page(job: Job) -> str:
    report.run(job)
    return (job.output / "report.html").read_text()


def judged(job: Job) -> tuple[str, dict[str, str]]:
    report.run(job)
    verdict = read_record(job.output / "verdict.json", Verdict)
    return verdict.verdict, {gate.name: gate.outcome for gate in verdict.gates}


def found(pattern: str, text: str) -> str:
    """The group of a pattern that has to be there."""
    match = re.search(pattern, text, re.DOTALL)
    assert match is not None
    return str(match.group(1))


class Reader(HTMLParser):
    """Checks that elements nest, and keeps their attributes, ids and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_is_well_formed_and_asks_for_nothing(job: Job) -> None:
    reader = Reader(page(job))
    for tag, key, value in reader.attributes:
        if key in {"src", "href", "xlink:href", "srcset", "data", "action", "poster"}:
            assert value.startswith(("data:image/jpeg;base64,", "#")), (tag, key, value[:80])
        assert not key.startswith("on"), (tag, key)
        assert not re.search(r"url\((?!#)", value), (tag, key, value)
    assert not {"script", "link", "iframe", "object", "base"} & set(reader.tags)
    styles = re.findall(r"<style>(.*?)</style>", page(job), re.DOTALL)
    assert len(styles) == 1
    assert "@import" not in styles[0]
    assert "url(" not in styles[0]


def analyse(job: Job) -> Job:
    """Let every evaluation have an analysis, of classes and pictures with hostile names."""
    made = made_analysis(60, CLASSES)
    name = '</script><img src="https://elsewhere.example/x" onerror="alert(1)">.jpg'
    pictures = (replace(made.pictures[0], name=name, lost=1.0), *made.pictures[1:])
    for each in ("checkpoint", *TARGETS):
        folder = job.inputs[f"evaluation-{each}"]
        write_analysis(folder, replace(made, pictures=pictures))
    return job


def test_an_analysis_brings_its_sections_and_one_script(job: Job) -> None:
    text = page(analyse(job))
    assert headings(text) == [
        "Accuracy", "Which score threshold to deploy", "Precision and recall", "What goes wrong",
        "Pictures that went worst", "Training", "Pictures side by side", "Latency", "Dataset",
        "Provenance",
    ]  # fmt: skip
    assert "Deploy the engine pc with a score threshold" in text
    reader = Reader(text)
    assert reader.tags.count("script") == 2
    for tag, key, value in reader.attributes:
        if key in {"src", "href", "xlink:href"}:
            assert value.startswith(("data:image/", "#")), (tag, key, value[:80])
        assert not key.startswith("on"), (tag, key)
    policy = next(value for _, _, value in reader.attributes if value.startswith("default-src"))
    script = found(r"<script>(.*?)</script>", text)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "connect-src" not in policy


def test_the_contents_are_those_of_the_page(job: Job) -> None:
    for text in (page(job), page(analyse(job))):
        contents = found(r'<nav class="contents"(.*?)</nav>', text)
        anchors = re.findall(r'href="#(.*?)"', contents)
        assert [text.index(f'id="{anchor}"') for anchor in anchors] == sorted(
            text.index(f'id="{anchor}"') for anchor in anchors
        )
        assert len(anchors) >= len(headings(text))


def test_evaluations_of_before_say_how_to_get_an_analysis(job: Job) -> None:
    text = page(job)
    assert "these evaluations come from an earlier release" in text
    assert "`invoke evaluate` makes them again" in text
    assert "<script" not in text


def test_without_matplotlib_there_are_tables_and_a_sentence(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts, "charts_there", lambda: False)
    monkeypatch.setattr(report_page, "charts_there", lambda: False)
    text = page(analyse(job))
    assert "made where there is no Matplotlib, so it has no charts" in text
    assert "There is no Matplotlib here to draw its curves." in text
    assert "<figcaption>Precision over recall</figcaption>" not in text
    assert 'id="class-precision"' in text


def test_equal_analyses_give_an_equal_page(job: Job, tmp_path: Path) -> None:
    text = page(analyse(job))
    assert text == page(replace(job, output=tmp_path / "again"))


def test_ids_are_unique(job: Job) -> None:
    ids = [value for _, key, value in Reader(page(analyse(job))).attributes if key == "id"]
    assert sorted(ids) == sorted(set(ids))


def test_what_users_name_is_escaped(job: Job) -> None:
    text = page(job)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    reader = Reader(text)
    assert "i" not in reader.tags
    read = "".join(reader.text)
    for name in [*CLASSES, "cups <and> jugs", '00 "quoted" <i>.jpg', "train <lock>"]:
        assert name in read


def test_the_page_holds_every_part_in_order(job: Job) -> None:
    text = page(job)
    assert headings(text) == [
        "Accuracy", "Which score threshold to deploy", "Training", "Pictures side by side",
        "Latency", "Dataset", "Provenance",
    ]  # fmt: skip
    assert text.index('class="verdict pass"') < text.index("<h2")
    for figure in FIGURES:
        assert f'<th scope="row">{figure.replace("_", " ")}</th>' in text
    assert text.count("<img ") == 3 * 3
    assert text.count('alt="') == text.count("<img ")
    assert re.findall(r"<figcaption>(Loss|Learning rate|AP)</figcaption><svg", text) == [
        "Loss", "Learning rate", "AP",
    ]  # fmt: skip
    assert text.count('class="bar"') == 2
    assert "sha256:" + 64 * "e" in text


def test_the_grade_of_the_evidence_is_beside_the_figures(job: Job) -> None:
    accuracy = page(job).partition('id="accuracy"')[2].partition('id="pictures"')[0]
    assert accuracy.count("emulated, stand-in base") == len(TARGETS)


def test_time_on_the_gpu_is_shown_where_it_was_measured(job: Job) -> None:
    path = job.inputs["profile-edge"] / "profile.json"
    gpu = Spread(mean=7.125, p50=7, p90=8, p99=9)
    write_record(path, replace(read_record(path, ProfileMetrics), gpu=gpu))
    rows = re.findall(r"without copies</th>(.*?)</tr>", page(job), re.DOTALL)
    assert [re.findall(r"<td>(.*?)</td>", row) for row in rows] == [
        ["7.12", "7.00", "8.00", "9.00"]
    ]


def test_bounds_and_conditions_of_the_latency_are_shown(job: Job) -> None:
    latency = page(job).split('id="latency"')[1].split("</section>")[0]
    assert "ms over 662 samples in 12.0 s after 20 to warm up." in latency
    row = found(r"at most, with 99% confidence</th>(.*?)</tr>", latency)
    assert re.findall(r"<td>(.*?)</td>", row) == ["–", "17.90", "21.90", "26.25"]
    assert "<dt>power mode</dt><dd>MAXN</dd>" in latency
    assert "<dt>machine looked at</dt><dd>13 times in 12 s</dd>" in latency
    assert "<dt>drift from first to last quarter</dt><dd>+1.2%</dd>" in latency


def test_a_percentile_that_is_not_claimed_is_a_dash_with_its_reason(job: Job) -> None:
    path = job.inputs["profile-edge"] / "profile.json"
    profile = read_record(path, ProfileMetrics)
    few = replace(
        profile, samples=200, total=replace(profile.total, p99=None), conditions=None, bounds={}
    )
    write_record(path, few)
    text = page(job)
    assert "to warm up; no p99: there are 200 samples, and it asks for 459." in text
    rows = re.findall(r'<th scope="row">Total</th>(.*?)</tr>', text, re.DOTALL)
    assert [re.findall(r"<td>(.*?)</td>", row)[3] for row in rows] == ["24.00", "–"]


def test_a_profile_of_an_earlier_release_is_shown_as_it_was(job: Job) -> None:
    path = job.inputs["profile-edge"] / "profile.json"
    old = json.loads(path.read_text())
    for later in ("samples", "seconds", "bounds", "conditions"):
        del old[later]
    path.write_text(json.dumps({**old, "repeats": 200}))
    assert "ms over 200 samples after 20 to warm up." in page(job)


def test_doubts_about_the_latency_are_beside_it(job: Job) -> None:
    latency = page(job).split('id="latency"')[1].split("</section>")[0]
    assert "<li>the clocks were not locked: sudo jetson_clocks</li>" in latency


def test_unknown_figures_are_dashes(job: Job) -> None:
    row = found(r'<th scope="row">AP large</th>(.*?)</tr>', page(job))
    assert re.findall(r"<td[^>]*>(.*?)</td>", row)[1:] == 6 * ["–"]


def test_charts_take_their_colours_from_the_page(job: Job) -> None:
    svg = found(r"<figcaption>AP</figcaption>(<svg.*?</svg>)", page(job))
    assert "var(--series-1)" in svg
    assert "var(--series-2)" in svg
    assert not re.findall(r"#[0-9a-f]{6}\b", svg)
    assert "AP by epoch: AP from 0.167 to 0.5" in svg
    assert "DejaVu" not in svg


def test_equal_inputs_give_an_equal_page(job: Job, tmp_path: Path) -> None:
    assert page(job) == page(replace(job, output=tmp_path / "again"))


def test_preprocessing_is_told_once_where_it_is_the_same(job: Job) -> None:
    notes = re.findall(r"Preprocessing of (.*?): (.*?)\.</p>", page(job))
    assert notes == [
        ("Base", "input size 64, 64; keep ratio no"),
        ("Checkpoint, pc, edge", "input size 64, 64; keep ratio yes"),
    ]


def test_an_output_that_repeats_a_drawn_picture_is_left_out(job: Job) -> None:
    for name in ("checkpoint", *TARGETS):
        folder = job.inputs[f"evaluation-{name}"]
        output = next(folder.glob("output_*.jpg"))
        output.write_bytes((folder / "pictures" / "01.jpg").read_bytes())
    text = page(job)
    assert text.count("<img ") == 2 * 3
    assert "First picture" not in text


def test_pictures_are_made_small(job: Job) -> None:
    assert len(page(job)) < 500_000


def test_verdict_passes_on_good_evidence(job: Job) -> None:
    outcome, gates = judged(job)
    assert outcome == "pass"
    assert len(gates) == 5


def test_a_missing_evaluation_fails(job: Job) -> None:
    (job.inputs["evaluation-edge"] / "metrics.json").unlink()
    outcome, gates = judged(job)
    assert outcome == "fail"
    assert [name for name, result in gates.items() if result == "fail"] == [
        "min_AP50:edge",
        "max_AP_difference:edge",
    ]


def test_a_figure_that_is_text_is_no_evidence(job: Job) -> None:
    path = job.inputs["evaluation-pc"] / "metrics.json"
    path.write_text(re.sub(r'"AP": [\d.]+', '"AP": "0.9"', path.read_text(), count=1))
    with pytest.raises(ContractError, match="AP"):
        report.run(job)
    assert not job.output.exists()


def test_not_a_number_in_a_file_is_no_record(job: Job) -> None:
    path = job.inputs["evaluation-pc"] / "metrics.json"
    path.write_text(re.sub(r'"AP": [\d.]+', '"AP": NaN', path.read_text(), count=1))
    with pytest.raises(ContractError, match="AP: nan is no number"):
        judged(job)


def test_predictions_that_are_not_the_figures_fail(job: Job) -> None:
    path = job.inputs["evaluation-pc"] / "predictions.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:6]))
    assert judged(job)[1]["min_AP50:pc"] == "fail"


def test_missing_predictions_are_no_interval(job: Job) -> None:
    (job.inputs["evaluation-pc"] / "predictions.json").unlink()
    assert judged(job)[1]["min_AP50:pc"] == "inconclusive"


def test_swapped_evaluations_fail(job: Job) -> None:
    one, other = job.inputs["evaluation-checkpoint"], job.inputs["evaluation-pc"]
    swapped = {**job.inputs, "evaluation-checkpoint": other, "evaluation-pc": one}
    outcome, gates = judged(replace(job, inputs=swapped))
    assert outcome == "fail"
    assert gates["min_AP50:checkpoint"] == gates["max_AP_difference:pc"] == "fail"


def test_a_report_of_little_is_still_a_page(job: Job) -> None:
    inputs = {name: job.inputs[name] for name in ("dataset", "checkpoint")}
    (inputs["checkpoint"] / "metrics.json").unlink()
    (inputs["dataset"] / "summary.json").unlink()
    text = page(replace(job, inputs=inputs, artifacts=()))
    Reader(text)
    assert 'class="verdict fail"' in text
    for sentence in ("No pictures", "No engine was profiled."):
        assert sentence in text


def headings(text: str) -> list[str]:
    return re.findall(r"<h2[^>]*>(.*?)</h2>", text)


def test_a_given_export_has_no_training_to_show(job: Job) -> None:
    """Its checkpoint was trained elsewhere: the evaluation alone came along."""
    given = {name: path for name, path in job.inputs.items() if name != "checkpoint"}
    text = page(replace(job, inputs=given))
    Reader(text)
    assert "Training" not in headings(text)
    assert "No curves" not in text


def test_a_training_without_curves_says_so(job: Job) -> None:
    path = job.inputs["checkpoint"] / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "curves": {}}))
    text = page(job)
    assert "Training" in headings(text)
    assert "trained on cpu." in text
    assert "No curves were recorded." in text


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (difference(0.5, 0.5004), "−0.0004"),
        (difference(0.5, 0.50001), "0.0000"),
        (difference(0.6, 0.5), "+0.1000"),
        (difference(None, 0.5), "–"),
        (filesize(999), "999 B"),
        (filesize(999_999), "1.0 MB"),
        (filesize(21_340_000), "21.3 MB"),
        (duration(1.23), "1.2 s"),
        (duration(125), "2 min 05 s"),
        (duration(59.99), "1 min 00 s"),
        (duration(3725), "1 h 02 min"),
        (fact(0.25), "0.25"),
        (fact([1e-9, float("inf"), float("nan"), None, True]), "0, –, –, –, yes"),
    ],
)
def test_numbers_are_shown_as_people_read_them(shown: str, expected: str) -> None:
    assert shown == expected


def test_the_proof_is_shown_where_there_is_one(job: Job, tmp_path: Path) -> None:
    assert "PyTorch and its partner" not in page(job)

    network = NetworkComparison(271, ())
    shown = page(with_proof(job, tmp_path / "proof", TARGETS[0], network))

    section = found(r'<section aria-labelledby="proof">(.*?)</section>', shown)
    rows = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)
        for row in re.findall(r"<tr>(.*?)</tr>", section, re.DOTALL)
    ]
    assert rows[1:] == [
        ["PyTorch", "0.2034", "–", "–", "–", "–", "–", "–"],
        ["documented graph", "0.2033", "41", "2", "1", "0", "0.1250%", "0.000004"],
        ["engine", "0.2011", "41", "2", "1", "0", "0.0025%", "0.000050"],
    ]
    assert "each of their 271 nodes" in section
    assert '<span class="grade">emulated</span>' in section


def must_be_proven(job: Job) -> Job:
    return replace(job, parameters=replace(job.parameters, proofs={TARGETS[0]: FP32}))


def test_what_the_proof_says_is_among_the_gates(job: Job, tmp_path: Path) -> None:
    """Three of 44 detections without a partner are more than an engine in fp32 may have."""
    folder = tmp_path / "proof"
    asked = must_be_proven(with_proof(job, folder, TARGETS[0], NetworkComparison(271, ())))

    outcome, gates = judged(asked)
    shown = (asked.output / "report.html").read_text()

    assert (outcome, gates[f"proof:{TARGETS[0]}"]) == ("fail", "fail")
    assert "1 missing, 0 extra, 2 beyond" in found(r'<ul class="gates">(.*?)</ul>', shown)
    proof = read_record(folder / "proof.json", Proof)
    good = replace(proof.models["engine"], deviation=Deviation(matched=41))
    write_record(folder / "proof.json", replace(proof, models={"engine": good}))
    assert judged(asked)[0] == "pass"


def test_a_missing_proof_fails(job: Job) -> None:
    outcome, gates = judged(must_be_proven(job))

    assert (outcome, gates[f"proof:{TARGETS[0]}"]) == ("fail", "fail")


def test_a_detector_without_a_documented_graph_says_so(job: Job, tmp_path: Path) -> None:
    shown = page(with_proof(job, tmp_path / "proof", TARGETS[0]))

    assert "no documented graph to compare the network with" in shown


def test_a_network_that_differs_is_named(job: Job, tmp_path: Path) -> None:
    network = NetworkComparison(3, ("Conv_1 against <a>: the weights",))
    shown = page(with_proof(job, tmp_path / "proof", TARGETS[0], network))

    assert "differ: Conv_1 against &lt;a&gt;: the weights." in shown


def test_time_on_the_gpu_is_left_out_where_there_is_none(job: Job) -> None:
    assert "without copies" not in page(job)


def test_what_gates_find_is_the_result_of_the_stage(job: Job) -> None:
    (job.inputs["evaluation-pc"] / "predictions.json").unlink()
    result = report.run(job)
    assert result.metrics["verdict"] == "inconclusive"
    assert result.warnings == (
        "AP50 of the engine for pc is 1.000, but 12 pictures are too few to compare it with 0.600.",
    )


def test_the_interval_of_ap50_is_kept_for_who_compares_reports(job: Job) -> None:
    (job.inputs["evaluation-edge"] / "predictions.json").unlink()
    known = report.run(job).metrics["AP50_intervals"]
    assert isinstance(known, dict)
    assert set(known) == {"checkpoint", "pc"}
    low, high = known["checkpoint"]
    assert 0 <= low <= high <= 1


def test_a_report_without_gates_is_no_pass(job: Job) -> None:
    parameters = replace(job.parameters, gates={})
    assert judged(replace(job, parameters=parameters)) == ("inconclusive", {})


def test_a_report_says_that_accuracy_was_not_judged(job: Job, tmp_path: Path) -> None:
    said = "How accurate it is was not judged: [gates] has no min_AP50."
    assert said not in page(job)
    proven = must_be_proven(with_proof(job, tmp_path / "proof", TARGETS[0]))
    assert said in page(replace(proven, parameters=replace(proven.parameters, gates={})))


def test_gates_judge_the_checkpoint_and_every_engine(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Measured] = []

    def judge(
        _: Mapping[str, float], proofs: Mapping[str, Tolerances], measured: Measured
    ) -> list[GateResult]:
        seen.append(measured)
        return []

    monkeypatch.setattr(report, "judge", judge)
    report.run(job)

    (measured,) = seen
    assert measured.pictures == PICTURES
    assert measured.checkpoint is not None
    assert measured.checkpoint.metrics.subject == "checkpoint"
    for target in TARGETS:
        engine = measured.engines[target]
        assert engine is not None
        assert engine.ap50_interval is not None
