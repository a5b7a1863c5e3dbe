"""``analysis.json`` of an evaluation: what its detections say beyond AP, for whoever deploys them.

A detection counts as right where it meets an object of its class with an IoU of `IOU` at least,
each object once, the best score first, as in COCO's AP50; crowds count neither for nor against.
Thresholds lie between two scores, also once these are rounded: write them in full, since 0.61 may
select other detections than 0.6125. docs/evaluation.md has the formulas.
"""

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

ANALYSIS = "analysis.json"
THRESHOLDS = "thresholds.json"
WORST = "worst"
"""The folder of an evaluation with drawings of the pictures that went worst."""
IOU = 0.5

ERROR_TYPES = ("class", "localisation", "both", "duplicate", "background", "missed")
"""In the order in which TIDE (Bolya and others, 2020, arXiv:2008.08115) asks for them."""

WORST_KINDS = ("false alarms", "misses", "wrong class")
"""What a picture can be drawn for, in the order in which the drawings are listed."""


@dataclass(frozen=True)
class OperatingPoint:
    """What is found by the detections whose score is ``threshold`` at least.

    ``precision`` is None where nothing is detected, ``recall`` where there is nothing to detect;
    ``f1`` where one of them is None. All lie between 0 and 1.
    """

    threshold: float
    precision: Optional[float]
    recall: Optional[float]
    f1: Optional[float]


@dataclass(frozen=True)
class ScoreCurve:
    """Operating points over the score, thinned to a few hundred, ``points`` by rising threshold.

    ``best_f1`` is the exact best of all thresholds, the highest threshold of several alike.
    ``wished`` has the wished precision or more with as high a recall as can be; None where no
    precision is wished, or none reaches it. Both are None where no detection is right.
    """

    objects: int
    points: Tuple[OperatingPoint, ...]
    best_f1: Optional[OperatingPoint]
    wished: Optional[OperatingPoint] = None

    @property
    def deploy(self) -> Optional[OperatingPoint]:
        """The point to deploy: the wished one, or the best F1 where there is none."""
        return self.wished or self.best_f1


@dataclass(frozen=True)
class SizeBand:
    """Objects whose box, at the network's input, has a side (root of its area) in a range.

    ``low`` and ``high`` are in pixels there, ``high`` None for no end. ``ap`` and ``ap50`` are
    COCO's for that range of areas, None where there is no object in it.
    """

    low: float
    high: Optional[float]
    objects: int
    ap: Optional[float]
    ap50: Optional[float]


@dataclass(frozen=True)
class ErrorSplit:
    """How much AP50 would rise if all errors of a type were mended, as TIDE splits them.

    ``ap50`` is TIDE's, of the 100 best detections of a picture, of all classes together; COCO's has
    100 of each class. ``counts`` leave out what lies in crowds. All but they are between 0 and 1.
    ``ap50_lost`` and ``counts`` are by `ERROR_TYPES`; ``false_alarms`` and ``misses`` are TIDE's
    two special ones, of all wrong detections and of all objects not found.
    """

    ap50: float
    ap50_lost: Mapping[str, float]
    counts: Mapping[str, int]
    false_alarms: float
    misses: float


@dataclass(frozen=True)
class PictureResult:
    """What happened on a picture at the threshold to deploy.

    ``wrong_class`` are detections that cover an object of another class that no right one found;
    neither they nor these objects count as false alarms or misses, so that ``objects`` is the sum
    of ``right``, ``misses`` and ``wrong_class``. ``lost`` is how much AP50, between 0 and 1, would
    rise if exactly the objects of this picture were detected, before all else.
    """

    name: str
    objects: int
    right: int
    false_alarms: int
    misses: int
    wrong_class: int
    lost: float


@dataclass(frozen=True)
class WorstPicture:
    """A drawing with detections and ground truth: a picture that went badly.

    ``file`` is a name in ``WORST``; a drawing may show a picture that is listed for several kinds.
    ``kind`` is of `WORST_KINDS`; of each, the worst come first.
    ``false_alarms`` counts those on it by `ERROR_TYPES`, without noughts; one that TIDE does not
    judge, behind the 100 best of the picture, is of none.
    """

    name: str
    file: str
    kind: str
    false_alarms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Analysis:
    """All of it. ``confusion[t][d]`` counts objects of class t that were detected as class d.

    The last row is the background, detected where there is no object, the last column are objects
    that were not found. ``deploy`` is the point to deploy: of ``together`` the one for the wished
    precision, else, also where none reaches that, the one of the best F1; None where no detection
    is right. ``confusion``, ``pictures`` and ``worst`` are from the score ``threshold`` on:
    deploy's, or where there is none the score from which on pictures are drawn.
    """

    classes: Tuple[str, ...]
    wished_precision: Optional[float]
    deploy: Optional[OperatingPoint]
    threshold: float
    together: ScoreCurve
    per_class: Mapping[str, ScoreCurve]
    precision_recall: Mapping[str, Tuple[float, ...]]
    """Precision at COCO's 101 recall levels and an IoU of `IOU`, by class that has objects."""
    confusion: Tuple[Tuple[int, ...], ...]
    sizes: Tuple[SizeBand, ...]
    errors: Optional[ErrorSplit]
    pictures: Tuple[PictureResult, ...]
    worst: Tuple[WorstPicture, ...]

    @property
    def reason(self) -> str:
        """Why ``deploy`` is it: the end of a sentence, as in `Thresholds`."""
        pictures = len(self.pictures)
        over = f"over {pictures} validation picture{'' if pictures == 1 else 's'}"
        if self.wished_precision is None:
            return f"the best F1 {over}"
        wished = f"a precision of {self.wished_precision:g}"
        if self.together.wished is None:
            return f"the best F1 {over}, where no threshold has {wished}"
        return f"{wished} or more with the highest recall {over}"


@dataclass(frozen=True)
class Thresholds:
    """``thresholds.json``, which lies beside a checked-out engine, for ``infer.py``.

    ``reason`` ends a sentence that says why it is this one: "the best F1 over 80 validation
    pictures". ``evaluation`` is the digest of what it was taken from, "" where that has none yet.
    """

    deploy: OperatingPoint
    reason: str
    per_class: Mapping[str, OperatingPoint]
    evaluation: str = ""

    @classmethod
    def of(cls, analysis: Analysis, evaluation: str = "") -> Optional["Thresholds"]:
        """Take them from an analysis; None where it has none to deploy.

        A class has its own threshold by the same rule, or none where no detection of it is right.
        """
        if analysis.deploy is None:
            return None
        curves = analysis.per_class.items()
        points = {name: curve.deploy for name, curve in curves}
        per_class = {name: point for name, point in points.items() if point is not None}
        return cls(analysis.deploy, analysis.reason, per_class, evaluation)
