from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from fakes import FakeRuntime, Quiet, dataset_step, everywhere, train_step

from mmdet_jetson.planning import keys
from mmdet_jetson.planning.explain import states
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.running.run_step import RunContext, ingredients_on
from mmdet_jetson.running.run_steps import run_steps
from mmdet_jetson.store import Store

DATASET, TRAIN = dataset_step(), train_step()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


def run(store: Store, *steps: Step) -> None:
    run_steps(steps, RunContext(everywhere(FakeRuntime()), store, Quiet()), "mine")


def why(store: Store, *steps: Step, runtime: FakeRuntime | None = None) -> list[tuple[str, ...]]:
    ingredients_of = partial(ingredients_on, everywhere(runtime or FakeRuntime()))
    found = states(steps, ingredients_of, store, "mine")
    return [(state.word, *state.reasons) for state in found]


def test_nothing_ran_yet(store: Store) -> None:
    assert why(store, DATASET, TRAIN) == [
        ("missing", "it never ran under the name 'mine.dataset'"),
        ("waiting", "needs dataset, which would run first"),
    ]


def test_everything_is_cached(store: Store) -> None:
    run(store, DATASET, TRAIN)
    assert [word for word, *_ in why(store, DATASET, TRAIN)] == ["cached", "cached"]


def test_a_changed_parameter_is_named_with_both_values(store: Store) -> None:
    run(store, DATASET, TRAIN)
    assert why(store, DATASET, train_step(epochs=80, workers=0))[1] == (
        "missing",
        "parameter epochs: was 40, is 80",
        "parameter workers: was 2, is 0",
    )


def test_a_changed_environment_is_named(store: Store) -> None:
    run(store, DATASET)
    assert why(store, DATASET, runtime=FakeRuntime("lock-2")) == [
        ("missing", "environment train: was lock-1, is lock-2")
    ]


def test_a_changed_source_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run(store, DATASET)
    monkeypatch.setattr(keys, "source_digest", lambda name: "changed")
    assert why(store, DATASET) == [("missing", "the stage's own source changed")]


def test_a_changed_input_is_named(store: Store) -> None:
    run(store, DATASET, TRAIN)
    other = dataset_step(seed=1)
    run(store, other)
    (_, train) = why(store, other, TRAIN)
    assert train[0] == "missing"
    assert train[1].startswith("input dataset: was sha256:")


def test_a_lost_artifact_is_said_to_be_lost(store: Store) -> None:
    run(store, DATASET)
    (tag,) = [tag for tag in store.tags() if tag.startswith("cache.")]
    store.untag(tag)
    assert why(store, DATASET) == [("missing", "its artifact is no longer in the store")]


@pytest.mark.parametrize("tag", ["cache", "name"])
def test_a_damaged_artifact_is_said_to_be_damaged(store: Store, tag: str) -> None:
    run(store, DATASET)
    layer = next(iter(store.artifacts())).layers[0]
    (store.root / "blobs/sha256" / layer.blob.digest[7:]).unlink()
    runtime = FakeRuntime("lock-1" if tag == "cache" else "lock-2")
    says = f"blob {layer.blob.digest[:19]} is missing; run again, or `invoke verify --mend`"
    assert why(store, DATASET, runtime=runtime) == [("damaged", says)]


def test_what_has_to_come_before_a_known_result_is_not_needed(store: Store) -> None:
    first, second = dataset_step(), replace(dataset_step(seed=1), subject="check")
    train = replace(TRAIN, after=(second.name,))
    assert why(store, first, second, train)[1][0] == "missing"
    run(store, first, TRAIN)
    known = ("not needed", "it only has to come before train, which is known")
    assert why(store, first, second, train)[1] == known
    run(store, first, second)
    assert why(store, first, second, train)[1][0] == "cached"
