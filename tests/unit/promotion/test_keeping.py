"""Verdicts in the store: the same everywhere, found again, counted, and gone with their bundle."""

from dataclasses import replace

import msgspec
import pytest
from bad_bundles import BAD
from proven_releases import ProvenRun, case
from small_artifacts import blob_of
from small_releases import PC

from mmdet_jetson.bundles.contents import Contents
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.judging import judge
from mmdet_jetson.promotion.keeping import (
    FOLDER,
    judged_before,
    keep,
    read_verdict,
    verdicts_in,
)
from mmdet_jetson.promotion.records import PROMOTE, Record
from mmdet_jetson.promotion.verdicts import Verdict
from mmdet_jetson.store import Artifact, Bundle, Store

OTHER = "sha256:" + "8" * 64


def bundle_of(contents: Contents) -> Bundle:
    assert contents.bundle
    return contents.bundle


def kept(run: ProvenRun, contents: Contents, evaluation: Artifact | None = None) -> Artifact:
    return keep(run.store, judge(case(contents), 0), bundle_of(contents), evaluation)


def record(bundle: str, validation: str, judged: int) -> Record:
    return Record(
        sequence=1,
        action=PROMOTE,
        bundle=bundle,
        validation=validation,
        judged=judged,
        who="A <a@b.c>",
        at="2026-11-01T00:00:00+00:00",
    )


def test_a_verdict_is_read_as_it_was_kept(run: ProvenRun) -> None:
    contents = run.bundle()
    said = judge(case(contents), 3)

    artifact = keep(run.store, said, bundle_of(contents), None)

    assert read_verdict(Store(run.store.root), artifact.digest) == said
    assert artifact.subject == bundle_of(contents).descriptor
    assert run.store.verify().problems == ()


def test_the_same_verdict_is_the_same_artifact(run: ProvenRun) -> None:
    contents = run.bundle()

    first, second = kept(run, contents), kept(run, contents)

    assert first.digest == second.digest
    assert len(list(verdicts_in(run.store))) == 1


def test_another_count_is_another_verdict(run: ProvenRun) -> None:
    contents = run.bundle()
    first = kept(run, contents)

    second = keep(run.store, judge(case(contents), 1), bundle_of(contents), None)

    assert first.digest != second.digest


def test_what_was_measured_of_the_incumbent_lies_beside_it(run: ProvenRun) -> None:
    contents = run.bundle()
    evaluation = run.made["evaluate-checkpoint"]

    artifact = kept(run, contents, evaluation)

    assert {each.title for each in artifact.layers} == {"verdict.json", FOLDER}
    assert kept(run, contents, evaluation).digest == artifact.digest


def test_without_an_incumbent_nothing_lies_beside_it(run: ProvenRun) -> None:
    assert [each.title for each in kept(run, run.bundle()).layers] == ["verdict.json"]


def test_a_verdict_lives_as_long_as_its_bundle(run: ProvenRun) -> None:
    artifact = kept(run, run.bundle())

    run.store.gc(lambda _: True)
    assert Store(run.store.root).find(artifact.digest)

    run.store.untag("candidate")
    run.store.gc(lambda _: True)
    assert Store(run.store.root).find(artifact.digest) is None


def test_a_digest_of_something_else_is_no_verdict(run: ProvenRun) -> None:
    assert read_verdict(run.store, OTHER) is None
    assert read_verdict(run.store, run.made["train"].digest) is None


def test_a_verdict_of_another_version_is_a_sentence(run: ProvenRun) -> None:
    contents = run.bundle()
    folder = run.scratch / "strange"
    folder.mkdir()
    (folder / "verdict.json").write_text("[]")
    strange = run.store.put("verdict", folder, run.made["train"].provenance, ["strange"])

    with pytest.raises(UserError, match="cannot be read"):
        read_verdict(run.store, strange.digest)

    artifact = kept(run, contents)
    path = blob_of(run.store, artifact.layers[0].blob.digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"pass", b"fail"))
    with pytest.raises(UserError, match="damaged"):
        read_verdict(run.store, artifact.digest)


def test_bundles_that_the_same_pictures_have_judged_are_counted(run: ProvenRun) -> None:
    first = run.bundle("first")
    validation = case(first).validation
    mine = bundle_of(first).digest
    assert judged_before(run.store, [], validation, mine) == 0

    kept(run, first)
    assert judged_before(run.store, [], validation, mine) == 0  # itself
    assert judged_before(run.store, [], validation, OTHER) == 1

    run.make(f"profile-{PC}", created="2026-11-09T10:00:00+00:00")
    second = run.bundle("second")
    kept(run, second)
    assert judged_before(run.store, [], validation, OTHER) == 2
    assert judged_before(run.store, [], validation, mine) == 1
    assert judged_before(run.store, [], OTHER, mine) == 0  # other pictures


def test_a_refused_candidate_counts(run: ProvenRun) -> None:
    bad = BAD["too-large"].bundle(run)

    artifact = kept(run, bad)

    said = read_verdict(run.store, artifact.digest)
    assert said
    assert said.outcome == "fail"
    assert judged_before(run.store, [], said.validation, OTHER) == 1


def test_what_was_counted_elsewhere_is_in_the_records(run: ProvenRun) -> None:
    contents = run.bundle()
    validation, mine = case(contents).validation, bundle_of(contents).digest
    kept(run, contents)
    records = [record(OTHER, validation, 40), record("sha256:" + "9" * 64, OTHER, 99)]

    assert judged_before(run.store, records, validation, mine) == 40
    assert judged_before(run.store, records, validation, OTHER) == 39
    assert judged_before(run.store, [record(OTHER, validation, 1)], validation, mine) == 1
    few = [record(OTHER, validation, 0)]  # of a file that somebody wrote by hand
    assert judged_before(run.store, few, validation, mine) == 1


def test_a_bundle_that_was_refused_before_is_not_counted_twice(run: ProvenRun) -> None:
    first = run.bundle("first")
    validation = case(first).validation
    kept(run, first)
    run.make(f"profile-{PC}", created="2026-11-09T10:00:00+00:00")
    second = run.bundle("second")
    kept(run, second)
    records = [record(bundle_of(first).digest, validation, 2)]

    assert judged_before(run.store, records, validation, bundle_of(second).digest) == 1


def test_a_bundle_without_a_time_has_a_verdict_too(run: ProvenRun) -> None:
    contents = run.bundle()
    bundle, said = bundle_of(contents), judge(case(contents), 0)
    created = "org.opencontainers.image.created"

    for time in ("", "soon", "2026-11-01T10:00:00"):
        timeless = replace(bundle, annotations={created: time} if time else {})
        artifact = keep(run.store, said, timeless, None)
        assert artifact.provenance.created.startswith("1970-01-01")


def test_a_verdict_has_nothing_of_the_time_of_judging(run: ProvenRun) -> None:
    contents = run.bundle()
    first = case(contents)

    later = judge(replace(first, now=first.now.replace(day=25), _read={}), 0)

    assert later == judge(first, 0)
    assert msgspec.json.decode(msgspec.json.encode(later), type=Verdict) == later
