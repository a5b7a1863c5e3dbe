import json
from pathlib import Path

import pytest

from mmdet_jetson.contract.analysis import THRESHOLDS, OperatingPoint, Thresholds
from mmdet_jetson.contract.records import write_record
from mmdet_jetson.stages.engines.thresholds import of_each_class, threshold_of
from mmdet_jetson.stages.errors import StageError

DEPLOY = OperatingPoint(0.4123456, precision=0.93, recall=0.875, f1=0.9)
KITE = OperatingPoint(0.61, precision=0.5, recall=None, f1=None)


def written(folder: Path, **changes: object) -> Path:
    named = Thresholds(DEPLOY, "the best F1 over 80 validation pictures", {"kite": KITE})
    write_record(folder / THRESHOLDS, named)
    content = json.loads((folder / THRESHOLDS).read_text())
    (folder / THRESHOLDS).write_text(json.dumps({**content, **changes}))
    return folder


def test_it_is_what_the_file_says_and_why(tmp_path: Path) -> None:
    threshold = threshold_of(written(tmp_path))

    assert threshold.score == 0.4123456
    assert threshold.sentence() == (
        "threshold 0.4123456: the best F1 over 80 validation pictures (precision 0.930, recall "
        "0.875)"
    )


def test_without_a_file_it_is_the_usual_one_and_says_so(tmp_path: Path) -> None:
    threshold = threshold_of(tmp_path)

    assert threshold.score == 0.3
    assert threshold.sentence() == ("threshold 0.3: there is no thresholds.json beside the engine")


def test_each_class_has_its_own_or_the_common_one(tmp_path: Path) -> None:
    threshold = of_each_class(threshold_of(written(tmp_path)), ["balloon", "kite"])

    assert threshold.per_class == {"balloon": 0.4123456, "kite": 0.61}
    assert threshold.sentence(chosen=True) == (
        "thresholds balloon 0.4123456, kite 0.61: the best F1 over 80 validation pictures, class "
        "by class"
    )


@pytest.mark.parametrize(
    ("folder_of", "message"),
    [
        (written, "for kite, which is no class of the engine"),
        (lambda at: written(at, per_class={}), "no thresholds for single classes"),
        (lambda at: at, "no thresholds for single classes"),
    ],
)
def test_thresholds_of_other_classes_are_refused(tmp_path: Path, folder_of, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StageError, match=message):
        of_each_class(threshold_of(folder_of(tmp_path)), ["balloon"])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_text("{"), "is not JSON"),
        (lambda path: path.write_text("[]"), "not an object"),
        (lambda path: written(path.parent, reason=3), "is not of type str"),
        (lambda path: written(path.parent, more=3), "has no 'more'"),
        (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
        (
            lambda path: written(
                path.parent, deploy={"threshold": 1.5, "precision": 1, "recall": 1, "f1": 1}
            ),
            "1.5 is no score from 0 to 1",
        ),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, damage, reason: str) -> None:  # type: ignore[no-untyped-def]
    written(tmp_path)
    damage(tmp_path / THRESHOLDS)

    with pytest.raises(StageError, match=reason) as refused:
        threshold_of(tmp_path)
    assert refused.value.message.startswith(f"{tmp_path / THRESHOLDS} is damaged: ")
    assert "--threshold SCORE" in refused.value.hint
