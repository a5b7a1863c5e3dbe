import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeRuntime, Quiet

from mmdet_jetson.errors import UserError
from mmdet_jetson.locks import hold, is_free
from mmdet_jetson.planning import keys
from mmdet_jetson.planning.keys import ingredients
from mmdet_jetson.planning.steps import Given, Made, Step, missing_inputs
from mmdet_jetson.running.jobs import Abandoned, lock_of, sweep
from mmdet_jetson.running.run_step import RunContext, run_step
from mmdet_jetson.runtimes.outcome import StageResult
from mmdet_jetson.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture
def shop(store: Store) -> RunContext:
    return RunContext(FakeRuntime(), store, Quiet())


def first(**parameters: object) -> Step:
    return Step("dataset", "dataset", "train", "dataset", parameters)


def second() -> Step:
    return Step("train", "train", "train", "checkpoint", {}, {"dataset": Made("dataset")})


def test_a_result_is_made_once(shop: RunContext) -> None:
    made = run_step(first(seed=1), shop, {})
    again = run_step(first(seed=1), shop, {})
    assert made.digest == again.digest
    assert shop.runtime.runs == ["dataset"]  # type: ignore[attr-defined]
    assert shop.listener.heard == [  # type: ignore[attr-defined]
        "started dataset", "dataset 1/2", "made dataset", "cached dataset",
    ]  # fmt: skip


def test_an_artifact_names_its_origin(shop: RunContext) -> None:
    dataset = run_step(first(seed=1), shop, {})
    origin = run_step(second(), shop, {"dataset": dataset}).provenance
    assert origin.stage == "train"
    assert origin.inputs == {"dataset": dataset.content}
    assert origin.environment == "train:lock-1"
    assert origin.metrics == {"AP": 0.5}
    assert origin.warnings == ["mind the gap"]
    assert origin.created.endswith("+00:00")


def test_every_ingredient_changes_the_key(shop: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"dataset": run_step(first(seed=1), shop, {})}
    other = {"dataset": run_step(first(seed=2), shop, {})}
    base = ingredients(second(), "lock-1", made).key
    assert ingredients(second(), "lock-1", made).key == base
    assert ingredients(second(), "lock-1", other).key != base
    assert ingredients(second(), "lock-2", made).key != base
    assert ingredients(replace(second(), parameters={"a": 1}), "lock-1", made).key != base
    monkeypatch.setattr(keys, "source_digest", lambda stage: "changed")
    assert ingredients(second(), "lock-1", made).key != base


def test_equal_content_cuts_off_what_follows(shop: RunContext) -> None:
    """A dataset that is made again by other means but comes out the same trains nothing anew."""
    run_step(second(), shop, {"dataset": run_step(first(), shop, {})})
    shop.runtime.environment = "lock-1"  # type: ignore[attr-defined]
    moved = replace(first(), stage="export")
    run_step(second(), shop, {"dataset": run_step(moved, shop, {})})
    assert shop.runtime.runs == ["dataset", "train", "export"]  # type: ignore[attr-defined]


def test_a_failed_stage_stores_nothing_and_keeps_its_folder(shop: RunContext, store: Store) -> None:
    shop.runtime.fails = True  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="broke"):
        run_step(first(), shop, {})
    assert store.tags() == {}
    (job,) = (store.root / "jobs").glob("*/")
    assert (job / "job.json").exists()


@pytest.mark.parametrize("resumable", [True, False])
def test_only_a_resumable_stage_finds_its_work_again(shop: RunContext, resumable: bool) -> None:
    step = replace(first(), resumable=resumable)
    shop.runtime.fails = True  # type: ignore[attr-defined]
    with pytest.raises(UserError):
        run_step(step, shop, {})
    seen: list[bool] = []
    runtime = shop.runtime
    original = runtime.run

    def look(step: Step, job: Path, *rest: object, **more: object) -> StageResult:
        seen.append((job / "work/newest.pth").exists())
        runtime.fails = False  # type: ignore[attr-defined]
        return original(step, job, *rest, **more)  # type: ignore[arg-type]

    runtime.run = look  # type: ignore[method-assign,assignment]
    run_step(step, shop, {})
    assert seen == [resumable]
    assert list((shop.store.root / "jobs").iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "lent"), [("lock-1", "what 2 measured"), ("another device", "")]
)
def test_a_step_finds_what_it_reuses_of_its_last_artifact(
    environment: str, lent: str, tmp_path: Path
) -> None:
    """The newest one of the same environment, and the key does not depend on it."""
    found: list[str] = []

    class Measuring(FakeRuntime):
        def run(self, step: Step, job: Path, *rest: Any, **more: Any) -> StageResult:
            earlier = job / "work/timing.cache"
            found.append(earlier.read_text() if earlier.exists() else "")
            measured = f"what {step.parameters['seed']} measured"
            (job / "output/timing.cache").write_text(measured)
            return super().run(step, job, *rest, **more)

    runtime = Measuring()
    shop = RunContext(runtime, Store(tmp_path / "artifacts"), Quiet())
    for seed in (1, 2):
        run_step(replace(first(seed=seed), reuses="timing.cache"), shop, {})
    run_step(replace(first(seed=3), name="another"), shop, {})
    runtime.environment = environment
    last = run_step(replace(first(seed=4), reuses="timing.cache"), shop, {})
    assert found == ["", "what 1 measured", "", lent]
    plain = ingredients(first(seed=4), last.provenance.environment, {})
    assert last.provenance.key == plain.key


def test_inputs_are_read_only(shop: RunContext, store: Store) -> None:
    made = {"dataset": run_step(first(), shop, {})}
    shop.runtime.fails = True  # type: ignore[attr-defined]
    with pytest.raises(UserError):
        run_step(second(), shop, made)
    (file,) = (store.root / "jobs").glob("train-*/inputs/dataset/out.txt")
    assert not file.stat().st_mode & 0o222


def test_a_given_folder_is_read_where_it_is(shop: RunContext, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "out.txt").write_text("my pictures")
    given = Given(lambda: "sha256:1", lambda _: mine)
    made = run_step(replace(first(), inputs={"source": given}), shop, {})
    assert b"my pictures" in shop.store.read(made, "out.txt")
    assert made.provenance.inputs == {"source": "sha256:1"}


def test_an_input_that_changes_while_it_is_read_is_not_stored(
    shop: RunContext, tmp_path: Path
) -> None:
    """The user edits an annotation while the stage reads: neither version may get this result."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "out.txt").write_text("pictures")
    digests = iter(["before", "after", "after", "after"])
    step = replace(first(), inputs={"source": Given(lambda: next(digests), lambda _: mine)})
    with pytest.raises(UserError, match="an input changed while it was read"):
        run_step(step, shop, {})
    assert shop.store.tags() == {}


def test_again_runs_what_is_known(shop: RunContext) -> None:
    old = run_step(first(), shop, {})
    new = run_step(first(), replace(shop, again=frozenset({"dataset"})), {})
    assert shop.runtime.runs == ["dataset", "dataset"]  # type: ignore[attr-defined]
    assert new.content == old.content
    assert shop.store.tags()[f"cache.{new.provenance.key}"].digest == new.digest


def test_a_measurement_of_time_belongs_to_its_device(shop: RunContext) -> None:
    step = replace(first(), measures_device=True)
    run_step(step, shop, {})
    shop.runtime.device = lambda _: "another"  # type: ignore[method-assign]
    run_step(step, shop, {})
    run_step(first(), shop, {})
    assert len(shop.runtime.runs) == 3  # type: ignore[attr-defined]


def test_evidence_refers_to_what_it_judges(shop: RunContext) -> None:
    made = {"dataset": run_step(first(), shop, {})}
    judged = run_step(replace(second(), judges="dataset"), shop, made)
    assert judged.subject is not None
    assert judged.subject.digest == made["dataset"].digest


def test_two_runs_at_once_compute_once(store: Store) -> None:
    runtime, heard = FakeRuntime(), [Quiet(), Quiet()]
    results: list[str] = []

    def one(quiet: Quiet) -> None:
        shop = RunContext(runtime, Store(store.root), quiet)
        results.append(run_step(first(), shop, {}).digest)

    threads = [threading.Thread(target=one, args=[quiet]) for quiet in heard]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runtime.runs == ["dataset"]
    assert len(set(results)) == 1


def test_sweep_removes_only_old_jobs_that_nobody_holds(tmp_path: Path) -> None:
    for name in ("old", "young", "held"):
        (tmp_path / name / "work").mkdir(parents=True)
    for name in ("old", "held", "resumed"):
        (tmp_path / name / "work").mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "log.txt").write_text("epoch 1")
        for path in (tmp_path / name / "work", tmp_path / name / "log.txt", tmp_path / name):
            os.utime(path, (time.time() - 1e6,) * 2)
    (tmp_path / "resumed/log.txt").write_text("epoch 2")
    with hold(lock_of(tmp_path / "held")) as lock:
        os.utime(lock.name, (time.time() - 1e6,) * 2)
        would = sweep(tmp_path, dry_run=True)
        assert would == [Abandoned("old", len("epoch 1"))]
        assert (tmp_path / "old/log.txt").exists()
        assert sweep(tmp_path) == would
        assert not is_free(lock_of(tmp_path / "held"))
    kept = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert kept == ["held", "resumed", "young"]


def test_missing_inputs_names_the_steps_before(shop: RunContext) -> None:
    assert missing_inputs(second(), {}) == ["dataset"]
    assert missing_inputs(second(), {"dataset": run_step(first(), shop, {})}) == []


def test_the_source_digest_follows_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "one.py": "from mmdet_jetson.stages.two import x",
        "two.py": "from mmdet_jetson.stages import three",
        "three.py": "",
        "other.py": "",
        "one.html.j2": "",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(keys, "STAGES", tmp_path)

    def digest() -> str:
        keys.source_digest.cache_clear()
        return keys.source_digest("one")

    before = digest()
    (tmp_path / "other.py").write_text("changed = 1")
    assert digest() == before
    for name in ("one.html.j2", "two.py", "three.py"):
        (tmp_path / name).write_text((tmp_path / name).read_text() + "\n# changed")
        assert digest() != before
        before = digest()
    keys.source_digest.cache_clear()


def test_evidence_says_what_the_runtime_says(shop: RunContext, store: Store) -> None:
    step = replace(first(), is_evidence=True)
    made = run_step(step, shop, {})
    assert made.provenance.parameters == {"evidence": "measured"}
    shop.runtime.evidence = lambda _: "emulated"  # type: ignore[method-assign]
    assert run_step(step, shop, {}).provenance.parameters == {"evidence": "emulated"}
    assert "evidence" not in run_step(first(), shop, {}).provenance.parameters
