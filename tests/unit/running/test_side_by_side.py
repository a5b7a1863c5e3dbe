"""Steps that need nothing of each other: at once, each to its end, whatever becomes of the others."""

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import FakeRuntime, Quiet, dataset_step, everywhere, train_step

from mmdet_jetson import stopping
from mmdet_jetson.errors import ConfigError, UserError
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.running.context import RunContext
from mmdet_jetson.running.run_steps import SeveralFailed, run_steps, with_known_hosts
from mmdet_jetson.runtimes.protocol import Place, Runtimes, StageRun
from mmdet_jetson.store import Artifact, Store

DATASET = dataset_step()
BUILD = replace(stages.DATASET, verb="build", runs_engines=True)
TIME = replace(BUILD, verb="time", measures_device=True)


def chain(target: str, seed: int) -> tuple[Step, Step]:
    """An engine of a target, and what times it."""
    build = replace(dataset_step(seed, {"dataset": DATASET.output()}), stage=BUILD, subject=target)
    timed = replace(
        dataset_step(seed + 100, {"engine": build.output()}), stage=TIME, subject=target
    )
    return build, timed


class Host(FakeRuntime):
    """A Docker host that takes a while; it says what ran on it, and when."""

    def __init__(self, name: str, seconds: float = 0.3) -> None:
        super().__init__()
        self.place = Place(name, f"ssh://{name}")
        self.device_name = name
        self.ran = list[str]()
        self.spans = dict[str, tuple[float, float]]()
        self.seconds = seconds
        self.breaks: Mapping[str, UserError] = {}
        self.before_run = self._take_a_while

    def _take_a_while(self, stage: StageRun) -> None:
        began = time.monotonic()
        self.ran.append(stage.step.name)
        stopping.current().pause(self.seconds)
        self.spans[stage.step.name] = began, time.monotonic()
        if stage.step.name in self.breaks:
            raise self.breaks[stage.step.name]


def overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    return min(a[1], b[1]) - max(a[0], b[0])


class Site:
    """This machine and two Docker hosts, each with a target, and one with both."""

    def __init__(self, folder: Path) -> None:
        self.here, self.orin, self.nano = FakeRuntime(), Host("orin"), Host("nano")
        self.listener = Quiet()
        self.store = Store(folder / "artifacts")
        self.steps = [DATASET, *chain("orin", 1), *chain("nano", 2)]
        runtimes = everywhere(self.here)
        self.context = RunContext(
            Runtimes(runtimes.by_environment, {"orin": self.orin, "nano": self.nano}),
            self.store,
            self.listener,
        )

    def run(self) -> dict[str, Artifact]:
        return run_steps(self.steps, self.context, "mine")

    def words(self) -> dict[str, str]:
        return {name: each.word for name, each in self.listener.endings.items()}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_two_hosts_work_at_once(site: Site) -> None:
    made = site.run()
    assert list(made) == [step.name for step in site.steps]
    assert site.orin.ran == ["build-orin", "time-orin"]
    assert site.nano.ran == ["build-nano", "time-nano"]
    assert overlap(site.orin.spans["build-orin"], site.nano.spans["build-nano"]) > 0.1
    assert site.orin.alone_for == ["time-orin"]
    where = {name: each.where for name, each in site.listener.endings.items()}
    assert where == {
        "dataset": "here", "build-orin": "orin", "time-orin": "orin",
        "build-nano": "nano", "time-nano": "nano",
    }  # fmt: skip
    assert {tag for tag in site.store.tags() if tag.startswith("mine.")} == {
        f"mine.{step.name}" for step in site.steps
    }


def test_a_failure_keeps_back_only_what_needs_it(site: Site) -> None:
    site.orin.breaks = {"build-orin": UserError("build: out of memory", "buy some")}
    with pytest.raises(UserError, match=r"^build: out of memory\n"):
        site.run()
    assert site.words() == {
        "dataset": "made", "build-orin": "failed", "time-orin": "not made",
        "build-nano": "made", "time-nano": "made",
    }  # fmt: skip
    assert site.listener.endings["time-orin"].why == "needs build-orin"
    assert "failed build-orin: build: out of memory" in site.listener.heard
    assert "mine.time-nano" in site.store.tags()

    site.orin.breaks = {}
    site.nano.ran.clear()
    site.run()
    assert site.nano.ran == []
    assert site.words() == {
        "dataset": "cached", "build-orin": "made", "time-orin": "made",
        "build-nano": "cached", "time-nano": "cached",
    }  # fmt: skip


def test_of_several_failures_the_first_of_the_plan_is_told(site: Site) -> None:
    site.orin.seconds = 0.5  # it fails later
    site.orin.breaks = {"build-orin": ConfigError("build: this", "do that")}
    site.nano.breaks = {"build-nano": UserError("build: that")}
    with pytest.raises(SeveralFailed, match="build: this; one more step failed") as caught:
        site.run()
    assert (caught.value.exit_code, caught.value.hint) == (2, "do that")


def test_the_table_has_a_sentence_and_not_a_log(site: Site) -> None:
    log = "build: ended with exit code 1; the end of its log:\nTraceback\nZeroDivisionError: no"
    site.orin.breaks = {"build-orin": UserError(log)}
    late = replace(dataset_step(7, {"timed": site.steps[2].output()}), subject="late")
    site.steps.append(late)
    with pytest.raises(UserError):
        site.run()
    endings = site.listener.endings
    assert endings["build-orin"].why == (
        "build: ended with exit code 1; the end of its log: ZeroDivisionError: no"
    )
    assert endings[late.name].why == "needs build-orin"


def test_a_bug_ends_all_and_shows_its_traceback(site: Site) -> None:
    site.nano.seconds = 60

    def bug(_: StageRun) -> None:
        raise ZeroDivisionError("bug")

    site.orin.before_run = bug
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError) as caught:
        site.run()
    assert time.monotonic() - began < 20
    assert any(entry.name == "bug" for entry in caught.traceback)


def test_ctrl_c_ends_all(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that comes while the main thread waits for any of them."""
    site.orin.seconds = site.nano.seconds = 60
    both = threading.Event()

    class Interrupted:
        """A queue that somebody presses Ctrl-C at."""

        def __init__(self, *_: object) -> None:
            self._ends = list[object]()
            self._came = threading.Condition()

        def __class_getitem__(cls, _: object) -> type["Interrupted"]:
            return cls

        def put(self, end: object) -> None:
            with self._came:
                self._ends.append(end)
                self._came.notify()

        def get(self) -> object:
            with self._came:
                while not self._ends:
                    if site.orin.ran and site.nano.ran:
                        both.set()
                        raise KeyboardInterrupt
                    self._came.wait(0.05)
                return self._ends.pop()

    monkeypatch.setattr("mmdet_jetson.running.together.SimpleQueue", Interrupted)
    threads = set(threading.enumerate())
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        site.run()
    assert both.is_set()
    assert time.monotonic() - began < 20
    assert set(threading.enumerate()) <= threads
    assert "mine.build-orin" not in site.store.tags()


def test_of_two_hosts_each_target_goes_to_one_that_is_free_and_stays(tmp_path: Path) -> None:
    first, second, listener = Host("first"), Host("second"), Quiet()
    steps = [DATASET, *chain("a", 1), *chain("b", 2), *chain("c", 3)]
    targets = dict.fromkeys(("a", "b", "c"), first)
    runtimes = Runtimes(
        everywhere(FakeRuntime()).by_environment, targets, {name: [second] for name in targets}
    )
    context = RunContext(runtimes, Store(tmp_path / "artifacts"), listener)
    run_steps(steps, context, "mine")
    where = {name: each.where for name, each in listener.endings.items() if name != "dataset"}
    assert set(where.values()) == {"first", "second"}
    for target in targets:
        assert where[f"build-{target}"] == where[f"time-{target}"]
    spans = first.spans | second.spans
    assert overlap(spans["build-a"], spans["build-b"]) > 0.1

    # What is known of a target on one of them is not made again on the other.
    known = with_known_hosts(steps, context).runtimes
    for target in targets:
        assert known.of_target(target).place.name == where[f"build-{target}"]
    ran = len(first.ran) + len(second.ran)
    run_steps(steps, context, "mine")
    assert len(first.ran) + len(second.ran) == ran


def test_a_step_that_is_followed_takes_no_place(tmp_path: Path) -> None:
    """As a batch job's, which runs elsewhere: any number of them at once."""
    here, together = FakeRuntime(), threading.Barrier(3)

    def follow(
        step: Step, context: RunContext, artifacts: Mapping[str, Artifact], tag: str
    ) -> Artifact:
        together.wait(20)
        return made[0]

    made = list(
        run_steps(
            [dataset_step(9)],
            RunContext(everywhere(here), Store(tmp_path / "artifacts"), Quiet()),
            "other",
        ).values()
    )
    steps = [replace(dataset_step(seed), subject=str(seed)) for seed in range(3)]
    context = RunContext(
        everywhere(here),
        Store(tmp_path / "artifacts"),
        Quiet(),
        makers={step.name: follow for step in steps},
        jobs=1,
    )
    assert run_steps(steps, context, "mine") == {step.name: made[0] for step in steps}


def test_what_only_comes_before_is_idle_though_it_reads_nothing(tmp_path: Path) -> None:
    """It could begin at once, before it is known whether anybody needs it."""
    runtime = FakeRuntime()
    check = replace(dataset_step(5), subject="check")
    waiting = replace(train_step(), after=(check.name,))
    context = RunContext(everywhere(runtime), Store(tmp_path / "artifacts"), Quiet())
    run_steps([DATASET, waiting], context, "mine")
    runtime.runs.clear()
    run_steps([check, DATASET, waiting], context, "mine")
    assert runtime.runs == ["dataset"]  # in this order of the plan it is not known yet
    runtime.runs.clear()
    run_steps(
        [DATASET, replace(check, parameters=dataset_step(6).parameters), waiting], context, "x"
    )
    assert runtime.runs == []


def test_a_report_is_told_of_artifacts_in_the_order_of_the_plan(tmp_path: Path) -> None:
    """Whichever came first: it is in its content."""
    slow, quick = Host("slow"), Host("quick", 0.0)
    told = list[str]()

    def follow(
        step: Step, context: RunContext, artifacts: Mapping[str, Artifact], tag: str
    ) -> Artifact:
        told.extend(artifacts)
        return artifacts["dataset"]

    steps = [DATASET, *chain("slow", 1), *chain("quick", 2)]
    last = replace(dataset_step(50, {step.name: step.output() for step in steps}), subject="last")
    runtimes = Runtimes(everywhere(FakeRuntime()).by_environment, {"slow": slow, "quick": quick})
    context = RunContext(
        runtimes, Store(tmp_path / "artifacts"), Quiet(), makers={last.name: follow}
    )
    assert list(run_steps([*steps, last], context, "mine")) == [
        *(step.name for step in steps), last.name,
    ]  # fmt: skip
    assert told == [step.name for step in steps]
