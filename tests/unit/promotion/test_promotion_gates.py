"""What gates say at their limits, and of what is missing; `test_known_bad.py` has whole bad bundles."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import msgspec
import pytest
from bad_bundles import BAD
from proven_releases import NOW, PICTURES, TARGETS, ProvenRun, case, profile, proof
from small_releases import INT8, ORIN, PC, as_json

from mmdet_jetson.bundles.contents import of_run
from mmdet_jetson.bundles.datasets import digests_of
from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.contract.conditions import Conditions
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.evidence import Case, case_of
from mmdet_jetson.promotion.gates import GATES, separation
from mmdet_jetson.promotion.gates.grade import grade_of
from mmdet_jetson.promotion.judging import judge
from mmdet_jetson.promotion.policy import POLICY_FILE, Policy, channels_in, load_policy
from mmdet_jetson.promotion.support import no_longer_supported
from mmdet_jetson.promotion.verdicts import Judged, Verdict
from mmdet_jetson.store import Artifact, Store
from mmdet_jetson.store.artifact import moment_of

SHIPPED = ROOT / "configs" / POLICY_FILE
Said = dict[str, Judged]


def said(gate: str, of: Case) -> Said:
    """What one gate says, by subject."""
    return {each.subject: each for each in GATES[gate](of)}


def outcome(gate: str, subject: str, of: Case) -> str:
    return said(gate, of)[subject].outcome


def pairs(count: int, **each: int) -> dict[str, object]:
    """A proof where the first ``count`` pictures have pairs of their own, and all others match."""
    by_picture = {
        name: each if place < count else {"matched": 1} for place, name in enumerate(PICTURES)
    }
    total: dict[str, int] = {}
    for pair in by_picture.values():
        for name, value in pair.items():
            total[name] = total.get(name, 0) + value
    return {"engine": {"deviation": total, "by_picture": by_picture}}


@pytest.mark.parametrize(("alone", "expected"), [(192, PASS), (193, FAIL)])
def test_agreement_at_its_limit(run: ProvenRun, alone: int, expected: str) -> None:
    """A fifth of 960 detections may have no partner in 8 bits: 192."""
    made = proof(INT8, models=pairs(alone, off=1))
    run.make(f"prove-{INT8}", {"proof.json": as_json(made)})

    found = said("agreement", case(run.bundle()))[INT8]

    assert found.outcome == expected
    assert found.measured == pytest.approx(100 * alone / 960)
    assert (found.limit, found.unit) == (20, "%")


def test_agreement_counts_the_side_with_more_detections_alone(run: ProvenRun) -> None:
    made = proof(INT8, models=pairs(120, missing=1, extra=2))
    run.make(f"prove-{INT8}", {"proof.json": as_json(made)})

    assert outcome("agreement", INT8, case(run.bundle())) == FAIL  # 240 of 1080


def test_a_policy_may_demand_more_agreement(run: ProvenRun) -> None:
    made = proof(INT8, models=pairs(192, off=1))
    run.make(f"prove-{INT8}", {"proof.json": as_json(made)})
    contents = run.bundle()

    strict = case(contents, agreement={"int8": {"alone": 0.1}})
    narrow = case(contents, agreement={"int8": {"box": 0.01}})

    assert outcome("agreement", INT8, case(contents)) == PASS
    assert outcome("agreement", INT8, strict) == FAIL
    assert outcome("agreement", INT8, narrow) == INCONCLUSIVE  # the proof's box is 0.02


@pytest.mark.parametrize("field", ["from_score", "box", "score"])
def test_a_proof_with_wider_tolerances_shows_nothing(run: ProvenRun, field: str) -> None:
    stated = {"from_score": 0.05, "box": 0.0002, "score": 0.001, "alone": 0.001}
    for value, expected in ((stated[field], PASS), (stated[field] * 1.01, INCONCLUSIVE)):
        made = proof(PC, tolerances={**stated, field: value})
        run.make(f"prove-{PC}", {"proof.json": as_json(made)})
        assert outcome("agreement", PC, case(run.bundle())) == expected


def test_the_share_that_a_proof_allows_itself_does_not_count(run: ProvenRun) -> None:
    stated = {"from_score": 0.05, "box": 0.0002, "score": 0.001, "alone": 1.0}
    made = proof(PC, tolerances=stated, models=pairs(192, off=1))
    run.make(f"prove-{PC}", {"proof.json": as_json(made)})

    assert outcome("agreement", PC, case(run.bundle())) == FAIL


def test_a_documented_graph_is_for_accuracy_to_judge(run: ProvenRun) -> None:
    described = {"graph": "documented"}
    run.own[f"export-{PC}"] = {"graph.json": as_json(described)}
    run.make_after(f"export-{PC}")
    run.store.untag(f"demo.prove-{PC}")
    contents = run.bundle()

    assert PC not in said("agreement", case(contents))
    assert outcome("parts", PC, case(contents)) == PASS
    without = said("agreement", case(contents, accuracy=None))[PC]
    assert without.outcome == INCONCLUSIVE
    assert "MMDeploy's own graph" in without.sentence


@pytest.mark.parametrize(("size", "expected"), [(999_983, PASS), (999_984, FAIL)])
def test_size_at_its_limit(run: ProvenRun, size: int, expected: str) -> None:
    """The engine itself has 16 bytes, and weights may lie beside it."""
    run.own[f"engine-{ORIN}"] = {"weights.bin": bytes(size)}
    run.make_after(f"engine-{ORIN}")

    found = said("size", case(run.bundle()))

    assert set(found) == {ORIN}  # there is no limit for others
    assert found[ORIN].measured == (size + 17) / 1e6
    assert found[ORIN].outcome == (PASS if size + 17 <= 1_000_000 else FAIL) == expected


def test_the_larger_of_two_sizes_counts(run: ProvenRun) -> None:
    bad = BAD["too-large"].bundle(run)

    found = said("size", case(bad))[ORIN]

    assert found.measured == pytest.approx(1.5, abs=0.001)
    assert outcome("size", ORIN, case(bad, size_mb={ORIN: 2})) == PASS


@pytest.mark.parametrize(("used", "expected"), [(2000.0, PASS), (2000.1, FAIL)])
def test_memory_at_its_limit(run: ProvenRun, used: float, expected: str) -> None:
    made = profile(machine={"peak_memory_mb": used})
    run.make(f"profile-{ORIN}", {"profile.json": as_json(made)})

    found = said("memory", case(run.bundle()))

    assert {each.outcome for each in found.values()} == {expected}
    assert set(found) == {ORIN}


@pytest.mark.parametrize("used", [None, "900", True, 0, -5, float("nan"), 10**400])
def test_memory_that_is_no_number_proves_nothing(run: ProvenRun, used: object) -> None:
    made = profile(machine={"peak_memory_mb": used})
    run.make(f"profile-{ORIN}", {"profile.json": as_json(made)})

    assert outcome("memory", ORIN, case(run.bundle())) == INCONCLUSIVE


def test_age_at_its_limit(run: ProvenRun) -> None:
    """The oldest evidence is the checkpoint's evaluation."""
    first = case(run.bundle())
    made = datetime.fromisoformat(run.made["evaluate-checkpoint"].provenance.created)

    def at(moment: datetime) -> str:
        return outcome("age", "", replace(first, now=moment))

    assert at(made + timedelta(days=90)) == PASS
    assert at(made + timedelta(days=90, seconds=1)) == FAIL
    assert at(made - timedelta(hours=23)) == PASS  # clocks differ
    assert at(made - timedelta(days=2)) == FAIL
    assert said("age", case(first.contents, max_evidence_days=None)) == {}


def test_what_a_model_from_elsewhere_was_trained_with_is_not_known(run: ProvenRun) -> None:
    """It does not say of which dataset it is, and that is no contradiction."""
    contents = run.bundle()
    part = next(each for each in contents.parts if each.kind == "checkpoint")
    artifact = contents.parts[part]
    made = msgspec.structs.replace(
        artifact.provenance, stage="model", step="model", inputs={"weights": "0" * 64}
    )
    taken = replace(contents, parts={**contents.parts, part: replace(artifact, provenance=made)})
    found = said("separation", case(taken))[""]
    assert found.outcome == INCONCLUSIVE
    assert "The model was trained elsewhere" in found.sentence
    assert outcome("belonging", "", case(taken)) == PASS


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_picture_without_a_digest_may_be_in_both(
    run: ProvenRun, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_but_one(store: Store, dataset: Artifact) -> dict[str, dict[str, str]]:
        found = digests_of(store, dataset)
        del found[split][{"train": "t003.jpg", "val": PICTURES[7]}[split]]
        return found

    monkeypatch.setattr(separation, "digests_of", all_but_one)

    found = said("separation", case(run.bundle()))[""]

    assert found.outcome == INCONCLUSIVE
    assert f"The dataset does not say what its {split} picture " in found.sentence


@pytest.mark.parametrize(
    "created",
    ["2026-11-01T10:00:00", "0001-01-01T00:00:00+23:00", "20261101T100000+0000", "2026-11-01"],
)
def test_evidence_without_a_time_is_as_old_as_can_be(run: ProvenRun, created: str) -> None:
    contents = run.bundle()
    part = next(each for each in contents.parts if str(each) == "evaluation checkpoint")
    artifact = contents.parts[part]
    timeless = replace(
        artifact, provenance=type(artifact.provenance)(stage="x", step="x", created=created)
    )
    changed = replace(contents, parts={**contents.parts, part: timeless})

    found = said("age", case(changed))[""]

    assert found.outcome == FAIL
    assert found.sentence == "The evaluation checkpoint does not say when it was made."


@pytest.mark.parametrize(
    "created",
    ["2026-11-01T10:00:00Z", "2026-11-01T10:00:00.123456789+00:00", "2026-11-01T19:00:00+09:00"],
)
def test_a_time_is_read_alike_by_every_python(created: str) -> None:
    assert moment_of(created) == datetime(2026, 11, 1, 10, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("said_", "grade"),
    [
        ("measured", "measured"),
        ("emulated", "emulated"),
        ("measured, stand-in base", "proxy"),
        ("emulated, stand-in base", "proxy"),
        ("proxy", "proxy"),
        ("measured, sort of", ""),
        ("Measured", ""),
        ("", ""),
        (None, ""),
        (3, ""),
    ],
)
def test_grades(said_: object, grade: str) -> None:
    assert grade_of(said_) == grade


@pytest.mark.parametrize(
    ("has", "asked", "expected"),
    [
        ("measured", "measured", PASS),
        ("measured", "proxy", PASS),
        ("emulated", "measured", FAIL),
        ("emulated", "emulated", PASS),
        ("emulated, stand-in base", "emulated", FAIL),
        ("emulated, stand-in base", "proxy", PASS),
        ("", "proxy", FAIL),
    ],
)
def test_evidence_is_at_least_as_good_as_demanded(
    run: ProvenRun, has: str, asked: str, expected: str
) -> None:
    run.make(f"profile-{ORIN}", {"profile.json": as_json(profile(evidence=has))})

    found = said("grade", case(run.bundle(), evidence=asked))

    assert found[ORIN].outcome == expected
    assert {found[each].outcome for each in ("checkpoint", PC, INT8)} == {PASS}


def test_the_lower_of_two_grades_counts(run: ProvenRun) -> None:
    run.make(f"profile-{ORIN}", parameters={"evidence": "emulated"})

    assert outcome("grade", ORIN, case(run.bundle())) == FAIL


def test_images_are_judged_where_the_policy_asks(run: ProvenRun) -> None:
    bad = BAD["image-that-failed"].bundle(run)

    assert outcome("image_tests", "", case(bad)) == FAIL
    assert said("image_tests", case(bad, image_tests=False)) == {}


def test_tests_that_do_not_say_how_many_there_were_are_none(run: ProvenRun) -> None:
    run.tested(failed="none")  # type: ignore[arg-type]

    found = said("image_tests", case(run.bundle()))[""]

    assert (found.outcome, "do not say how many ran" in found.sentence) == (FAIL, True)


def test_what_was_made_on_this_machine_needs_no_image(run: ProvenRun) -> None:
    run.image = ""
    run.make_all()

    assert outcome("image_tests", "", case(run.bundle())) == PASS


@pytest.mark.parametrize("gate", ["size", "memory", "latency"])
def test_a_limit_for_a_target_asks_for_its_engine(run: ProvenRun, gate: str) -> None:
    """Were it left out, a typing error in a target's name would leave the right one without."""
    limits = {"size": "size_mb", "memory": "memory_mb", "latency": "latency"}
    stated = {"orin-jp26": {"p99": 1} if gate == "latency" else 1}

    found = said(gate, case(run.bundle(), **{limits[gate]: stated}))["orin-jp26"]

    assert found.outcome == INCONCLUSIVE
    assert "orin-jp26" in found.sentence


def test_what_is_missing_is_said_once(run: ProvenRun) -> None:
    of = case(BAD["no-matches"].bundle(run))

    found = {each.name: each for each in judge(of, 0).gates}

    assert "has no matches.npz, which an earlier version" in found[f"parts:{PC}"].sentence
    for gate, expected in (("accuracy", INCONCLUSIVE), ("figures", INCONCLUSIVE)):
        assert found[f"{gate}:{PC}"].outcome == expected
        assert found[f"{gate}:{PC}"].sentence == f"Not judged: see parts:{PC}."
    assert found[f"accuracy:{ORIN}"].outcome == PASS


def test_a_remedy_is_spelled_for_the_project_of_the_command(run: ProvenRun) -> None:
    project = msgspec.structs.replace(run.project, typed="--config mine/demo.toml --set name=mine")
    of = replace(case(run.bundle(), size_mb={"orin-jp60": 1}), project=project)

    found = said("size", of)["orin-jp60"]

    command = f"invoke build-jetson-engine {project.typed} --target orin-jp60"
    assert f"The bundle has no engine orin-jp60: {command}, and bundle again." == found.sentence
    run.make(f"profile-{ORIN}", {"profile.json": as_json(profile(conditions=None))})
    of = replace(case(run.bundle()), project=project)
    assert f"{project.typed} --target {ORIN}, and bundle" in said("latency", of)[ORIN].sentence


def test_packages_without_support_are_named_and_not_judged(run: ProvenRun) -> None:
    facts = {"torch": "1.11.0+cpu", "numpy": "1.23.1", "mmdet": "3.0.0rc5", "image_digest": ""}
    run.make("train", facts=facts, environment="train-cpu:abc:py3.8.20:amd64")
    run.make(f"profile-{ORIN}", facts={"l4t": "35.4.1", "python": "3.12.1", "torch": 3})

    found = judge(case(run.bundle()), 0)

    assert found.named == (
        "NumPy 1.23 was supported until 2025-09: checkpoint.",
        "PyTorch 1.11 was supported until 2022-06: checkpoint.",
        "Python 3.8 was supported until 2024-10: checkpoint.",
        f"Ubuntu 20.04 of Jetson Linux 35.4 was supported until 2025-05: profile {ORIN}.",
    )


def test_versions_are_told_apart_by_their_numbers(run: ProvenRun) -> None:
    run.make("train", facts={"torch": "1.110.0", "numpy": "10.1", "python": "3.80"})

    assert no_longer_supported(run.bundle()) == []


def test_a_run_is_no_bundle(run: ProvenRun) -> None:
    with pytest.raises(UserError, match="demo is no bundle, and only a bundle can enter") as caught:
        case_of(run.store, of_run(run.store, "demo"), Policy(), "staging", None, NOW)
    assert "invoke bundle" in caught.value.hint


def test_a_channel_without_limits_judges_what_needs_none(run: ProvenRun) -> None:
    contents = run.bundle()
    silent = case_of(run.store, contents, Policy(), "staging", None, NOW)

    found = judge(silent, 0)

    always = ("parts", "belonging", "separation", "agreement", "grade")
    assert {each.gate for each in found.gates} == set(always)
    assert found.outcome == PASS
    assert found.validation == case(contents).validation != ""
    assert sorted(silent.targets) == sorted(TARGETS)


def test_a_verdict_says_what_it_was_judged_by(run: ProvenRun) -> None:
    of = case(run.bundle())

    found: Verdict = judge(of, 12)

    assert (found.channel, found.judged_before) == ("production", 12)
    assert found.policy_digest == of.policy.digest
    assert found.incumbent == "sha256:" + "5" * 64
    assert of.contents.bundle
    assert found.bundle == of.contents.bundle.digest


EMPTY: dict[str, object] = {"images": [], "annotations": [], "categories": []}
LOST: dict[str, object] = {
    "images": [{"id": 1, "file_name": "a"}],
    "annotations": [{"image_id": 2, "category_id": 1}],
}
Spoilt = Callable[[ProvenRun], object]
NOISE: dict[str, Spoilt] = {
    "metrics": lambda run: run.make(f"evaluate-{PC}", {"metrics.json": b"\xff["}),
    "metrics-of-a-list": lambda run: run.make(f"evaluate-{PC}", {"metrics.json": b"[]"}),
    "deep": lambda run: run.make(f"evaluate-{PC}", {"metrics.json": b"[" * 100_000}),
    "matches": lambda run: run.make(f"evaluate-{PC}", {"matches.npz": b"PK\3\4"}),
    "proof": lambda run: run.make(f"prove-{PC}", {"proof.json": b"[" * 100_000}),
    "proof-of-text": lambda run: run.make(f"prove-{PC}", {"proof.json": b'"a"'}),
    "profile": lambda run: run.make(f"profile-{ORIN}", {"profile.json": b"null"}),
    "profile-without-conditions": lambda run: run.make(
        f"profile-{ORIN}", {"profile.json": as_json(profile(conditions=None))}
    ),
    "passport": lambda run: run.make(f"engine-{PC}", {"passport.json": b'{"precision": []}'}),
    "passport-of-a-list": lambda run: run.make(f"engine-{PC}", {"passport.json": b"[]"}),
    "val": lambda run: run.make("dataset", {"val.json": b"{}"}),
    "val-deep": lambda run: run.make("dataset", {"val.json": b"[" * 100_000}),
    "no-pictures": lambda run: run.make("dataset", {"val.json": as_json(EMPTY)}),
    "unknown-picture": lambda run: run.make("dataset", {"val.json": as_json({**EMPTY, **LOST})}),
}


@pytest.mark.parametrize("name", NOISE)
def test_whatever_a_bundle_holds_is_an_outcome(run: ProvenRun, name: str) -> None:
    NOISE[name](run)

    found = judge(case(run.bundle()), 0)

    assert found.outcome in (FAIL, INCONCLUSIVE) or name == "profile-without-conditions"
    assert all(each.sentence for each in found.gates)


def busy_pc() -> dict[str, object]:
    """The profile of development: 200 rounds on a PC that does much else."""
    seen = Conditions(
        kind="pc", looks=20, seconds=4.0, governors=("powersave",), others=0.85, drift=0.6
    )
    return profile(
        seen,
        samples=200,
        seconds=4.0,
        total={"mean": 54.0, "p50": 50.0, "p90": 80.0, "p99": None},
        bounds={"p50": {"low": 45.0, "high": 55.0}, "p90": {"low": 70.0, "high": 120.0}},
        machine={"cpu": "a CPU", "cores": 2},
    )


@pytest.mark.parametrize("channel", channels_in(SHIPPED))
def test_the_shipped_channels_can_be_entered(run: ProvenRun, channel: str) -> None:
    run.own[f"profile-{PC}"] = {"profile.json": as_json(busy_pc())}
    run.make_after(f"profile-{PC}")
    contents, stated = run.bundle(), load_policy(SHIPPED, channel)

    found = judge(case_of(run.store, contents, stated, channel, None, NOW), 0)

    assert [each.sentence for each in found.gates if each.outcome != PASS] == []
    assert channel != "staging" or f"latency:{PC}" in {each.name for each in found.gates}


def test_agreement_is_all_that_staging_asks_of_few_pictures(run: ProvenRun) -> None:
    stated = load_policy(SHIPPED, "staging")

    assert (stated.accuracy, stated.incumbent) == (None, None)
    run.make(f"prove-{PC}", {"proof.json": as_json(proof(PC, models=pairs(1, extra=9)))})
    found = said("agreement", case_of(run.store, run.bundle(), stated, "staging", None, NOW))
    assert found[PC].outcome == FAIL


def test_a_file_that_stops_a_gate_is_a_failure_of_that_gate(run: ProvenRun) -> None:
    run.make(f"export-{PC}", {"graph.json": b"["})

    found = judge(case(run.bundle(), accuracy={"ratio": 0.99}), 0)

    stopped = [each for each in found.gates if each.name == "agreement"]
    assert [each.outcome for each in stopped] == [FAIL]
    assert "graph.json of " in stopped[0].sentence
