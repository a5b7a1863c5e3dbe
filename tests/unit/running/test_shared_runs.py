"""Runs of several machines that share their results through one place."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
from fakes import FakeRuntime, Quiet, dataset_step, everywhere, train_step
from msgspec.structs import replace as struct_replace

from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.explain import IN_REGISTRY, states
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.registry.failures import Dropped
from mmdet_jetson.registry.folder import Folder, open_folder
from mmdet_jetson.registry.names import digest_tag
from mmdet_jetson.registry.place import Content, OnBytes, PlaceError
from mmdet_jetson.registry.shared import SharedStore
from mmdet_jetson.running.run_step import RunContext, ingredients_on
from mmdet_jetson.running.run_steps import run_steps
from mmdet_jetson.runtimes.protocol import StageRun
from mmdet_jetson.store import Artifact, Descriptor, Store, cache_tag
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import canonical_json, digest_of

DATASET, TRAIN = dataset_step(), train_step()
JUDGING = replace(
    dataset_step(seed=3), subject="judge", inputs={"train": TRAIN.output()}, judges=TRAIN.name
)
STEPS = (DATASET, TRAIN, JUDGING)


class Flaky:
    """A place that fails as it is told to."""

    def __init__(self, place: Folder) -> None:
        self._place = place
        self.is_down = False
        self.error = PlaceError(f"{self.name} does not answer")
        self.takes_nothing = False
        self.lacks: set[str] = set()
        self.forgot: set[str] = set()
        self.changes = False
        self.asked: list[str] = []

    @property
    def name(self) -> str:
        return "docker://registry.example.com/team"

    @property
    def checks_manifests(self) -> bool:
        return False

    def _check(self, what: str) -> None:
        self.asked.append(what)
        if self.is_down:
            raise self.error

    def resolve(self, reference: str) -> Descriptor | None:
        self._check(reference)
        return None if reference in self.forgot else self._place.resolve(reference)

    def manifest(self, reference: str) -> Content | None:
        self._check(reference)
        return None if reference in self.forgot else self._place.manifest(reference)

    def tags(self) -> list[str]:
        self._check("tags")
        return self._place.tags()

    def referrers(self, digest: str) -> list[Descriptor]:
        self._check("referrers")
        return self._place.referrers(digest)

    def has(self, blob: Descriptor) -> bool:
        self._check("has")
        return self._place.has(blob)

    @contextmanager
    def read(self, blob: Descriptor, start: int = 0) -> Iterator[Iterator[bytes]]:
        self._check("read")
        if blob.digest in self.lacks:
            raise PlaceError(f"{self.name} has no blob {blob.digest[:19]}")
        with self._place.read(blob, start) as blocks:
            yield (block[::-1] for block in blocks) if self.changes else blocks

    def write(self, blob: Descriptor, source: Path, on_bytes: OnBytes) -> None:
        self._check("write")
        if self.takes_nothing:
            raise PlaceError(f"{self.name} refuses: denied")
        self._place.write(blob, source, on_bytes)

    def put_manifest(self, manifest: Content, tags: Sequence[str]) -> None:
        self._check("put")
        if self.takes_nothing:
            raise PlaceError(f"{self.name} refuses: denied")
        self._place.put_manifest(manifest, tags)


@dataclass
class Clone:
    """A machine of its own: an empty store, and the place that it shares."""

    store: Store
    place: Flaky
    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    listener: Quiet = field(default_factory=Quiet)
    said: list[str] = field(default_factory=list)

    def context(self, *, pushes: bool = False, again: Sequence[str] = ()) -> RunContext:
        return RunContext(
            everywhere(self.runtime),
            self.store,
            self.listener,
            again=frozenset(again),
            shared=self.shared(),
            pushes=pushes,
        )

    def shared(self) -> SharedStore:
        return SharedStore(self.place, self.store, self.said.append)

    def run(
        self,
        *steps: Step,
        goals: Sequence[str] | None = None,
        pushes: bool = False,
        again: Sequence[str] = (),
    ) -> dict[str, Artifact]:
        context = self.context(pushes=pushes, again=again)
        made = run_steps(steps or STEPS, context, "mine", goals)
        assert context.shared
        context.shared.settle()
        context.shared.require_pushed()
        return made

    def has(self, artifact: Artifact) -> bool:
        return self.store.find(artifact.digest) is not None


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Flaky]:
    with open_folder("oci:registry", tmp_path / "registry", writing=True) as folder:
        yield Flaky(folder)


@pytest.fixture
def clone(tmp_path: Path, place: Flaky) -> Callable[[str], Clone]:
    return lambda name: Clone(Store(tmp_path / name), place)


@pytest.fixture
def first(clone: Callable[[str], Clone]) -> Clone:
    return clone("first")


@pytest.fixture
def second(clone: Callable[[str], Clone]) -> Clone:
    return clone("second")


def test_a_second_machine_computes_nothing(first: Clone, second: Clone) -> None:
    made = first.run(pushes=True)
    found = second.run()
    assert found == made
    assert second.runtime.runs == []
    assert second.said == []
    assert {tag: d.digest for tag, d in second.store.tags().items()} == {
        tag: d.digest for tag, d in first.store.tags().items()
    }
    assert second.store.verify().problems == ()


def test_nothing_goes_up_unless_it_is_asked_for(first: Clone, second: Clone) -> None:
    first.run()
    assert not {"put", "write"} & set(first.place.asked)
    second.run()
    assert second.runtime.runs == ["dataset", "train", "dataset"]


def test_what_is_known_here_asks_nobody(first: Clone) -> None:
    first.run()
    first.place.asked.clear()
    first.run()
    assert first.place.asked == []


def test_only_what_is_read_is_fetched(first: Clone, second: Clone) -> None:
    made = first.run(DATASET, TRAIN, pushes=True)
    found = second.run(DATASET, TRAIN, goals=[])
    assert found == made
    assert [second.has(artifact) for artifact in found.values()] == [False, False]
    assert second.store.tags() == {}
    second.run(goals=[JUDGING.name])
    assert second.runtime.runs == ["dataset"]
    assert not second.has(made[DATASET.name])
    assert second.has(made[TRAIN.name])
    assert {"mine.train", f"mine.{JUDGING.name}"} <= set(second.store.tags())
    assert "mine.dataset" not in second.store.tags()
    assert second.listener.heard == [
        "in the registry dataset", "in the registry train", "in the registry dataset",
        "in the registry train", "started dataset-judge", "dataset-judge 1/2", "made dataset-judge",
    ]  # fmt: skip


def test_a_goal_comes_with_what_it_judges(first: Clone, second: Clone) -> None:
    made = first.run(pushes=True)
    second.run(goals=[JUDGING.name])
    assert second.has(made[JUDGING.name])
    assert second.has(made[TRAIN.name])
    assert not second.has(made[DATASET.name])


def test_what_was_known_before_goes_up_too(first: Clone, second: Clone) -> None:
    first.run()
    first.run(pushes=True)
    assert first.runtime.runs == ["dataset", "train", "dataset"]
    second.run()
    assert second.runtime.runs == []


def test_a_result_is_pushed_as_soon_as_it_is_made(first: Clone, second: Clone) -> None:
    def fail(_: object) -> None:
        if len(first.runtime.runs) == 2:
            raise UserError("broke")

    first.runtime.before_run = fail
    with pytest.raises(UserError, match="broke"):
        first.run(pushes=True)
    second.run(DATASET)
    assert second.runtime.runs == []


def test_a_second_push_sends_nothing(first: Clone) -> None:
    first.run(pushes=True)
    first.place.asked.clear()
    first.run(pushes=True)
    assert not {"put", "write"} & set(first.place.asked)


def test_a_registry_that_does_not_answer_is_said_once_and_no_reason_to_fail(
    first: Clone, place: Flaky
) -> None:
    place.is_down = True
    first.run()
    assert first.runtime.runs == ["dataset", "train", "dataset"]
    assert first.said == [
        "warning: docker://registry.example.com/team is not asked any more, and what it has is made "
        "here: docker://registry.example.com/team does not answer"
    ]
    assert len(place.asked) == 2  # the second asks whether it is only this one


def test_a_registry_that_gave_no_answer_for_minutes_is_not_asked_another_time(
    first: Clone, place: Flaky
) -> None:
    place.error = Dropped(f"{place.name}: no answer for too long")
    place.is_down = True
    first.run()
    assert len(place.asked) == 1
    assert first.runtime.runs == ["dataset", "train", "dataset"]


def test_what_could_not_be_pushed_is_an_error_at_the_end(first: Clone, place: Flaky) -> None:
    place.takes_nothing = True
    with pytest.raises(
        PlaceError, match=r"of this run: mine\.dataset, mine\.train, mine\.dat"
    ) as e:
        first.run(pushes=True)
    assert "run the same command again" in e.value.hint
    assert first.runtime.runs == ["dataset", "train", "dataset"]
    assert first.said[0].startswith("warning: dataset ")
    assert "was not pushed: docker://registry.example.com/team refuses: denied" in first.said[0]


def test_a_registry_that_went_away_is_waited_for_twice_and_not_for_every_result(
    first: Clone, place: Flaky
) -> None:
    def cut(_: object) -> None:
        place.error = Dropped(f"{place.name}: no answer for too long")
        place.is_down = True
        place.asked.clear()

    first.runtime.before_run = cut
    with pytest.raises(PlaceError, match=r"of this run: mine\.dataset, mine\.train, mine\.dat"):
        first.run(pushes=True)
    assert len(first.runtime.runs) == 3
    assert ["was not pushed" in said for said in first.said].count(True) == 2
    assert "nothing more is tried for now" in first.said[-1]
    assert len(place.asked) <= 4


def test_what_could_not_be_pushed_at_first_is_pushed_at_the_end(
    first: Clone, second: Clone, place: Flaky
) -> None:
    def refuse(_: object) -> None:
        place.takes_nothing = len(first.runtime.runs) < 3

    first.runtime.before_run = refuse
    first.run(pushes=True)
    assert ["was not pushed" in said for said in first.said] == [True, True, False]
    # The third took along what it judges.
    assert first.said[-1] == "2 results pushed to docker://registry.example.com/team"
    second.run()
    assert second.runtime.runs == []


def test_whether_one_may_push_is_known_before(first: Clone, place: Flaky) -> None:
    first.shared().check_write()
    place.takes_nothing = True
    with pytest.raises(PlaceError, match="denied"):
        first.shared().check_write()


def rename(place: Flaky, tag: str, other: str) -> None:
    found = place.manifest(other)
    assert found
    place.put_manifest(found, [tag])


def test_a_result_of_another_key_is_said_and_made_here(
    first: Clone, second: Clone, place: Flaky
) -> None:
    made = first.run(DATASET, pushes=True)
    other = first.run(dataset_step(seed=7), pushes=True)[DATASET.name]
    tag = cache_tag(made[DATASET.name].provenance.key)
    rename(place, tag, cache_tag(other.provenance.key))
    found = second.run(DATASET, pushes=True)
    assert second.runtime.runs == ["dataset"]
    said, _ = second.said
    assert f"{tag[:18]} cannot be used: it is the result of another key" in said
    assert said.endswith("; it is made here instead")
    # and it is put right
    named = place.resolve(tag)
    assert named
    assert named.digest == found[DATASET.name].digest


def test_a_result_of_another_kind_is_said_and_made_here(
    first: Clone, second: Clone, place: Flaky
) -> None:
    made = first.run(DATASET, TRAIN, pushes=True)
    tag = cache_tag(made[DATASET.name].provenance.key)
    rename(place, tag, cache_tag(made[TRAIN.name].provenance.key))
    second.run(DATASET)
    assert second.runtime.runs == ["dataset"]
    assert "it is of kind checkpoint, not dataset" in second.said[0]


def test_a_provenance_that_is_not_what_its_digest_says_is_said_and_made_here(
    first: Clone, second: Clone, place: Flaky
) -> None:
    first.run(DATASET, pushes=True)
    place.changes = True
    second.run(DATASET)
    assert second.runtime.runs == ["dataset"]
    assert "its provenance does not match its digest; it is made here instead" in second.said[0]


def changed(before: bytes, after: bytes) -> Callable[[bytes], bytes]:
    return lambda config: re.sub(before, after, config, count=1)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (changed(rb".*", b"{}"), "does not describe an artifact: Object missing"),
        (changed(b'"parameters":{', b'"parameters":{"a":' + b"[" * 400_000), "an artifact: "),
        (changed(b'"created":"[^"]*","env', b'"created":"x","env'), "is no time"),
        (changed(rb".*", bytes(5 << 20)), "is too large"),
    ],
    ids=["empty", "deep", "timeless", "large"],
)
def test_a_provenance_that_is_none_is_said_and_made_here(
    first: Clone,
    second: Clone,
    place: Flaky,
    config: Callable[[bytes], bytes],
    reason: str,
) -> None:
    made = first.run(DATASET, pushes=True)[DATASET.name]
    layout = Layout(first.store.root)
    manifest = layout.manifest(made.descriptor)
    assert manifest.config
    blob = config(layout.read(manifest.config))
    source = first.store.root / "config"
    source.write_bytes(blob)
    pointer = struct_replace(manifest.config, digest=digest_of(blob), size=len(blob))
    place.write(pointer, source, lambda _: None)
    content = canonical_json(struct_replace(manifest, config=pointer))
    named = struct_replace(made.descriptor, digest=digest_of(content), size=len(content))
    place.put_manifest(Content(named, content), [cache_tag(made.provenance.key)])

    second.run(DATASET)
    assert second.runtime.runs == ["dataset"]
    assert reason in second.said[0]
    assert second.said[0].endswith("; it is made here instead")


def test_what_cannot_be_fetched_is_made_here_and_what_follows_looked_at_again(
    first: Clone, second: Clone, place: Flaky
) -> None:
    made = first.run(DATASET, TRAIN, pushes=True)
    place.lacks = {layer.blob.digest for layer in made[TRAIN.name].layers}
    second.run()
    assert second.runtime.runs == ["train", "dataset"]
    (said,) = second.said
    assert "cannot be fetched: docker://registry.example.com/team has no blob" in said


def test_what_vanishes_after_it_was_looked_up_is_made_here(
    first: Clone, second: Clone, place: Flaky
) -> None:
    """As by a rule of the registry that deletes what is old, in the hours of a training."""
    made = first.run(DATASET, TRAIN, pushes=True)
    place.forgot = {made[TRAIN.name].digest}
    second.run()
    assert second.runtime.runs == ["train", "dataset"]
    assert "is missing (push it there again); it is made here instead" in second.said[0]


def test_what_was_fetched_is_held_by_its_key_alone(first: Clone, second: Clone) -> None:
    first.run(DATASET, pushes=True)
    second.run(DATASET)
    assert [tag for tag in second.store.tags() if tag.startswith("digest.")] == []


def test_what_was_made_again_is_not_made_again_when_all_is_looked_at_again(
    first: Clone, second: Clone, place: Flaky
) -> None:
    made = first.run(DATASET, TRAIN, pushes=True)
    place.lacks = {layer.blob.digest for layer in made[TRAIN.name].layers}
    second.run(DATASET, TRAIN, again=[DATASET.name])
    assert second.runtime.runs == ["dataset", "train"]


def test_a_registry_that_goes_away_in_between_is_no_reason_to_fail(
    first: Clone, second: Clone, place: Flaky
) -> None:
    first.run(DATASET, TRAIN, pushes=True)
    context = second.context()
    assert context.shared
    run_steps([DATASET, TRAIN], context, "mine", [])
    place.is_down = True
    run_steps(STEPS, context, "mine")
    assert second.runtime.runs == ["dataset", "train", "dataset"]
    assert len(second.said) == 1


def differing(clone: Clone, text: str, then: Callable[[], object] = lambda: None) -> None:
    """Let what a clone makes differ from what others make of the same key."""

    def differ(stage: StageRun) -> None:
        (stage.folder / "output/by.txt").write_text(text)
        then()

    clone.runtime.before_run = differ


def named(place: Flaky, artifact: Artifact) -> str:
    found = place.resolve(cache_tag(artifact.provenance.key))
    assert found
    return found.digest


def test_of_two_machines_at_once_the_first_to_push_counts(first: Clone, second: Clone) -> None:
    """What they make differs, as a profile does; all that follows is the same afterwards."""
    differing(first, "first")
    differing(second, "second", lambda: first.runtime.runs or first.run(pushes=True))
    made = second.run(pushes=True)
    assert second.runtime.runs == ["dataset"]
    assert first.run() == made
    assert second.run() == made
    assert second.said[0] == "dataset: another run pushed its result first, and that one counts"
    assert second.store.verify().problems == ()


def test_who_is_overtaken_while_it_pushes_goes_on_with_what_stays_there(
    first: Clone, second: Clone
) -> None:
    """Both found nothing under the key, and the other one's push came last."""
    differing(first, "first")
    came = [False, True]  # second's dataset is pushed before its training, and first's right after

    def overtake() -> None:
        if came and came.pop(0):
            first.run(DATASET, pushes=True, again=[DATASET.name])

    differing(second, "second", overtake)
    made = second.run(pushes=True)
    assert second.runtime.runs == ["dataset", "train", "dataset", "train"]
    assert first.run() == made
    assert second.run() == made
    assert first.runtime.runs == ["dataset"]


def test_where_nothing_is_pushed_each_keeps_its_own(first: Clone, second: Clone) -> None:
    differing(first, "first")
    differing(second, "second", lambda: first.runtime.runs or first.run(DATASET, pushes=True))
    ours = second.run(DATASET)
    assert ours != first.run(DATASET)
    assert ours == second.run(DATASET)


def test_a_step_that_is_made_again_replaces_what_the_registry_has(
    first: Clone, second: Clone, place: Flaky
) -> None:
    differing(second, "second")
    old = first.run(DATASET, pushes=True)[DATASET.name]
    new = second.run(DATASET, pushes=True, again=[DATASET.name])[DATASET.name]
    assert old.digest != new.digest == named(place, new)
    kept = place.resolve(digest_tag(old.digest))
    assert kept
    assert kept.digest == old.digest


def test_what_differs_and_was_known_here_stays_here_and_the_registry_s_there(
    first: Clone, second: Clone, place: Flaky
) -> None:
    differing(second, "second")
    ours = second.run(DATASET)[DATASET.name]
    theirs = first.run(DATASET, pushes=True, again=[DATASET.name])[DATASET.name]
    assert second.run(DATASET, pushes=True)[DATASET.name] == ours
    assert named(place, ours) == theirs.digest
    run_name = place.resolve("mine.dataset")
    assert run_name
    assert run_name.digest == ours.digest


def test_what_has_to_come_before_a_training_that_the_registry_has_is_left_out(
    first: Clone, second: Clone
) -> None:
    check = replace(dataset_step(seed=9), subject="check")
    waiting = replace(TRAIN, after=(check.name,))
    first.run(DATASET, TRAIN, pushes=True)
    second.run(DATASET, check, waiting)
    assert second.runtime.runs == []


def test_a_machine_need_not_fit_what_it_only_reads(first: Clone, second: Clone) -> None:
    """A Jetson has no environment to train in, and the weights are there."""
    first.run(DATASET, TRAIN, pushes=True)
    refused: list[str] = []

    second.runtime.check = lambda steps: refused.extend(step.name for step in steps)  # type: ignore[method-assign]
    second.run(goals=[JUDGING.name])
    assert refused == [JUDGING.name]


def test_what_a_step_reuses_comes_from_the_registry_too(first: Clone, second: Clone) -> None:
    found: list[bool] = []

    def measure(stage: StageRun) -> None:
        found.append((stage.folder / "work/timing.cache").exists())
        (stage.folder / "output/timing.cache").write_text("measured")

    for clone, seed in ((first, 1), (second, 2)):
        clone.runtime.before_run = measure
        clone.run(replace(dataset_step(seed), reuses="timing.cache"), pushes=True)
    assert found == [False, True]


def test_the_state_of_a_step_is_told(first: Clone, second: Clone) -> None:
    made = first.run(DATASET, TRAIN, pushes=True)
    ingredients = partial(ingredients_on, everywhere(second.runtime))
    told = states(STEPS, ingredients, second.store, "mine", second.shared().look)
    assert [state.word for state in told] == [IN_REGISTRY, IN_REGISTRY, "missing"]
    assert told[0].artifact == made[DATASET.name]
    assert told[0].reasons[0].startswith("made on 20")
    assert [len(state.key) for state in told] == [64, 64, 64]
    assert not second.store.exists()
