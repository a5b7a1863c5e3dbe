"""The gates that compare AP: an engine with its checkpoint, figures, and what is in the channel."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

import msgspec
import numpy as np
import pytest
from small_matches import ALL, matches

from mmdet_jetson.contract.report import (
    CHECKPOINT,
    FAIL,
    INCONCLUSIVE,
    PASS,
    EvaluationMetrics,
)
from mmdet_jetson.promotion.accuracy import (
    Matches,
    average_precision,
    average_precision_at,
    precision_of_classes,
)
from mmdet_jetson.promotion.evidence import Case, Incumbent, Unusable
from mmdet_jetson.promotion.gates import GATES
from mmdet_jetson.promotion.policy import Policy
from mmdet_jetson.promotion.verdicts import Judged

ENGINE = "orin"


@dataclass
class Evidence:
    """A `Case` as far as these gates see one, with nothing read from anywhere."""

    found: Mapping[str, Matches | Unusable]
    policy: Policy
    incumbent: Incumbent | None = None
    said: Mapping[str, EvaluationMetrics] = field(default_factory=dict)
    channel: str = "production"
    heard: dict[str, str] = field(default_factory=dict)
    judged = Case.judged
    short = Case.short
    passed = Case.passed

    @property
    def targets(self) -> list[str]:
        return [each for each in self.found if each != CHECKPOINT]

    @property
    def subjects(self) -> list[str]:
        return [CHECKPOINT, *self.targets]

    def matches(self, subject: str) -> Matches:
        found = self.found[subject]
        if isinstance(found, Unusable):
            raise found
        return found

    def metrics(self, subject: str) -> EvaluationMetrics:
        return self.said.get(subject) or metrics_of(self.matches(subject))


def metrics_of(found: Matches, **figures: float | None) -> EvaluationMetrics:
    return EvaluationMetrics(
        subject="engine",
        evidence="measured",
        preprocessing={},
        figures={
            "AP": average_precision(found),
            "AP50": average_precision_at(found, 0.5),
            **figures,
        },
        per_class=precision_of_classes(found),
        pictures=len(found.pictures),
        detections=len(found.score),
    )


def judge(
    gate: str,
    stated: Mapping[str, object],
    checkpoint: Matches | Unusable,
    engine: Matches | Unusable | None = None,
    incumbent: Incumbent | None = None,
    **said: EvaluationMetrics,
) -> list[Judged]:
    found = {CHECKPOINT: checkpoint, **({ENGINE: engine} if engine else {})}
    policy = msgspec.convert({gate: stated} if stated else {}, Policy)
    case = Evidence(found, policy, incumbent, said)
    return list(GATES[gate](cast("Case", case)))


def only(said: list[Judged]) -> Judged:
    (one,) = said
    return one


accuracy = partial(judge, "accuracy", {"ratio": 0.99})


# accuracy


@pytest.mark.parametrize(
    ("engine", "checkpoint", "outcome", "says"),
    [
        (matches(1000), matches(1000), PASS, "at least 0."),
        (matches(1000, range(100)), matches(1000), FAIL, "below 0."),
        (matches(1000, range(4)), matches(1000), INCONCLUSIVE, "too uncertain to compare with 0."),
        (matches(200), matches(200), INCONCLUSIVE, "takes 919 at least"),
        (matches(200, range(40)), matches(200), FAIL, "below 0."),
        (matches(9), matches(9), INCONCLUSIVE, "9 pictures with an object: far too few"),
        (matches(1000), matches(1000, range(1000)), INCONCLUSIVE, "nothing to lose"),
    ],
    ids=["equal", "worse", "a-little", "few", "few-and-worse", "hardly-any", "nothing-found"],
)
def test_an_engine_beside_its_checkpoint(
    engine: Matches, checkpoint: Matches, outcome: str, says: str
) -> None:
    said = only(accuracy(checkpoint, engine))
    assert said.outcome == outcome
    assert says in said.sentence
    assert said.name == f"accuracy:{ENGINE}"


def test_what_was_measured_is_told() -> None:
    said = only(accuracy(matches(1000), matches(1000, range(4))))
    assert said.limit == 0
    assert said.unit == "AP"
    assert said.low is not None
    assert said.high is not None
    assert said.measured is not None
    assert said.measured == pytest.approx(100 / 101 - 0.99, abs=1e-6)
    assert said.low < 0 < said.measured < said.high
    assert said.sentence.startswith(
        "AP of the engine for orin is 0.9901 and of the checkpoint 1.0000; less 0.99 times that it "
    )
    assert "from 1000 pictures with an object" in said.sentence


def test_a_better_engine_on_few_pictures_does_not_pass() -> None:
    """Whatever was measured: what it may lose everything on was hardly seen."""
    said = only(accuracy(matches(900, range(450)), matches(900)))
    assert said.low is not None
    assert said.low > 0
    assert said.outcome == INCONCLUSIVE
    assert "takes 919 at least" in said.sentence
    assert only(accuracy(matches(920, range(460)), matches(920))).outcome == PASS


def test_the_class_that_is_missing_from_pictures_is_named() -> None:
    whole = matches(1000, classes=("common", "rare"))
    objects = whole.objects.copy()
    objects[20:, 1] = 0
    kept = (whole.label == 0) | (whole.picture < 20)
    names = ("picture", "label", "score", "matched", "ignored")
    rare = replace(whole, objects=objects, **{name: getattr(whole, name)[kept] for name in names})
    said = only(accuracy(rare, rare))
    assert said.outcome == INCONCLUSIVE
    assert "rare is on so few of them" in said.sentence


@pytest.mark.parametrize("ratio", [0.9, 0.97, 0.995])
def test_the_ratio_decides_how_many_pictures_it_takes(ratio: float) -> None:
    fewest = int(np.ceil(np.log(0.01) / np.log((1 + ratio) / 2)))
    stated = {"ratio": ratio}
    for count, outcome in ((fewest, PASS), (fewest - 1, INCONCLUSIVE)):
        same = matches(count)
        assert only(judge("accuracy", stated, same, same)).outcome == outcome


def test_no_less_at_all_is_shown_by_being_better() -> None:
    stated = {"ratio": 1.0}
    assert only(judge("accuracy", stated, matches(1000), matches(1000))).outcome == INCONCLUSIVE
    worse = matches(1000, range(200))
    assert only(judge("accuracy", stated, worse, matches(1000))).outcome == PASS


@pytest.mark.parametrize("outcome", [FAIL, INCONCLUSIVE])
def test_what_cannot_be_read_is_no_pass(outcome: str) -> None:
    broken = Unusable(outcome, "It is broken.")
    for checkpoint, engine in ((matches(1000), broken), (broken, matches(1000))):
        said = only(accuracy(checkpoint, engine))
        assert (said.outcome, said.sentence) == (outcome, "It is broken.")


def test_a_policy_that_states_nothing_asks_nothing() -> None:
    for gate in ("accuracy", "figures", "incumbent"):
        assert judge(gate, {}, matches(20), matches(20)) == []
    assert judge("figures", {"per_class": {}}, matches(20), matches(20)) == []


# figures


HALF = matches(20, range(10))  # AP 51 / 101


@pytest.mark.parametrize(
    ("stated", "outcome", "says"),
    [
        ({"AP": 0.5}, PASS, "AP is 0.5050, at least 0.5"),
        ({"AP": 0.51}, FAIL, "AP is 0.5050, below 0.51"),
        ({"AP50": 0.5}, PASS, "AP50 is 0.5050, at least 0.5"),
        ({"AP50": 0.51}, FAIL, "AP50 is 0.5050, below 0.51"),
        ({"AP": 0.5, "AP50": 0.6}, FAIL, "AP is 0.5050, at least 0.5; AP50 is 0.5050, below 0.6"),
        ({"per_class": {"balloon": 0.5}}, PASS, "AP of balloon is 0.5050, at least 0.5"),
        ({"per_class": {"balloon": 0.6}}, FAIL, "AP of balloon is 0.5050, below 0.6"),
        ({"at_score": {"score": 0.5, "recall": 0.5}}, PASS, "score of 0.5 on is 0.5000, at least"),
        ({"at_score": {"score": 0.9, "recall": 0.5}}, PASS, "recall from a score of 0.9 on"),
        ({"at_score": {"score": 0.95, "recall": 0.5}}, FAIL, "is 0.0000, below 0.5"),
        ({"at_score": {"score": 0.5, "precision": 1.0}}, PASS, "precision from a score of 0.5 on"),
        ({"at_score": {"score": 0.95, "precision": 0.1}}, FAIL, "is 0.0000, below 0.1"),
    ],
    ids=str,
)
def test_figures_are_reached_or_not(stated: Mapping[str, object], outcome: str, says: str) -> None:
    said = judge("figures", stated, HALF, HALF)
    assert [each.name for each in said] == [f"figures:{CHECKPOINT}", f"figures:{ENGINE}"]
    for each in said:
        assert each.outcome == outcome
        assert says in each.sentence


def test_a_class_that_the_dataset_does_not_have_is_said_once() -> None:
    first, second = judge("figures", {"per_class": {"kite": 0.6}}, HALF, HALF)

    assert (first.outcome, second.outcome) == (FAIL, FAIL)
    assert first.sentence == (
        "[figures] of the policy states one for the class 'kite', which the dataset does not have; "
        "it has balloon."
    )
    assert second.sentence == "Not judged: see figures:checkpoint."


def test_a_limit_that_is_just_reached_is_reached() -> None:
    value = round(51 / 101, 6)
    assert judge("figures", {"AP": value}, HALF)[0].outcome == PASS
    assert judge("figures", {"AP": value + 2e-6}, HALF)[0].outcome == FAIL


def test_each_is_judged_by_its_own() -> None:
    checkpoint, engine = judge("figures", {"AP": 0.5}, matches(20), matches(20, range(15)))
    assert (checkpoint.outcome, engine.outcome) == (PASS, FAIL)
    assert engine.measured == pytest.approx(26 / 101, abs=1e-6)
    assert (engine.limit, engine.unit) == (0.5, "AP")


def test_wrong_detections_lower_the_precision() -> None:
    found = matches(20, range(10), wrong=5)  # 20 right, 5 wrong
    stated = {"at_score": {"score": 0.5, "recall": 0.1, "precision": 0.81}}
    said = only(judge("figures", stated, found))
    assert said.outcome == FAIL
    assert said.measured == pytest.approx(0.8)


def test_a_class_without_an_object_cannot_be_judged() -> None:
    two = matches(20, classes=("balloon", "kite"))
    objects = two.objects.copy()
    objects[:, 1] = 0
    said = only(judge("figures", {"per_class": {"kite": 0.5}}, replace(two, objects=objects)))
    assert said.outcome == INCONCLUSIVE
    assert "AP of kite cannot be told" in said.sentence


@pytest.mark.parametrize("name", ["AP", "AP50"])
@pytest.mark.parametrize("value", [0.9, None, float("nan")])
def test_figures_that_contradict_the_matches_are_refused(name: str, value: float | None) -> None:
    stated = {name: 0.1}
    said = judge("figures", stated, HALF, HALF, orin=metrics_of(HALF, **{name: value}))
    assert [each.outcome for each in said] == [PASS, FAIL]
    assert f"its matches give {name} 0.504950, and metrics.json has" in said[1].sentence


def test_a_class_that_contradicts_the_matches_is_refused() -> None:
    metrics = replace(metrics_of(HALF), per_class={"balloon": 0.9})
    said = judge("figures", {"per_class": {"balloon": 0.5}}, HALF, HALF, orin=metrics)
    assert [each.outcome for each in said] == [PASS, FAIL]


# what is in the channel


def incumbent(found: Matches | None, why_not: str = "") -> Incumbent:
    return Incumbent("sha256:" + "5" * 64, "v1", found, why_not)


WORSE, BETTER = {"worse_by": 0.01}, {"better_by": 0.01}


def missing(pictures: int, lost: Callable[[int], bool]) -> Matches:
    return matches(pictures, [each for each in range(pictures) if lost(each)])


@pytest.mark.parametrize(
    ("stated", "mine", "theirs", "outcome", "says"),
    [
        (WORSE, matches(13), matches(13), PASS, "detects exactly what that of v1 detects"),
        (WORSE, missing(900, lambda i: i < 300), missing(900, lambda i: i < 301), PASS, "at least -0.01"),
        (WORSE, matches(900, range(90)), matches(900), FAIL, "below -0.01"),
        (WORSE, matches(200, range(2)), matches(200), INCONCLUSIVE, "add validation pictures"),
        (BETTER, matches(900), matches(900, range(90)), PASS, "at least 0.01"),
        (BETTER, matches(900), matches(900), FAIL, "below 0.01"),
        (BETTER, matches(900), matches(900, range(9)), INCONCLUSIVE, "too uncertain"),
        (WORSE, matches(9), matches(9, range(1)), INCONCLUSIVE, "far too few"),
        (WORSE, matches(20), matches(21), INCONCLUSIVE, "other pictures, objects or classes"),
        (WORSE, matches(20), matches(20, classes=("kite",)), INCONCLUSIVE, "promote again"),
    ],
    ids=["same", "as-good", "worse", "few", "better", "no-better", "a-little-better", "hardly-any",
         "other-pictures", "other-classes"],
)  # fmt: skip
def test_the_checkpoint_beside_that_in_the_channel(
    stated: Mapping[str, object], mine: Matches, theirs: Matches, outcome: str, says: str
) -> None:
    said = only(judge("incumbent", stated, mine, incumbent=incumbent(theirs)))
    assert (said.outcome, said.name) == (outcome, "incumbent"), said.sentence
    assert says in said.sentence


def test_the_limit_is_a_difference_of_ap() -> None:
    said = only(
        judge("incumbent", WORSE, matches(900, range(90)), incumbent=incumbent(matches(900)))
    )
    assert (said.limit, said.unit) == (-0.01, "AP")
    assert said.measured == pytest.approx(91 / 101 - 1, abs=1e-6)


def test_an_empty_channel_has_nothing_that_is_better() -> None:
    for stated in (WORSE, BETTER):
        said = only(judge("incumbent", stated, matches(20)))
        assert said.outcome == PASS
        assert "Nothing is in production yet" in said.sentence


def test_an_incumbent_that_was_not_measured_is_no_pass() -> None:
    unknown = incumbent(None, "its checkpoint is not here: invoke pull v1")
    said = only(judge("incumbent", WORSE, matches(20), incumbent=unknown))
    assert said.outcome == INCONCLUSIVE
    assert "invoke pull v1" in said.sentence
    broken = Unusable(FAIL, "It is broken.")
    said = only(judge("incumbent", WORSE, broken, incumbent=incumbent(matches(20))))
    assert (said.outcome, said.sentence) == (FAIL, "It is broken.")


def test_scores_that_differ_are_not_the_same_model() -> None:
    other = replace(matches(13), score=np.full(26, 0.8, np.float32))
    assert set(other.matched.tolist()) == {int(ALL)}
    assert only(judge("incumbent", WORSE, matches(13), incumbent=incumbent(other))).outcome != PASS
