"""Analyses of evaluations that nobody made, of any size, and the drawings that belong to them."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mmdet_jetson.contract.analysis import (
    ANALYSIS,
    ERROR_TYPES,
    WORST,
    WORST_KINDS,
    Analysis,
    ErrorSplit,
    OperatingPoint,
    PictureResult,
    ScoreCurve,
    SizeBand,
    WorstPicture,
)
from mmdet_jetson.contract.records import write_record


def operating_point(threshold: float, ease: float = 1.0) -> OperatingPoint:
    precision = round(min(1.0, 0.3 + 0.7 * threshold**0.5), 4)
    recall = round(ease * (1 - threshold**2.5), 4)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else None
    return OperatingPoint(threshold, precision, recall, f1)


def score_curve(objects: int, ease: float = 1.0, wished: float | None = None) -> ScoreCurve:
    points = tuple(operating_point(i / 200, ease) for i in range(200))
    best = max(points, key=lambda each: (each.f1 or 0, each.threshold))
    reach = [each for each in points if wished and (each.precision or 0) >= wished]
    chosen = max(reach, key=lambda each: each.recall or 0, default=None)
    return ScoreCurve(objects, points, best, chosen)


def made_analysis(
    pictures: int = 13,
    classes: tuple[str, ...] = ("mug", "ball"),
    *,
    wished: float | None = None,
    worst: int = 4,
    seed: int = 0,
) -> Analysis:
    """An analysis whose parts have the sizes of a real one; they agree with each other roughly."""
    random = np.random.default_rng(seed)
    eases = random.uniform(0.5, 1, len(classes))
    together = score_curve(3 * pictures, float(eases.mean()), wished)
    results = [_result(random, at) for at in range(pictures)]
    by_kind = {
        "false alarms": lambda each: -each.false_alarms,
        "misses": lambda each: -each.misses,
        "wrong class": lambda each: -each.wrong_class,
    }
    return Analysis(
        classes=classes,
        wished_precision=wished,
        deploy=together.deploy,
        threshold=(together.deploy or operating_point(0.3)).threshold,
        together=together,
        per_class={
            name: score_curve(3 * pictures // len(classes), float(ease), wished)
            for name, ease in zip(classes, eases, strict=True)
        },
        precision_recall={
            name: tuple(round(float(max(0, ease - (level / 100) ** 4)), 4) for level in range(101))
            for name, ease in zip(classes, eases, strict=True)
        },
        confusion=_confusion(random, len(classes), pictures),
        sizes=(
            SizeBand(0, 16, 3, 0.05, 0.11),
            SizeBand(16, 32, 20, 0.31, 0.62),
            SizeBand(32, 96, 40, 0.62, 0.93),
            SizeBand(96, None, 0, None, None),
        ),
        errors=ErrorSplit(
            ap50=0.81,
            ap50_lost=dict(zip(ERROR_TYPES, (0.01, 0.032, 0.002, 0.0, 0.041, 0.09), strict=True)),
            counts=dict(zip(ERROR_TYPES, (3, 11, 1, 0, 24, 17), strict=True)),
            false_alarms=0.05,
            misses=0.11,
        ),
        pictures=tuple(results),
        worst=tuple(
            WorstPicture(each.name, f"{kind.replace(' ', '-')}-{at}.jpg", kind)
            for kind in WORST_KINDS
            for at, each in enumerate(sorted(results, key=by_kind[kind])[:worst])
        ),
    )


def write_analysis(folder: Path, analysis: Analysis, size: tuple[int, int] = (640, 480)) -> None:
    """Write the record, and a drawing for each of its worst pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder / ANALYSIS, analysis)
    (folder / WORST).mkdir(exist_ok=True)
    random = np.random.default_rng(1)
    for at, each in enumerate(analysis.worst):
        coarse = random.integers(0, 255, (size[1] // 16, size[0] // 16, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
        cv2.putText(picture, f"{each.kind} {at}", (20, 60), 0, 1.5, (255, 255, 255), 3)
        assert cv2.imwrite(str(folder / WORST / each.file), picture)


def without_threshold(analysis: Analysis) -> Analysis:
    """The same where nothing was detected."""
    nothing = ScoreCurve(analysis.together.objects, (), None)
    return replace(
        analysis,
        deploy=None,
        threshold=0.3,
        together=nothing,
        per_class=dict.fromkeys(analysis.classes, nothing),
        precision_recall=dict.fromkeys(analysis.classes, (0.0,) * 101),
        errors=None,
        worst=(),
    )


def _result(random: np.random.Generator, at: int) -> PictureResult:
    objects = int(random.integers(0, 8))
    right = int(random.integers(0, objects + 1))
    wrong = int(random.integers(0, 2))
    return PictureResult(
        name=f"site-{at % 7}/frame_{at:06}.jpg",
        objects=objects,
        right=right,
        false_alarms=int(random.poisson(0.5)),
        misses=objects - right,
        wrong_class=wrong,
        lost=float(round(random.exponential(0.002), 6)),
    )


def _confusion(
    random: np.random.Generator, classes: int, pictures: int
) -> tuple[tuple[int, ...], ...]:
    counts = random.poisson(0.02 * pictures / classes, (classes + 1, classes + 1))
    counts[range(classes), range(classes)] = random.poisson(2 * pictures / classes, classes)
    counts[-1, -1] = 0
    return tuple(tuple(int(each) for each in row) for row in counts)
