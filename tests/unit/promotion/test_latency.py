"""The gate of latencies: budgets, and what makes a profile no evidence."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from machine_trees import AGX_ORIN, Tree, alarms, hot, lay_out, mode, throttled, unlocked
from proven_releases import ProvenRun, case, conditions, policy, profile
from small_releases import ORIN, as_json

from mmdet_jetson.contract.conditions import Conditions
from mmdet_jetson.contract.records import encode
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS, profile_of
from mmdet_jetson.promotion.evidence import Case
from mmdet_jetson.promotion.gates.latency import judge
from mmdet_jetson.promotion.verdicts import Judged
from mmdet_jetson.stages.inference.conditions import Watch

P99 = {"p99": 20}
Told = Mapping[str, object]


@pytest.fixture(scope="module")
def good(proven: ProvenRun) -> Case:
    """A release that passes, as a case."""
    return case(proven.bundle())


def judged(
    good: Case,
    told: Told | None = None,
    *,
    budgets: Told = P99,
    limits: Told | None = None,
    target: str = ORIN,
) -> Judged:
    """What the gate says of a release with such a profile."""
    stated = policy(latency={target: budgets}, conditions=limits or {"seconds": 600})
    read: dict[tuple[str, str], object] = {}
    if told is not None:
        read = {("profile", ORIN): profile_of(json.loads(json.dumps(told)))}
    (found,) = judge(replace(good, policy=stated, _read=read))
    assert found.name == f"latency:{target}"
    return found


def test_a_budget_is_kept_where_the_upper_bound_keeps_it(good: Case) -> None:
    found = judged(good, budgets={"p50": 10, "p99": 20})

    assert found == Judged(
        gate="latency",
        subject=ORIN,
        outcome=PASS,
        sentence=(
            f"Of the engine for {ORIN} p50 is at most 8.1 ms of 10; p99 is at most 11.3 ms of 20 "
            "(99% sure, 60000 samples in 600 s)."
        ),
        measured=11.0,
        low=10.8,
        high=11.3,
        limit=20,
        unit="ms",
    )


@pytest.mark.parametrize(
    ("budget", "outcome", "words"),
    [
        (11.3, PASS, "p99 is at most 11.3 ms of 11.3"),
        (11.29, INCONCLUSIVE, "p99 is at least 10.8 and at most 11.3 ms, so nothing tells"),
        (10.8, INCONCLUSIVE, "nothing tells whether it keeps 10.8"),
        (10.79, FAIL, "p99 is at least 10.8 ms, and 10.79 are the most"),
    ],
)
def test_the_bounds_decide(budget: float, outcome: str, words: str, good: Case) -> None:
    found = judged(good, budgets={"p99": budget})
    assert (found.outcome, found.limit) == (outcome, budget)
    assert words in found.sentence


def test_one_budget_that_is_missed_is_enough_and_is_shown(good: Case) -> None:
    found = judged(good, budgets={"p50": 5, "p90": 9.0, "p99": 20})
    assert (found.outcome, found.measured, found.limit) == (FAIL, 8.0, 5)
    assert "p50 is at least 7.9 ms, and 5 are the most" in found.sentence
    assert "p99 is at most 11.3 ms of 20" in found.sentence


def few() -> dict[str, object]:
    bounds = {"p50": {"low": 7.9, "high": 8.1}, "p99": {"low": 10.0, "high": None}}
    total = {"mean": 8.1, "p50": 8.0, "p90": 9.0, "p99": None}
    return profile(samples=200, bounds=bounds, total=total)


def test_too_few_samples_are_inconclusive(good: Case) -> None:
    found = judged(good, few())
    assert found.outcome == INCONCLUSIVE
    assert "p99 is not told by 200 samples: it asks for 459 ([profile] samples)" in found.sentence
    assert (found.measured, found.low, found.high) == (None, 10.0, None)


def test_they_may_yet_show_that_it_is_too_slow(good: Case) -> None:
    assert judged(good, few(), budgets={"p99": 9}).outcome == FAIL


def test_they_carry_a_median(good: Case) -> None:
    assert judged(good, few(), budgets={"p50": 9}).outcome == PASS


def test_bounds_that_the_samples_do_not_carry_are_not_taken(good: Case) -> None:
    found = judged(good, profile(samples=200))
    assert found.outcome == INCONCLUSIVE
    assert "p99 is not told by 200 samples" in found.sentence


def test_nor_are_they_taken_against_an_engine(good: Case) -> None:
    assert judged(good, profile(samples=6), budgets={"p50": 5}).outcome == INCONCLUSIVE
    assert judged(good, profile(samples=7), budgets={"p50": 5}).outcome == FAIL


@pytest.mark.parametrize(
    "changes",
    [
        {"bounds": {"p99": {"low": 12.0, "high": 11.0}}},
        {"bounds": {"p99": {"low": None, "high": -1.0}}},
        {"bounds": {"p99": {"low": 1.0, "high": 2.0}}},
        {"conditions": encode(conditions(kind="pc"))},
        {"unit": "s"},
    ],
)
def test_a_profile_that_cannot_be_is_refused(changes: dict[str, Any], good: Case) -> None:
    found = judged(good, profile(**changes))
    assert found.outcome == FAIL
    assert found.sentence == f"The profile of the engine for {ORIN} contradicts itself."


@pytest.mark.parametrize("without", ["conditions", "bounds"])
def test_a_profile_without_conditions_or_bounds_proves_nothing(without: str, good: Case) -> None:
    found = judged(good, {name: each for name, each in profile().items() if name != without})
    assert found.outcome == INCONCLUSIVE
    assert "does not tell under which conditions it was taken: invoke profile" in found.sentence


OLD = {
    name: each
    for name, each in profile().items()
    if name not in {"samples", "seconds", "bounds", "conditions"}
}


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        ({**OLD, "repeats": 60_000}, INCONCLUSIVE),
        ({"some": "thing"}, FAIL),
        ([], FAIL),
        (profile(conditions(seconds=float("nan"))), FAIL),
        (profile(conditions(others=float("nan"))), FAIL),
        (profile(seconds=10**400), FAIL),
        (profile(bounds={"p99": {"low": float("nan"), "high": 5.0}}), FAIL),
        (profile(bounds={"p99": {"low": 1.0, "high": float("inf")}}), FAIL),
    ],
)
def test_what_is_no_record_is_an_outcome(content: object, outcome: str, run: ProvenRun) -> None:
    run.own[f"profile-{ORIN}"] = {"profile.json": as_json(content)}
    run.make_after(f"engine-{ORIN}")
    assert judged(case(run.bundle())).outcome == outcome


def test_a_target_without_a_profile_is_inconclusive(good: Case) -> None:
    found = judged(good, target="no-such-target")
    assert found.outcome == INCONCLUSIVE
    assert "has no profile no-such-target" in found.sentence


def test_a_policy_without_budgets_says_nothing(good: Case) -> None:
    assert list(judge(replace(good, policy=policy(latency={})))) == []
    assert list(judge(replace(good, policy=policy(latency={ORIN: {}})))) == []


# What a Jetson was seen to be like -> what the sentence says.
SPOILED: dict[str, tuple[tuple[Tree, ...], str]] = {
    "throttled": ((throttled(),), "locked clocks were slowed down: gpu 1300 MHz, seen at 918"),
    "unlocked": ((unlocked(AGX_ORIN),), "the clocks were not locked: gpu 306 to 1300 MHz"),
    "hot": ((hot(),), "cpu-thermal 98 of 99 °C"),
    "over-current": ((alarms(3, 0, 5, 27390),), "alarms slowed it down: oc2 1 times"),
    "another-mode": ((mode(1, ("MAXN", "MODE_15W")),), "was MAXN and then MODE_15W, and MAXN is"),
}


def looked_at(
    scratch: Path, *later: Tree, tree: Tree = AGX_ORIN, l4t: str = "36.4.3"
) -> Conditions:
    root = lay_out(scratch / "jetson", tree)
    watch = Watch(root, l4t=l4t)
    watch.look()
    for change in later or ({},):
        lay_out(root, change)
        watch.look()
    return watch.conditions(None, seconds=600.0, others=0.01, drift=0.002)


def test_a_cool_jetson_with_locked_clocks_is_evidence(good: Case, tmp_path: Path) -> None:
    assert judged(good, profile(looked_at(tmp_path, alarms(3, 0, 4, 28000)))).outcome == PASS


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_profile_is_no_evidence_however_fast(
    name: str, good: Case, tmp_path: Path
) -> None:
    trees, words = SPOILED[name]

    found = judged(good, profile(looked_at(tmp_path, *trees)))

    assert found.outcome == INCONCLUSIVE
    assert found.sentence.startswith(f"The latency of the engine for {ORIN} is no evidence: ")
    assert words in found.sentence
    assert (found.measured, found.limit) == (11.0, 20)


def test_nor_is_it_evidence_that_an_engine_is_slow(good: Case, tmp_path: Path) -> None:
    told = profile(looked_at(tmp_path, unlocked(AGX_ORIN)))
    assert judged(good, told, budgets={"p99": 1}).outcome == INCONCLUSIVE


def test_a_jetson_that_tells_nothing_is_no_evidence(good: Case, tmp_path: Path) -> None:
    found = judged(good, profile(looked_at(tmp_path, tree={})))
    assert found.outcome == INCONCLUSIVE
    assert found.sentence.count("no file tells") == 4


def test_a_kind_of_machine_that_is_not_known_is_asked_for_all(good: Case) -> None:
    unknown = judged(good, profile(conditions(kind="tv", clocks={}, over_current={})))
    assert unknown.outcome == INCONCLUSIVE
    assert "no file tells the clocks" in unknown.sentence


def test_the_policy_says_how_much_is_too_much(good: Case, tmp_path: Path) -> None:
    told = profile(conditions(drift=0.15, others=0.2, seconds=30.0))
    lenient = {"drift": 0.2, "others": 0.3, "seconds": 30}
    assert judged(good, told, limits=lenient).outcome == PASS
    for name, strict in (("drift", 0.1), ("others", 0.1), ("seconds", 31)):
        assert judged(good, told, limits={**lenient, name: strict}).outcome == INCONCLUSIVE
    loose = profile(looked_at(tmp_path, unlocked(AGX_ORIN)))
    assert judged(good, loose, limits={"locked_clocks": False}).outcome == PASS
    warm = profile(looked_at(tmp_path, hot(92000)))
    assert judged(good, warm, limits={"trip_margin": 5, "locked_clocks": False}).outcome == PASS
    assert judged(good, warm, limits={"trip_margin": 8, "locked_clocks": False}).outcome != PASS


def on_pc(**changes: object) -> dict[str, object]:
    seen = Conditions("pc", looks=600, seconds=600.0, others=0.01, drift=0.01, **changes)  # type: ignore[arg-type]
    return profile(seen, machine={"cpu": "a PC", **({"gpu": "A100"} if changes else {})})


def test_a_pc_is_not_asked_for_what_it_has_not(good: Case) -> None:
    assert judged(good, on_pc()).outcome == PASS


@pytest.mark.parametrize(
    ("reasons", "outcome", "words"),
    [
        ((), PASS, "p99 is at most"),
        (("applications_clocks_setting",), PASS, "p99 is at most"),
        (("sw_power_cap",), INCONCLUSIVE, "it was throttled: sw_power_cap"),
        (None, INCONCLUSIVE, "nothing tells whether the GPU was throttled"),
    ],
)
def test_a_gpu_of_a_pc_has_to_tell_whether_it_was_throttled(
    reasons: tuple[str, ...] | None, outcome: str, words: str, good: Case
) -> None:
    found = judged(good, on_pc(throttle_reasons=reasons))
    assert found.outcome == outcome
    assert words in found.sentence
