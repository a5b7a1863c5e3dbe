"""Promotions, rollbacks, holds and overrides, in a clone without git unless a test says so."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from small_artifacts import tree
from small_channels import CHANNEL, POLICY, Clone, judged

from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE
from mmdet_jetson.errors import ConfigError, GateFailed, NotProven, UserError
from mmdet_jetson.promotion import overriding, promoting
from mmdet_jetson.promotion.channel_file import append, chain_flaws
from mmdet_jetson.promotion.channel_tags import tags_in
from mmdet_jetson.promotion.keeping import read_verdict
from mmdet_jetson.promotion.overriding import overrides_of
from mmdet_jetson.promotion.promoting import promote
from mmdet_jetson.promotion.records import Record, digest_of, is_held


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def refused(clone: Clone, *arguments: object, **options: object) -> UserError:
    with pytest.raises(UserError) as error:
        promote(clone.settings, clone.store, clone.proposal(*arguments, **options))  # type: ignore[arg-type]
    return error.value


def test_a_promotion_leaves_a_record_its_tags_and_its_verdict(clone: Clone) -> None:
    blobs = {path.name for path in (clone.store.root / "blobs/sha256").glob("*")}
    first = clone.promote("v1")
    second = clone.promote("v2")

    assert clone.records == (first, second)
    assert tags_in(clone.store, CHANNEL) == {0: second.bundle, 1: first.bundle, 2: second.bundle}
    assert clone.tags() == {
        "channel-staging": "v2",
        "channel-staging-1": "v1",
        "channel-staging-2": "v2",
    }
    assert (second.name, second.judged, second.reason) == ("v2", 2, "v2 is better")
    assert second.previous == first.digest
    verdict = read_verdict(clone.store, second.verdict)
    assert verdict
    assert verdict.bundle == second.bundle
    assert verdict.incumbent == first.bundle
    assert clone.store.verify().problems == ()
    assert blobs == set()


def test_nothing_of_a_bundle_is_written_again(clone: Clone) -> None:
    clone.bundle("v1", size=1_000_000)
    folder = clone.store.root / "blobs/sha256"
    before = {path: path.stat() for path in folder.iterdir()}

    clone.promote("v1")

    after = {path: path.stat() for path in folder.iterdir()}
    assert {path: after[path] for path in before} == before
    assert sum(stat.st_size for path, stat in after.items() if path not in before) < 10_000


@pytest.mark.parametrize(("outcome", "error"), [(FAIL, GateFailed), (INCONCLUSIVE, NotProven)])
def test_what_does_not_pass_changes_nothing_but_that_it_counts(
    clone: Clone, outcome: str, error: type[UserError]
) -> None:
    clone.promote("v1")
    was, tags = tree(clone.path.parent), clone.tags()

    found = refused(clone, "v2", judged("size"), judged("latency", outcome, "pc"))

    assert isinstance(found, error)
    assert f"latency:pc is {outcome}: It says {outcome}" in found.message
    assert "--override latency:pc --because" in found.hint
    assert tree(clone.path.parent) == was
    assert clone.tags() == tags
    verdicts = [each for each in clone.store.artifacts() if each.kind == "verdict"]
    kept = [read_verdict(clone.store, each.digest) for each in verdicts]
    assert {each.outcome for each in kept if each} == {"pass", outcome}


def test_nobody_is_told_to_override_what_nobody_may(clone: Clone) -> None:
    hint = refused(clone, "v1", judged("accuracy", FAIL, "pc")).hint
    assert hint == "a bundle that passes: nobody may override that"


def test_a_failure_comes_before_what_is_inconclusive(clone: Clone) -> None:
    gates = (judged("age", INCONCLUSIVE), judged("size", FAIL))
    assert isinstance(refused(clone, "v1", *gates), GateFailed)


def test_no_gates_prove_nothing(clone: Clone) -> None:
    proposal = clone.proposal("v1")
    empty = msgspec.structs.replace(proposal.verdict, gates=())
    with pytest.raises(NotProven, match="nothing was judged"):
        promote(clone.settings, clone.store, replace(proposal, verdict=empty))
    assert clone.records == ()


def test_an_override_is_in_the_record_for_ever(clone: Clone) -> None:
    gates = (judged("latency", FAIL, "pc"), judged("latency", INCONCLUSIVE, "orin"), judged("size"))
    proposal = clone.proposal("v1", *gates, override=["latency"])

    promote(clone.settings, clone.store, proposal)

    (record,) = clone.records
    assert [(each.gate, each.outcome) for each in record.overrides] == [
        ("latency:pc", FAIL),
        ("latency:orin", INCONCLUSIVE),
    ]
    assert {(each.who, each.because) for each in record.overrides} == {
        ("Ada <ada@example.com>", "I have looked")
    }


def test_every_gate_that_did_not_pass_has_to_be_overridden(clone: Clone) -> None:
    gates = (judged("latency", FAIL, "pc"), judged("latency", FAIL, "orin"), judged("age", FAIL))

    found = refused(clone, "v1", *gates, override=["latency:pc", "age"])

    assert isinstance(found, GateFailed)
    assert "latency:orin is fail" in found.message
    assert clone.records == ()


@pytest.mark.parametrize(
    ("asked", "because", "said"),
    [
        (["accuracy:pc"], "x", "nobody may override that, fail"),
        (["accuracy"], "x", "nobody may override that, fail"),
        (["parts"], "x", "nobody may override that, inconclusive"),
        (["belonging"], "x", "nobody may override that, fail"),
        (["size"], "x", "it passed"),
        (["agee"], "x", "no gate judged that\n  try: did you mean 'age'?"),
        (["age"], "", "--override: nobody says why"),
        (["age"], "  ", "--override: nobody says why"),
        ([], "x", "--because: nothing is overridden"),
    ],
)
def test_not_everything_can_be_overridden(
    clone: Clone, asked: Sequence[str], because: str, said: str
) -> None:
    gates = (
        judged("accuracy", FAIL, "pc"), judged("parts", INCONCLUSIVE), judged("belonging", FAIL),
        judged("size"), judged("age", FAIL),
    )  # fmt: skip
    verdict = clone.verdict("v1", *gates)
    with pytest.raises(ConfigError) as error:
        overrides_of(verdict, POLICY, asked, "Ada", because)
    assert said in str(error.value)


def test_a_rollback_brings_back_what_was_there_and_holds(clone: Clone) -> None:
    clone.promote("v1", "v2", "v3")

    record = clone.rollback()

    assert (record.sequence, record.restores, record.undoes) == (4, 2, (3,))
    assert record.bundle == clone.records[1].bundle
    assert record.verdict == clone.records[1].verdict
    assert clone.tags()["channel-staging"] == clone.tags()["channel-staging-4"] == "v2"
    found = refused(clone, "v4")
    assert "staging is held by record 4 (rollback of v2 by Ada <ada@example.com>, " in found.message
    assert found.message.endswith("): it broke")
    assert "--release" in found.hint
    assert len(clone.records) == 4
    assert chain_flaws(clone.records) == []


def test_a_promotion_that_releases_says_so(clone: Clone) -> None:
    clone.promote("v1", "v2")
    clone.rollback()

    promote(clone.settings, clone.store, clone.proposal("v3", release=True))

    assert not is_held(clone.records)
    promote(clone.settings, clone.store, clone.proposal("v4", release=True))
    assert [each.released for each in clone.records[-2:]] == [True, False]
    assert chain_flaws(clone.records) == []


def test_a_release_alone_leaves_what_is_there(clone: Clone) -> None:
    clone.promote("v1", "v2")
    clone.rollback()

    record = clone.release()

    assert (record.sequence, record.action, record.name) == (4, "release", "v1")
    assert clone.tags()["channel-staging-4"] == "v1"
    clone.promote("v4")
    with pytest.raises(UserError, match="nothing holds staging"):
        clone.release()
    assert chain_flaws(clone.records) == []


def test_two_rollbacks_go_back_two_bundles(clone: Clone) -> None:
    clone.promote("v1", "v2", "v3")
    assert clone.rollback().name == "v2"
    assert clone.rollback().name == "v1"
    with pytest.raises(UserError, match="nothing was in staging before v1"):
        clone.rollback()


def test_a_rollback_after_a_rollback_and_a_promotion(clone: Clone) -> None:
    clone.promote("v1", "v2")
    clone.rollback()
    clone.release()
    clone.promote("v3")

    record = clone.rollback()

    assert (record.name, record.restores, record.undoes) == ("v1", 3, (5,))
    with pytest.raises(UserError, match="nothing was in staging before v1"):
        clone.rollback()
    assert chain_flaws(clone.records) == []


def test_a_rollback_to_a_record(clone: Clone) -> None:
    clone.promote("v1", "v2", "v3", "v4")
    clone.rollback(4 - 3)
    clone.release()

    assert (clone.records[4].restores, clone.records[4].undoes) == (1, (2, 3, 4))
    record = clone.rollback(3)
    assert (record.restores, record.undoes) == (3, (4, 5))
    for number, said in (
        (9, "has no record 9"),
        (0, "has no record 0"),
        (3, "is in staging already"),
    ):
        with pytest.raises(UserError, match=said):
            clone.rollback(number)


def test_an_empty_channel_has_nothing_to_go_back_to(clone: Clone) -> None:
    with pytest.raises(UserError, match="staging has no records yet"):
        clone.rollback()


def test_what_is_not_here_cannot_come_back(clone: Clone, tmp_path: Path) -> None:
    clone.promote("v1", "v2")
    other = Clone(tmp_path / "other")
    other.bundle("v9")
    for record in clone.records:
        append(other.path, record)

    with pytest.raises(UserError) as error:
        other.rollback()

    assert f"bundle {clone.records[0].bundle[7:19]} of record 1" in error.value.message
    assert "invoke pull channel-staging-1" in error.value.hint
    assert len(other.records) == 2


def test_a_bundle_without_its_verdict_does_not_come_back(clone: Clone) -> None:
    clone.promote("v1", "v2")
    verdict = clone.store.find(clone.records[0].verdict)
    assert verdict
    clone.store.file_of(verdict.layers[0]).unlink()

    with pytest.raises(UserError, match="its verdict of record 1"):
        clone.rollback()


def test_somebody_was_faster(clone: Clone) -> None:
    """What was judged against the records of before is not promoted behind others."""
    late = clone.proposal("v1")
    replace(clone, who="Bob <bob@example.com>").promote("v2")
    was = clone.tags()

    with pytest.raises(UserError) as error:
        promote(clone.settings, clone.store, late)

    assert "meanwhile record 1 (promote of v2 by Bob <bob@example.com>, " in error.value.message
    assert error.value.exit_code == 1
    assert len(clone.records) == 1
    assert clone.tags() == was


def test_a_verdict_about_something_else_is_a_bug(clone: Clone) -> None:
    proposal = clone.proposal("v1")
    for field in ("bundle", "channel", "policy_digest", "incumbent"):
        other = msgspec.structs.replace(proposal.verdict, **{field: "x"})
        with pytest.raises(ValueError, match="a verdict about"):
            promote(clone.settings, clone.store, replace(proposal, verdict=other))


def test_a_flawed_chain_is_no_ground_to_stand_on(clone: Clone) -> None:
    clone.promote("v1", "v2", "v3")
    text = clone.path.read_text()
    clone.path.write_text(text.replace("v2 is better", "v2 is best"))

    assert "record 2 was changed" in refused(clone, "v4").message
    with pytest.raises(UserError, match="record 2 was changed"):
        clone.rollback()
    assert clone.path.read_text() == text.replace("v2 is better", "v2 is best")


def test_a_removed_last_record_is_missed_by_the_tags(clone: Clone) -> None:
    clone.promote("v1", "v2")
    last = clone.path.read_text().rindex("\n[[record]]")
    clone.path.write_text(clone.path.read_text()[:last])

    assert "record 2 was removed, or this clone is behind" in refused(clone, "v3").message


def test_what_was_never_committed_may_be_begun_anew(clone: Clone) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    for words in (("init", "-q"), (*who, "commit", "-q", "--allow-empty", "-m", "begin")):
        subprocess.run(["git", "-C", str(clone.folder), *words], check=True)
    clone.promote("v1", "v2")
    shutil.rmtree(clone.path.parent)

    assert clone.promote("v3").sequence == 1
    assert clone.tags() == {"channel-staging": "v3", "channel-staging-1": "v3"}


def test_a_tag_that_a_killed_promotion_left_is_moved(clone: Clone) -> None:
    clone.promote("v1")
    clone.store.tag(clone.bundle("v2"), "channel-staging-2")

    clone.promote("v3")

    assert clone.tags() == {
        "channel-staging": "v3",
        "channel-staging-1": "v1",
        "channel-staging-2": "v3",
    }


def test_tags_that_are_missing_come_back(clone: Clone) -> None:
    clone.promote("v1", "v2")
    clone.store.untag("channel-staging-1", "channel-staging")

    clone.promote("v3")

    assert clone.tags()["channel-staging-1"] == "v1"


def test_a_tag_that_did_not_follow_is_moved(clone: Clone) -> None:
    clone.promote("v1", "v2")
    clone.store.tag(clone.bundle("v1"), "channel-staging")

    clone.promote("v3")

    assert clone.tags()["channel-staging"] == "v3"


def test_a_bundle_that_is_collected_meanwhile_is_not_promoted(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone.promote("v1")
    proposal = clone.proposal("v2")
    appended = list[Record]()
    monkeypatch.setattr(promoting, "append", lambda _, record: appended.append(record))
    refuse = overriding.refuse_unproven

    def collect(*arguments: object) -> None:
        refuse(*arguments)  # type: ignore[arg-type]
        clone.store.untag("v2")
        clone.store.gc(lambda _: True)

    monkeypatch.setattr(promoting, "refuse_unproven", collect)
    with pytest.raises(UserError, match="or its verdict is not in"):
        promote(clone.settings, clone.store, proposal)
    assert appended == []
    assert "channel-staging-2" not in clone.store.tags()


def test_a_verdict_that_is_gone_by_then_lets_nothing_in(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = overriding.refuse_unproven

    def lose(*arguments: object) -> None:
        refuse(*arguments)  # type: ignore[arg-type]
        (verdict,) = (each for each in clone.store.artifacts() if each.kind == "verdict")
        clone.store.file_of(verdict.layers[0]).unlink()

    monkeypatch.setattr(promoting, "refuse_unproven", lose)
    assert "or its verdict is not in" in refused(clone, "v1").message
    assert clone.records == ()


def test_text_that_is_none_is_refused(clone: Clone) -> None:
    with pytest.raises(UserError, match="UTF-8"):
        promote(clone.settings, clone.store, replace(clone.proposal("v1"), reason="\udcff"))
    assert clone.records == ()


def test_records_have_the_digest_that_they_should(clone: Clone) -> None:
    clone.promote("v1", "v2")
    clone.rollback()
    assert [each.digest for each in clone.records] == [digest_of(each) for each in clone.records]


def test_gc_keeps_what_is_in_a_channel(clone: Clone) -> None:
    clone.promote("v1", "v2")
    clone.store.untag("v1", "v2")

    clone.store.gc(lambda _: True)

    assert clone.rollback().sequence == 3
    assert all(clone.store.find(each.verdict) for each in clone.records)
