"""What a name stands for: a run, a bundle, one artifact, or nothing."""

import pytest
from small_artifacts import blob_of, found
from small_releases import PC, SmallRun

from mmdet_jetson.bundles.contents import (
    PartName,
    contents_of,
    of_run,
    runs_in,
)
from mmdet_jetson.contract.report import EvaluationMetrics, Verdict
from mmdet_jetson.errors import UserError


def test_a_run_is_all_that_has_its_name(run: SmallRun) -> None:
    contents = contents_of(run.store, "demo")

    assert set(contents.parts) == {PartName(each.kind, each.subject) for each in run.steps}
    assert contents.get("engine", PC) == run.made[f"engine-{PC}"]
    assert contents.title(PartName("engine", PC)) == f"demo.engine-{PC}"


def test_runs_whose_names_begin_alike_are_kept_apart(run: SmallRun) -> None:
    run.store.tag(run.made["train"], "demo.v2.train", "v2.demo")

    assert runs_in(run.store) == ["demo", "demo.v2"]
    assert list(of_run(run.store, "demo.v2").parts) == [PartName("checkpoint")]
    assert PartName("checkpoint") in of_run(run.store, "demo").parts


def test_a_tag_or_a_digest_is_one_artifact(run: SmallRun) -> None:
    engine = run.made[f"engine-{PC}"]

    for name in (f"demo.engine-{PC}", engine.digest, engine.digest[7:19]):
        assert contents_of(run.store, name).parts == {PartName("engine", PC): engine}


def test_what_is_not_there_is_refused_with_what_is(run: SmallRun) -> None:
    with pytest.raises(UserError, match="no run, bundle or artifact 'dmo'") as caught:
        contents_of(run.store, "dmo")
    assert caught.value.hint == "did you mean 'demo'?"


def test_what_is_damaged_is_called_that(run: SmallRun) -> None:
    blob_of(run.store, run.made["train"].layers[0].blob.digest).unlink()

    with pytest.raises(UserError, match=r"demo\.train is damaged: blob sha256:\w+ is missing"):
        contents_of(run.store, "demo.train")


def test_files_are_read_as_what_they_are(run: SmallRun) -> None:
    contents = contents_of(run.store, "demo")
    evaluation = found(run.store, f"demo.evaluate-{PC}")

    assert contents.record(evaluation, "metrics.json", EvaluationMetrics)
    assert contents.document(evaluation, "absent.json") is None
    with pytest.raises(UserError, match=f"metrics.json of demo.evaluate-{PC} cannot be read"):
        contents.record(evaluation, "metrics.json", Verdict)
