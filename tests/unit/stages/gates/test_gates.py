"""Every way in which evidence can be missing, wrong or too thin, and what a gate makes of it."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from mmdet_jetson.stages.evaluation.coco_figures import coco_figures
from mmdet_jetson.stages.gates.gates import (
    FAIL,
    INCONCLUSIVE,
    PASS,
    Evidence,
    Gate,
    Interval,
    judge,
    verdict,
)
from mmdet_jetson.stages.reporting.intervals import ap50_interval

LIMITS = {"min_AP50": 0.6, "max_AP_difference": 0.002}
SURE = Interval(0.9, 0.85, 0.95)


def evidence(subject="engine", *, ap=0.7, ap50=0.9, pictures=20, detections=50, interval=SURE):
    figures = {"AP": ap, "AP50": ap50}
    return Evidence(subject, figures, pictures, detections, interval)


def outcomes(checkpoint, engine, limits=None, pictures=20):
    gates = judge(limits or LIMITS, checkpoint, {"pc": engine}, pictures)
    return {gate.name: gate.outcome for gate in gates}


def test_good_evidence_passes_every_gate():
    gates = judge(LIMITS, evidence("checkpoint"), {"pc": evidence(), "orin": evidence()}, 20)
    assert [gate.name for gate in gates] == [
        "min_AP50:checkpoint",
        "min_AP50:pc",
        "min_AP50:orin",
        "max_AP_difference:pc",
        "max_AP_difference:orin",
    ]
    assert {gate.outcome for gate in gates} == {PASS}
    assert verdict(gates) == PASS
    assert gates[1].sentence == (
        "AP50 of the engine for pc is 0.900 (95% interval 0.850 to 0.950 over 20 pictures), "
        "at least 0.600."
    )


@pytest.mark.parametrize(
    "engine",
    [
        None,
        evidence(ap=math.nan, ap50=math.nan),
        evidence(ap=None, ap50=None),
        evidence(ap="0.9", ap50="0.9"),
        evidence(ap=True, ap50=True),
        evidence(ap=-1, ap50=-1),
        evidence(ap=math.inf, ap50=math.inf),
        Evidence("engine", {}, 20, 50, SURE),
        evidence(subject="checkpoint"),
        evidence(subject="base"),
        evidence(pictures=19),
        evidence(pictures=0),
        evidence(detections=0, interval=None),
    ],
    ids=[
        "absent",
        "nan",
        "null",
        "text",
        "boolean",
        "negative",
        "infinite",
        "no-figures",
        "swapped",
        "base",
        "other-pictures",
        "no-pictures",
        "no-detections",
    ],
)
def test_evidence_that_proves_nothing_fails_both_gates(engine):
    result = outcomes(evidence("checkpoint"), engine)
    assert result == {"min_AP50:checkpoint": PASS, "min_AP50:pc": FAIL, "max_AP_difference:pc": FAIL}


def test_checkpoint_and_engine_swapped_fail_everything():
    assert set(outcomes(evidence("engine"), evidence("checkpoint")).values()) == {FAIL}


def test_a_missing_checkpoint_fails_the_drop_of_a_good_engine():
    result = outcomes(None, evidence())
    assert result == {"min_AP50:checkpoint": FAIL, "min_AP50:pc": PASS, "max_AP_difference:pc": FAIL}


def test_an_empty_validation_set_fails():
    empty = evidence("checkpoint", pictures=0), evidence(pictures=0)
    assert set(outcomes(*empty, pictures=0).values()) == {FAIL}


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        (Interval(0.62, 0.60, 0.70), PASS),
        (Interval(0.62, 0.55, 0.70), INCONCLUSIVE),
        (Interval(0.62, 0.50, 0.61), INCONCLUSIVE),
        (Interval(0.90, 0.85, 0.95), FAIL),
        (Interval(math.nan, math.nan, math.nan), FAIL),
        (None, INCONCLUSIVE),
    ],
    ids=["above", "holds-limit", "point-outside", "other-predictions", "nan", "too-few"],
)
def test_min_ap50_over_the_limit_needs_an_interval_over_the_limit(interval, outcome):
    engine = evidence(ap50=0.62, interval=interval)
    assert outcomes(evidence("checkpoint"), engine)["min_AP50:pc"] == outcome


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        (Interval(0.58, 0.50, 0.59), FAIL),
        (Interval(0.58, 0.50, 0.60), INCONCLUSIVE),
        (Interval(0.58, 0.61, 0.70), INCONCLUSIVE),
    ],
    ids=["below", "holds-limit", "point-outside"],
)
def test_min_ap50_under_the_limit_needs_an_interval_under_the_limit(interval, outcome):
    engine = evidence(ap50=0.58, interval=interval)
    assert outcomes(evidence("checkpoint"), engine)["min_AP50:pc"] == outcome


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (0.5, 0.4985, PASS),
        (0.5, 0.49, FAIL),
        (0.5, 0.51, FAIL),
        (0.0, 0.0, INCONCLUSIVE),
        (0.002, 0.001, INCONCLUSIVE),
        (0.002, 0.01, FAIL),
    ],
    ids=["near", "drop", "rise", "zero", "too-low-to-drop", "low-but-apart"],
)
def test_max_drop_compares_points(before, after, outcome):
    result = outcomes(evidence("checkpoint", ap=before), evidence(ap=after))
    assert result["max_AP_difference:pc"] == outcome


def test_a_gate_without_a_limit_is_not_judged():
    gates = outcomes(None, None, {"min_AP50": None, "max_AP_difference": 0.002})
    assert gates == {"max_AP_difference:pc": FAIL}
    assert judge({"min_AP50": None, "max_AP_difference": None}, None, {}, 0) == []


def test_a_gate_that_does_not_exist_is_an_error():
    with pytest.raises(ValueError, match="min_AP5"):
        judge({"min_AP5": 0.6}, evidence("checkpoint"), {}, 20)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([PASS, PASS], PASS),
        ([PASS, INCONCLUSIVE], INCONCLUSIVE),
        ([INCONCLUSIVE, FAIL, PASS], FAIL),
        ([], INCONCLUSIVE),
    ],
)
def test_verdict(given, expected):
    assert verdict([Gate("gate", outcome, None, 0.0, "") for outcome in given]) == expected


def annotations(folder, pictures):
    """One square object a picture, of two classes in turn."""
    path = folder / "val.json"
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 100} for i in range(pictures)
        ],
        "annotations": [
            {
                "id": i + 1,
                "image_id": i,
                "category_id": 1 + i % 2,
                "bbox": [10, 10, 40, 40],
                "area": 1600,
                "iscrowd": 0,
            }
            for i in range(pictures)
        ],
        "categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "jug"}],
    }
    path.write_text(json.dumps(content))
    return path


def found(pictures, every=1):
    return [
        {"image_id": i, "category_id": 1 + i % 2, "bbox": [10, 10, 40, 40], "score": 0.9}
        for i in range(0, pictures, every)
    ]


def test_interval_of_perfect_predictions_has_no_width(tmp_path):
    interval = ap50_interval(annotations(tmp_path, 20), found(20))
    assert interval.point == pytest.approx(1)
    assert interval.low == pytest.approx(1)


def test_interval_surrounds_the_point_and_narrows_with_more_pictures(tmp_path):
    def third_missing(pictures):
        return [p for p in found(pictures) if p["image_id"] % 3]

    few = ap50_interval(annotations(tmp_path, 18), third_missing(18))
    many = ap50_interval(annotations(tmp_path, 288), third_missing(288))
    assert few.low < few.point < few.high
    # Width falls with the root of the number of pictures: 16 times as many, a quarter as wide.
    assert (many.high - many.low) / (few.high - few.low) == pytest.approx(0.25, rel=0.35)


def test_interval_is_reproducible_and_leaves_predictions_alone(tmp_path):
    path, predictions = annotations(tmp_path, 30), found(30, every=3)
    before = json.dumps(predictions)
    assert ap50_interval(path, predictions) == ap50_interval(path, predictions)
    assert json.dumps(predictions) == before


def crowded(folder, copies):
    """Pictures with good, bad, doubled and crowd detections; ``copies[i]`` of picture i."""
    rng = np.random.default_rng(3)
    images, objects, predictions = [], [], []
    for number, copy in enumerate(copies):
        boxes = rng.uniform(5, 60, size=(6, 4)).round(1).tolist()
        labels = rng.integers(1, 4, size=6).tolist()
        scores = rng.uniform(size=6).tolist()
        for _ in range(copy):
            image = len(images)
            images.append({"id": image, "file_name": f"{image}.jpg", "width": 99, "height": 99})
            for i, (box, label, score) in enumerate(zip(boxes, labels, scores, strict=True)):
                found = {"image_id": image, "category_id": label, "bbox": box, "score": score}
                crowd = int(i == 3 and number % 2)
                if i < 5:
                    known = {"image_id": image, "category_id": label, "bbox": box, "area": 400}
                    objects.append({**known, "id": len(objects) + 1, "iscrowd": crowd})
                if i > 0:
                    predictions += [found, {**found, "score": score / 2}]
    categories = [{"id": i, "name": f"class {i}"} for i in (1, 2, 3, 4)]
    path = folder / "crowded.json"
    path.write_text(
        json.dumps({"images": images, "annotations": objects, "categories": categories})
    )
    return path, predictions


def test_interval_point_is_the_coco_figure(tmp_path):
    path, predictions = crowded(tmp_path, [1] * 20)
    expected = coco_figures(path, predictions).figures["AP50"]
    assert 0.1 < expected < 0.9
    assert ap50_interval(path, predictions).point == pytest.approx(expected, abs=1e-12)


def test_a_picture_drawn_twice_counts_as_two_pictures(tmp_path, monkeypatch):
    draw = [0, 0, 0, 1, 4, 4, 6, 7, 8, 9, 9, 11]
    counts = [draw.count(i) for i in range(12)]
    expected = coco_figures(*crowded(tmp_path, counts)).figures["AP50"]
    path, predictions = crowded(tmp_path, [1] * 12)
    one_draw = SimpleNamespace(integers=lambda low, high, size: np.array([draw]))
    monkeypatch.setattr(np.random, "default_rng", lambda seed: one_draw)
    interval = ap50_interval(path, predictions, resamples=1)
    assert interval.low == pytest.approx(expected, abs=1e-12)
    assert interval.low != pytest.approx(interval.point, abs=1e-3)


def test_no_interval_of_too_little(tmp_path):
    assert ap50_interval(annotations(tmp_path, 9), found(9)) is None
    assert ap50_interval(annotations(tmp_path, 20), []) is None
