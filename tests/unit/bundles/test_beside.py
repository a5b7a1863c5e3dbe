"""Runs that a report shows beside its own: found, limited to what is shown, or refused."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_trainings import Training, later, make

from mmdet_jetson.bundles.beside import read_compared
from mmdet_jetson.contract.gates import GATES
from mmdet_jetson.contract.parameters.report import MOST_COMPARED, ReportParameters
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.compared import with_compared
from mmdet_jetson.planning.steps import ExternalInput, Step
from mmdet_jetson.store import Store


@pytest.fixture
def digests(tmp_path: Path) -> Path:
    return tmp_path / "cache/digests.sqlite"


def report() -> Step:
    parameters = ReportParameters("cups", dict.fromkeys(GATES, 0.5), {}, ("pc",))
    return Step(stage=stages.REPORT, parameters=parameters)


def test_a_run_is_what_its_own_report_would_read(
    store: Store, digests: Path, tmp_path: Path
) -> None:
    checkpoint = make(store, tmp_path)
    (found,) = read_compared(store, ["mugs"], "cups", digests)
    assert set(found.inputs) == {
        "checkpoint", "evaluation-checkpoint", "evaluation-pc", "profile-pc",
    }  # fmt: skip
    assert found.run.targets == ("pc",)
    assert found.run.origin == checkpoint.digest
    evaluation = store.find("mugs.evaluate-checkpoint")
    assert evaluation
    assert found.run.validation == evaluation.provenance.inputs["dataset"]
    folder = found.inputs["checkpoint"].place(tmp_path / "placed")
    assert [path.name for path in folder.iterdir()] == ["metrics.json"]


def test_an_earlier_training_of_the_run_itself_can_be_compared_with(
    store: Store, digests: Path, tmp_path: Path
) -> None:
    first = make(store, tmp_path)
    make(store, tmp_path, later(seed=1))
    (found,) = read_compared(store, ["mugs~1"], "mugs", digests)
    assert (found.run.name, found.run.origin) == ("mugs~1", first.digest)


def test_runs_become_inputs_and_parameters_of_the_report_alone(
    store: Store, digests: Path, tmp_path: Path
) -> None:
    make(store, tmp_path)
    make(store, tmp_path, replace(Training(seed=3), name="jugs"))
    found = read_compared(store, ["mugs", "jugs", "mugs"], "cups", digests)
    (step,) = with_compared([report()], found)
    assert isinstance(step.parameters, ReportParameters)
    assert [each.name for each in step.parameters.compared] == ["mugs", "jugs"]
    assert {"compared-0-checkpoint", "compared-1-profile-pc"} <= set(step.inputs)
    for each in step.inputs.values():
        assert isinstance(each, ExternalInput)
        assert each.artifact is None
        assert each.digest().startswith("sha256:")
    assert with_compared([report()], ()) == (report(),)


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        (["mug"], "--compare: .* has no run, bundle or artifact 'mug'"),
        (["cups"], "--compare cups: that is the run itself"),
        (["mugs~7"], "--compare: mugs~7: of run mugs 1 training is known"),
        (["mugs.dataset"], "--compare mugs.dataset: it has no evaluation to show"),
        ([f"run{at}" for at in range(MOST_COMPARED + 1)], "--compare names 6 runs, and a chart"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(
    store: Store, digests: Path, tmp_path: Path, named: list[str], sentence: str
) -> None:
    make(store, tmp_path)
    with pytest.raises(UserError, match=sentence) as refused:
        read_compared(store, named, "cups", digests)
    assert refused.value.hint


def test_a_damaged_part_is_refused(store: Store, digests: Path, tmp_path: Path) -> None:
    make(store, tmp_path)
    evaluation = store.find("mugs.evaluate-pc")
    assert evaluation
    (layer,) = evaluation.layers
    blob = store.file_of(layer)
    blob.write_bytes(bytes(blob.stat().st_size))
    with pytest.raises(UserError, match=r"metrics.json of .* is damaged"):
        read_compared(store, ["mugs"], "cups", digests)


def test_a_part_of_another_size_is_refused_and_not_left_out(
    store: Store, digests: Path, tmp_path: Path
) -> None:
    make(store, tmp_path)
    evaluation = store.find("mugs.evaluate-pc")
    assert evaluation
    (layer,) = evaluation.layers
    store.file_of(layer).write_bytes(b"{}")
    with pytest.raises(UserError, match=r"mugs.evaluate-pc is damaged: .* bytes long"):
        read_compared(Store(store.root), ["mugs"], "cups", digests)


def test_a_wrong_name_is_answered_with_runs_alone(
    store: Store, digests: Path, tmp_path: Path
) -> None:
    make(store, tmp_path)
    with pytest.raises(UserError) as refused:
        read_compared(store, ["nope"], "cups", digests)
    assert refused.value.hint == "one of: mugs"
    with pytest.raises(UserError) as refused:
        read_compared(Store(tmp_path / "empty"), ["nope"], "cups", digests)
    assert "no run is there yet" in refused.value.hint
