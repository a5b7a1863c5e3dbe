"""What a change adds to a channel is judged anew: what a check finds, and what it lets pass."""

from collections.abc import Callable
from pathlib import Path

import pytest
from judged_channels import NOTHING, NOW, Channel, channel_of
from msgspec.structs import replace
from small_chains import WHO
from small_releases import SmallRun

from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion import checking
from mmdet_jetson.promotion.checking import Check, CheckedChannel, check_channel
from mmdet_jetson.promotion.evidence import Incumbent
from mmdet_jetson.promotion.keeping import FOLDER, keep, read_verdict
from mmdet_jetson.promotion.policy import Policy
from mmdet_jetson.promotion.records import RELEASE, ROLLBACK, Override, Record


@pytest.fixture
def channel(whole_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Channel:
    return channel_of(whole_run, tmp_path, monkeypatch)


def sentences(found: CheckedChannel) -> list[str]:
    return [
        each.sentence
        for each in (*found.findings, *(it for added in found.added for it in added.findings))
    ]


def test_a_good_promotion_passes_and_nothing_is_written(channel: Channel) -> None:
    record = channel.promote("v1")
    index = (channel.run.store.root / "index.json").read_bytes()

    found = channel.check()

    (added,) = found.added
    assert found.outcome == added.outcome == PASS
    assert added.record is record
    assert added.verdict
    assert [each.gate for each in added.verdict.gates] == ["latency", "size"]
    assert sentences(found) == []
    assert (channel.run.store.root / "index.json").read_bytes() == index


def test_only_what_was_added_is_judged(channel: Channel) -> None:
    first = channel.promote("v1")
    second = channel.promote("v2")

    assert [each.record for each in channel.check([first]).added] == [second]
    nothing = channel.check([first, second])
    assert (nothing.added, nothing.outcome) == ((), PASS)


@pytest.mark.parametrize("outcome", [FAIL, INCONCLUSIVE])
def test_a_gate_that_does_not_pass_blocks(channel: Channel, outcome: str) -> None:
    channel.say("latency", outcome, 20.0)
    channel.promote("v1")

    found = channel.check()

    assert found.outcome == outcome
    assert sentences(found) == []


def test_a_verdict_that_says_otherwise_than_judging_anew_is_found(channel: Channel) -> None:
    channel.promote("v1")
    channel.say("latency", INCONCLUSIVE, 20.0)
    channel.say("new", PASS)

    found = channel.check()

    assert found.outcome == FAIL
    assert sorted(sentences(found)) == [
        "The verdict and judging anew do not both have the gate new.",
        "latency: pass in the verdict, and inconclusive judged anew.",
    ]


@pytest.mark.parametrize(
    ("now", "outcome"), [(20.1, FAIL), (20.0 * (1 + 1e-9), PASS), (None, FAIL)]
)
def test_figures_that_were_changed_are_found(
    channel: Channel, now: float | None, outcome: str
) -> None:
    channel.promote("v1")
    channel.say("latency", PASS, now)

    found = channel.check()

    assert found.outcome == outcome
    assert ("latency: the verdict has other figures than judging anew." in sentences(found)) == (
        outcome == FAIL
    )


def test_evidence_that_grew_old_since_blocks_and_is_no_forgery(channel: Channel) -> None:
    channel.say("age", PASS, 3)
    channel.promote("v1")
    channel.say("age", FAIL, 400)

    found = channel.check()

    assert found.outcome == FAIL
    assert sentences(found) == []


def test_a_policy_that_was_changed_since_judges_and_is_said(channel: Channel) -> None:
    channel.promote("v1")
    channel.policy = Policy(max_evidence_days=30)
    channel.say("age", FAIL)

    found = channel.check()

    assert found.outcome == FAIL
    assert "the policy was changed since; it is judged by the one of now" in found.added[0].notes
    assert sentences(found) == []


def test_a_bundle_that_is_not_here_proves_nothing(channel: Channel) -> None:
    channel.promote("v1", bundle=NOTHING)

    found = channel.check()

    assert found.outcome == INCONCLUSIVE
    assert "bundle v1 is not in" in sentences(found)[0]
    assert "invoke pull 000000000000" in sentences(found)[0]


@pytest.mark.parametrize("verdict", ["", NOTHING])
def test_a_verdict_that_is_not_here_proves_nothing(channel: Channel, verdict: str) -> None:
    record = channel.promote("v1", verdict=verdict)

    found = channel.check()

    assert found.outcome == INCONCLUSIVE
    assert "its verdict" in sentences(found)[0]
    assert f"invoke push {record.bundle[7:19]}" in sentences(found)[0]


def test_no_policy_proves_nothing(channel: Channel) -> None:
    channel.promote("v1")

    def none() -> Policy:
        raise UserError("there is no table [staging]", "add one")

    how = Check("staging", "main", none, NOW)
    found = check_channel(channel.run.store, channel.records, (), how)

    assert found.outcome == INCONCLUSIVE
    assert sentences(found) == ["It cannot be judged anew: there is no table [staging]: add one."]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda it: {"policy": NOTHING}, "policy"),
        (lambda it: {"validation": NOTHING}, "set of validation pictures"),
        (lambda it: {"judged": 1}, "number of bundles judged before"),
        (lambda it: {"verdict": it.records[0].verdict}, "bundle"),
        (lambda it: {"verdict": it.records[0].verdict}, "bundle in the channel before"),
    ],
    ids=["policy", "pictures", "judged", "bundle", "incumbent"],
)  # fmt: skip
def test_a_verdict_about_something_else_is_named(
    channel: Channel, change: Callable[[Channel], dict[str, object]], what: str
) -> None:
    first = channel.promote("v1")
    channel.promote("v2", **change(channel))

    found = channel.check([first])

    assert found.outcome == FAIL
    assert f"The verdict that the record names is of another {what}." in sentences(found)


def test_a_verdict_of_another_channel_is_named(channel: Channel) -> None:
    channel.promote("v1")
    channel.name = "production"

    assert "The verdict that the record names is of another channel." in sentences(channel.check())


def override(
    gate: str, outcome: str = FAIL, because: str = "it is needed", who: str = WHO
) -> Override:
    return Override(gate=gate, outcome=outcome, who=who, because=because)


def test_what_somebody_answers_for_passes(channel: Channel) -> None:
    channel.say("latency", FAIL, 20.0)
    channel.promote("v1", overrides=(override("latency"),))

    found = channel.check()

    assert found.outcome == PASS
    assert found.added[0].verdict
    assert found.added[0].verdict.outcome == FAIL


def test_an_override_is_of_one_gate_alone(channel: Channel) -> None:
    channel.say("latency", FAIL, 20.0)
    channel.say("size", INCONCLUSIVE)
    channel.promote("v1", overrides=(override("latency"),))

    assert channel.check().outcome == INCONCLUSIVE


@pytest.mark.parametrize(
    ("then", "now", "outcome"),
    [(INCONCLUSIVE, FAIL, FAIL), (FAIL, INCONCLUSIVE, PASS), (FAIL, FAIL, PASS)],
)
def test_an_override_of_what_was_not_known_is_none_of_a_failure(
    channel: Channel, then: str, now: str, outcome: str
) -> None:
    channel.say("latency", then, 20.0)
    channel.promote("v1", overrides=(override("latency", then),))
    channel.policy = Policy(max_evidence_days=30)
    channel.say("latency", now, 20.0)

    assert channel.check().outcome == outcome


def test_a_record_cannot_count_fewer_bundles_than_those_before(channel: Channel) -> None:
    first = channel.promote("v1")
    honest = channel.promote("v2")
    verdict = read_verdict(channel.run.store, honest.verdict)
    bundle = channel.contents("v2").bundle
    assert verdict
    assert bundle
    fewer = keep(channel.run.store, replace(verdict, judged_before=0), bundle, None)
    channel.records.pop()
    channel.promote("v2", judged=1, verdict=fewer.digest)

    found = channel.check([first])

    assert found.outcome == FAIL
    assert sentences(found) == [
        "It is number 1 of those that its pictures have judged, and by the records before 2 at "
        "the least."
    ]


def test_a_verdict_that_shows_another_policy_is_found(channel: Channel) -> None:
    honest = channel.promote("v1")
    verdict = read_verdict(channel.run.store, honest.verdict)
    bundle = channel.contents("v1").bundle
    assert verdict
    assert bundle
    shown = {**verdict.policy, "max_evidence_days": 30}
    other = keep(channel.run.store, replace(verdict, policy=shown), bundle, None)
    channel.records.pop()
    channel.promote("v1", verdict=other.digest)

    found = channel.check()

    assert found.outcome == FAIL
    assert sentences(found) == ["The verdict shows another policy than the one that it names."]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (override("size"), "size is overridden, and its verdict has it as passed."),
        (override("none"), "none is overridden, and its verdict has it as passed."),
        (override("parts"), "parts is overridden, and nobody may override it."),
        (override("belonging"), "belonging is overridden, and nobody may override it."),
        (override("grade:pc"), "grade:pc is overridden, and nobody may override it."),
        (override("latency", INCONCLUSIVE), "latency is overridden as another outcome than it had."),
        (override("latency", because=" "), "latency is overridden by nobody, or for no reason."),
        (override("latency", who=""), "latency is overridden by nobody, or for no reason."),
    ],
    ids=lambda it: getattr(it, "gate", ""),
)  # fmt: skip
def test_an_override_that_may_not_be_is_named(channel: Channel, given: Override, why: str) -> None:
    channel.policy = Policy(fixed=("grade",))
    for gate in ("latency", "parts", "belonging", "grade:pc"):
        channel.say(gate, FAIL, 20.0)
    rest = tuple(
        override(gate) for gate in ("latency", "parts", "belonging", "grade:pc")
        if gate != given.gate
    )  # fmt: skip
    channel.promote("v1", overrides=(given, *rest))

    found = channel.check()

    assert found.outcome == FAIL
    assert why in sentences(found)


def of(record: Record) -> dict[str, object]:
    """What a record that judges nothing has of the one whose bundle it is about."""
    names = ("bundle", "name", "verdict", "policy", "validation", "judged")
    return {name: getattr(record, name) for name in names}


def test_a_rollback_has_the_verdict_of_what_it_restores(channel: Channel) -> None:
    first, second = channel.promote("v1"), channel.promote("v2")
    said = {**of(first), "action": ROLLBACK, "restores": 1, "undoes": (2,)}
    channel.add(**said)

    assert channel.check([first, second]).outcome == PASS

    for change in ({"verdict": second.verdict}, {"judged": 7}, {"policy": NOTHING}, {"name": "v9"}):
        channel.records.pop()
        channel.add(**{**said, **change})
        found = channel.check([first, second])
        (what,) = change
        assert found.outcome == FAIL
        assert sentences(found) == [
            f"Record 3 has another {what} than record 1, which it restores."
        ]

    channel.records.pop()
    channel.add(**said, overrides=(override("latency"),))
    assert sentences(channel.check([first, second])) == [
        "record 3 is a rollback, and has 'overrides'."
    ]


def test_a_release_passes_and_a_promotion_before_it_does_not(channel: Channel) -> None:
    first, second = channel.promote("v1"), channel.promote("v2")
    held = channel.add(**of(first), action=ROLLBACK, restores=1, undoes=(2,))
    channel.add(**of(first), action=RELEASE)

    assert channel.check([first, second, held]).outcome == PASS

    channel.records.pop()
    channel.add(**{**of(first), "verdict": second.verdict}, action=RELEASE)
    assert sentences(channel.check([first, second, held])) == [
        "Record 4 has another verdict than the record before."
    ]

    channel.records.pop()
    channel.promote("v2")
    found = channel.check([first, second, held])
    assert found.outcome == FAIL
    assert "record 4 was promoted while record 3" in sentences(found)[0]


def test_a_chain_that_does_not_hold_is_not_judged(channel: Channel) -> None:
    first, _ = channel.promote("v1"), channel.promote("v2")
    channel.records.pop(0)

    found = channel.check([first])

    assert found.outcome == FAIL
    assert found.added == ()
    assert any("record 1 was removed" in each for each in sentences(found))


def test_what_git_has_and_the_file_has_not_is_named(channel: Channel) -> None:
    first = channel.promote("v1")
    channel.records.clear()

    found = channel.check([first])

    assert found.outcome == FAIL
    assert "record 1 was removed: git has it." in sentences(found)


def test_it_is_judged_with_what_the_verdict_keeps_and_counts(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the pictures of then are not, nothing but the verdict knows of the incumbent's matches."""
    first, second = channel.promote("v1"), channel.promote("v2")
    store, asked = channel.run.store, list[object]()
    verdict = store.find(second.verdict)
    assert verdict
    folder = channel.run.scratch / "kept"
    (folder / FOLDER).mkdir(parents=True)
    (folder / FOLDER / "origin.json").write_bytes(b"{}")
    (folder / "verdict.json").write_bytes(store.read(verdict, "verdict.json"))
    keeps = store.put("verdict", folder, verdict.provenance, (), verdict.subject)
    channel.records.pop()
    channel.promote("v2", verdict=keeps.digest)

    def remember(*given: object) -> Incumbent:
        asked.append(given[-1])
        return Incumbent(first.bundle, "v1", None)

    monkeypatch.setattr(checking, "incumbent_of", remember)
    found = channel.check([first])

    (added,) = found.added
    assert found.outcome == PASS
    assert asked == [keeps]
    assert added.verdict
    assert added.verdict.judged_before == 1


def test_a_promotion_that_no_gate_judged_does_not_pass(channel: Channel) -> None:
    channel.says.clear()
    channel.promote("v1")

    assert channel.check().outcome == INCONCLUSIVE
