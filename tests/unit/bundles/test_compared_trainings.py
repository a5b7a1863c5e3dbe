"""Each kind of change between two trainings is seen, and no other one is told of."""

import dataclasses
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from small_releases import SmallRun
from small_trainings import CONFIG, Training, coco, later, make, numbered

from mmdet_jetson.bundles import annotations, datasets, making, origins
from mmdet_jetson.bundles.annotations import NotAsWritten, read_split
from mmdet_jetson.bundles.comparison import Comparison, compare
from mmdet_jetson.bundles.contents import PartName, contents_of
from mmdet_jetson.bundles.dataset_summary import is_summary
from mmdet_jetson.bundles.fields import ABSENT, FieldChange, compare_configs
from mmdet_jetson.bundles.pictures import BY_CONTENT, BY_NAME, PictureChanges
from mmdet_jetson.bundles.trainings import Shelf, shown, side
from mmdet_jetson.cli.diff_tables import engine_lines
from mmdet_jetson.environments.packages import lock_digest
from mmdet_jetson.errors import UserError
from mmdet_jetson.store import Store

Compared = Callable[[Training, Training], Comparison]
FIRST = Training()


@pytest.fixture
def compared(store: Store, tmp_path: Path) -> Compared:
    """Compare a training with a later one of the same name."""

    def run(was: Training, now: Training) -> Comparison:
        first = make(store, tmp_path, was)
        make(store, tmp_path, now)
        return compare(side(store, first.digest[7:19]), side(store, "mugs"))

    return run


def data(found: Comparison) -> PictureChanges:
    assert found.data is not None
    return found.data


def test_a_training_made_again_differs_in_nothing(compared: Compared) -> None:
    found = compared(FIRST, later())
    assert found.before.digest != found.after.digest
    assert found.is_empty
    assert found.data is None
    assert found.data_alike


def test_a_training_of_an_earlier_release_on_the_same_dataset(compared: Compared) -> None:
    found = compared(replace(FIRST, reads_all=True), later())
    assert found.data is None
    assert found.data_alike


def test_all_that_belongs_to_a_training_is_found_after_its_name_has_moved_on(
    store: Store, tmp_path: Path
) -> None:
    first = make(store, tmp_path)
    make(store, tmp_path, later(ap50=0.9, epochs=9))
    found = Shelf(store).of_training(first)
    assert {str(part) for part in found.parts} == {
        "checkpoint", "dataset", "evaluation checkpoint", "onnx pc", "engine pc", "evaluation pc",
        "profile pc", "report",
    }  # fmt: skip
    made = {each.provenance.created for each in found.parts.values()}
    assert made == {FIRST.created}
    assert found.name == first.digest[7:19]
    assert side(store, "mugs").name == "mugs"
    assert side(store, "mugs.train").name == "mugs"


def test_a_run_knows_its_earlier_trainings(store: Store, tmp_path: Path) -> None:
    made = [
        make(store, tmp_path, Training(epochs=n, created=f"2026-05-0{n}T10:00:00+00:00"))
        for n in (1, 2, 3)
    ]
    make(store, tmp_path, later(epochs=7, name="other"))
    for back, expected in enumerate(reversed(made)):
        found = side(store, f"mugs~{back}").checkpoint
        assert found
        assert found.digest == expected.digest
    with pytest.raises(UserError, match=r"mugs~3: of run mugs 3 trainings are known"):
        side(store, "mugs~3")
    with pytest.raises(UserError, match=r"nix~1: of run nix 0 trainings"):
        side(store, "nix~1")


def test_what_a_run_made_again_halfway_is_not_mixed_with_what_it_made_before(
    store: Store, tmp_path: Path
) -> None:
    make(store, tmp_path)
    again = make(store, tmp_path, later(epochs=9, name="other"))
    store.tag(again, "mugs.train")  # and there the run was killed
    made = {each.provenance.created for each in side(store, "mugs").parts.values()}
    assert made == {later().created}


def test_pictures_added_removed_relabelled_and_moved(compared: Compared) -> None:
    train = numbered(0, 12)
    del train["00.jpg"]
    train["01.jpg"] = [("jug", 1)]
    train["02.jpg"] = [("mug", 40)]
    train["03.jpg"] = [("mug", 3), ("jug", 50)]
    train["04.jpg"] = []
    train["90.jpg"] = [("jug", 7), ("jug", 8)]
    val = {**numbered(20, 30), "05.jpg": train.pop("05.jpg")}
    found = data(compared(FIRST, later(train=train, val=val)))
    assert found.told_by == BY_CONTENT
    assert found.added == ("train/90.jpg",)
    assert found.removed == ("train/00.jpg",)
    assert found.relabelled == tuple(f"train/0{number}.jpg" for number in (1, 2, 3, 4))
    assert found.moved == (("train/05.jpg", "val/05.jpg"),)
    mug, jug = found.classes["mug"], found.classes["jug"]
    assert (mug.before, mug.after, mug.removed, mug.reshaped) == (22, 19, 2, 1)
    assert (jug.before, jug.after, jug.added) == (0, 4, 3)
    assert mug.became == {"jug": 1}
    for each in (mug, jug):
        others = found.classes["mug" if each is jug else "jug"].became
        here = sum(n for label, n in others.items() if found.classes[label] is each)
        assert each.after == each.before + each.added - each.removed - each.became.total() + here


def test_a_picture_under_another_name_is_the_same_picture(compared: Compared) -> None:
    train = numbered(0, 12)
    train["first.jpg"] = train.pop("00.jpg")
    found = data(compared(FIRST, later(train=train, shown={"first.jpg": "00.jpg"})))
    assert (found.added, found.removed, found.relabelled) == ((), (), ())
    assert found.renamed == (("train/00.jpg", "train/first.jpg"),)


def test_another_picture_under_the_same_name_is_another_picture(compared: Compared) -> None:
    found = data(compared(FIRST, later(shown={"00.jpg": "something else"})))
    assert found.added == found.removed == ("train/00.jpg",)
    assert found.replaced == 1
    assert found.relabelled == ()


def test_large_datasets_go_by_names_and_say_so(
    compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "READ_AT_ONCE", 10)
    train = numbered(0, 12)
    train["01.jpg"] = [("jug", 1)]
    val = {**numbered(20, 30), "05.jpg": train.pop("05.jpg")}
    changed = later(train=train, val=val, shown={"00.jpg": "something else"})
    found = data(compared(FIRST, changed))
    assert found.told_by == BY_NAME
    assert (found.added, found.removed) == ((), ())
    assert found.relabelled == ("train/01.jpg",)
    assert found.moved == (("train/05.jpg", "val/05.jpg"),)


def test_pictures_are_not_read_where_their_folders_are_the_same(
    compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "READ_AT_ONCE", 10)
    monkeypatch.delattr(datasets, "pictures_of")
    train = {**numbered(0, 12), "01.jpg": [("jug", 1)]}
    found = data(compared(FIRST, later(train=train)))
    assert found.told_by == BY_CONTENT
    assert found.relabelled == ("train/01.jpg",)


def test_a_new_order_of_classes_relabels_nothing(compared: Compared) -> None:
    found = data(compared(FIRST, later(classes=("jug", "mug"))))
    assert found.relabelled == ()
    assert found.is_empty


def test_one_name_in_both_splits_is_two_pictures(
    compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "READ_AT_ONCE", 10)
    alike = Training(val=numbered(0, 10), pixels=b"old")
    found = data(compared(alike, later(alike, val=numbered(0, 11), pixels=b"new")))
    assert found.added == ("val/10.jpg",)
    assert [*found.removed, *found.moved, *found.relabelled] == []


def test_a_field_of_the_config_and_a_parameter(compared: Compared) -> None:
    config = CONFIG.replace("8)", "9)").replace("96", "128")
    found = compared(FIRST, later(config=config, epochs=9))
    assert [each.field for each in found.parameters] == [FieldChange("epochs", 8, 9)]
    assert [each.steps for each in found.parameters] == [("train",)]
    assert set(found.config.fields) == {
        FieldChange("model.neck.channels", 96, 128),
        FieldChange("train_cfg.max_epochs", 8, 9),
    }


@pytest.mark.parametrize(
    ("was", "now", "fields"),
    [
        ("a = 1\n", "a = 1.0\n", [("a", 1, 1.0)]),
        ("a = dict()\n", "a = dict(b=2)\n", [("a.b", ABSENT, 2)]),
        ("a = dict(b=2)\n", "a = None\n", [("a.b", 2, ABSENT)]),
        ("a = 1\n", "a = True\n", [("a", 1, True)]),
        ("a = [dict(b=1), 2]\n", "a = [dict(b=3), 2]\n", [("a[0].b", 1, 3)]),
        ("a = [1, 2]\n", "a = (1, 2)\n", []),
        ("a = [dict(b=1)]\n", "a = []\n", [("a", [{"b": 1}], [])]),
        ("a = {'b c': -1}\n", "a = {'b c': None}\n", [("a.b c", -1, None)]),
    ],
)
def test_configs_are_compared_as_data(was: str, now: str, fields: list[tuple[object, ...]]) -> None:
    found = compare_configs(was, now)
    assert [(each.name, each.was, each.now) for each in found.fields] == fields
    assert found.lines == ()


@pytest.mark.parametrize(
    "text", ["import os\n", "a = open('x')\n", "a = b\n", "a = (\n", "a = " + "[" * 500 + "]" * 500]
)
def test_a_config_that_is_no_data_is_never_run(text: str) -> None:
    found = compare_configs("a = 1\n", text)
    assert found.fields == ()
    assert "-a = 1" in found.lines


def test_other_weights_to_start_from(compared: Compared) -> None:
    (found,) = compared(FIRST, later(weights="8" * 64)).inputs
    assert (found.what, found.was, found.now) == (
        "the weights that the training starts from", "9" * 64, "8" * 64,
    )  # fmt: skip


def test_another_commit(compared: Compared, monkeypatch: pytest.MonkeyPatch) -> None:
    between = {("1" * 40, "2" * 40): ["2222222 Crop larger"], ("2" * 40, "1" * 40): []}
    monkeypatch.setattr(origins, "commits_between", lambda *pair: between[pair])
    found = compared(FIRST, later(commit="2" * 40 + "+", source="source-2")).code
    assert found.added == ("2222222 Crop larger",)
    assert found.dropped == ()
    assert "train" in found.stages


def test_a_commit_that_this_clone_does_not_know(compared: Compared) -> None:
    found = compared(FIRST, later(commit="--output=/etc/passwd")).code
    assert found.added is None
    assert found.stages == ()


def test_another_package(
    compared: Compared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = "numpy==1.0 \\\n    --hash=sha256:1\ntorch=={} \\\n    --hash=sha256:{}\n"
    locks = {"1" * 40: lock.format("1.11.0", 2), "2" * 40: lock.format("1.12.0", 3)}
    monkeypatch.setattr(origins, "file_at", lambda commit, _: locks[commit].encode())
    names = [f"train:{lock_digest(lock.encode())}:py3.8:x86_64" for lock in locks.values()]
    found = compared(
        Training(environment=names[0]),
        later(environment=names[1], commit="2" * 40, torch="1.12.0"),
    )
    (change,) = found.environments
    assert change.packages == {"torch": ("1.11.0", "1.12.0")}
    assert [(each.name, each.was, each.now) for each in found.facts] == [
        ("torch", "1.11.0", "1.12.0")
    ]


def test_packages_whose_lock_is_nowhere_are_not_guessed(compared: Compared) -> None:
    (change,) = compared(FIRST, later(environment="train:ffff:py3.8:x86_64")).environments
    assert change.packages is None
    assert (change.was, change.now) == (("0123456789abcdef",), ("ffff",))


@pytest.mark.parametrize(
    ("ap50", "interval", "judged"),
    [
        (0.82, (0.77, 0.87), "within"),
        (0.90, (0.86, 0.94), "outside"),
        (0.84, (0.82, 0.86), "outside"),  # in the first one's interval, and not the other way
        (0.80, (0.75, 0.85), "equal"),
        (0.82, None, "within"),  # by the first one's alone
    ],
)
def test_figures_within_and_outside_of_the_interval(
    compared: Compared, ap50: float, interval: tuple[float, float] | None, judged: str
) -> None:
    found = compared(FIRST, later(ap50=ap50, interval=interval))
    assert [each.subject for each in found.figures] == ["checkpoint", "pc"]
    for each in found.figures:
        assert each.ap50 == judged
        assert each.difference("AP50") == pytest.approx(ap50 - 0.8)
        assert each.class_difference("mug") == pytest.approx((ap50 - 0.8) / 2)


def test_no_interval_is_unknown(compared: Compared) -> None:
    none = Training(interval=None)
    assert compared(none, later(none, ap50=0.9)).figures[0].ap50 == "unknown"


def test_figures_of_other_pictures_are_not_compared(compared: Compared) -> None:
    found = compared(FIRST, later(val=numbered(20, 31), ap50=0.9)).figures[0]
    assert found.no_comparison == "measured on other validation pictures"
    assert found.difference("AP50") is None
    assert found.ap50 == "unknown"


def test_figures_of_another_grade_are_not_compared(compared: Compared) -> None:
    found = compared(FIRST, later(evidence="emulated", ap50=0.9))
    assert found.figures[0].no_comparison == "measured against emulated"
    assert found.engines[0].no_comparison == "measured against emulated"


def test_latency_from_another_device_is_not_compared(compared: Compared) -> None:
    found = compared(FIRST, later(machine={"cpu": "Jetson Orin", "cores": 4}, p50=5.0)).engines[0]
    assert found.no_comparison == "another device: a PC against Jetson Orin"
    assert found.was is not None
    assert (found.was.size, found.was.p50, found.was.p99) == (1_500_000, 10.0, 20.0)


def test_a_percentile_that_one_side_does_not_claim(compared: Compared) -> None:
    (found,) = compared(FIRST, later(samples=200, p50=9.0)).engines
    assert found.was is not None
    assert found.now is not None
    assert (found.was.p99, found.now.p99) == (20.0, None)
    assert found.no_comparison == ""
    assert "   10.0    9.0  -10%     20.0      -" in "\n".join(engine_lines([found]))


def test_an_engine_of_one_side_alone(compared: Compared) -> None:
    found = compared(FIRST, later(targets=("pc", "orin")))
    assert [(each.target, each.was is None) for each in found.engines] == [
        ("orin", True),
        ("pc", False),
    ]
    assert "engine orin" in found.only_after
    assert found.only_before == ()


def test_a_damaged_annotation_file_is_one_sentence(store: Store, tmp_path: Path) -> None:
    first = make(store, tmp_path)
    make(store, tmp_path, later(train=numbered(0, 13)))
    dataset = store.find("mugs.dataset")
    assert dataset
    (layer,) = dataset.parts(["train.json"])
    blob = store.file_of(layer)
    blob.chmod(0o644)
    blob.write_bytes(b"x" * layer.blob.size)
    with pytest.raises(UserError, match=r"train\.json of dataset"):
        compare(side(store, first.digest[7:19]), side(store, "mugs"))


@pytest.mark.parametrize("block", [7, 64, 1 << 20])
def test_annotations_are_read_in_any_pieces(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotations, "BLOCK", block)
    name = 'a}, {"id": 1]} "ö.jpg'
    text = coco({name: [("mug", 1), ("jug", 2)], "empty.jpg": [], "b.jpg": [("jug", 3)]})
    found = read_split(io.BytesIO(text.encode()))
    assert list(found.pictures) == [name, "empty.jpg", "b.jpg"]
    assert [len(list(each.objects())) for each in found.pictures.values()] == [2, 0, 1]
    assert found.classes == {1: "mug", 2: "jug"}


@pytest.mark.parametrize("text", ["", "{}", '{"images": [', '{"images": [1], "annotations": []}'])
def test_what_is_no_annotation_file_is_refused(text: str) -> None:
    with pytest.raises(NotAsWritten):
        read_split(io.BytesIO(text.encode()))


def test_a_split_without_objects_is_read() -> None:
    assert read_split(io.BytesIO(coco({"a.jpg": []}).encode())).pictures["a.jpg"].packed == b""


def test_what_a_whole_run_has_is_found_without_its_names(run: SmallRun) -> None:
    """But for its checks, and for exports, of which one may serve several targets."""
    named = contents_of(run.store, run.name).parts
    found = Shelf(run.store).of_training(named[PartName("checkpoint")]).parts
    kinds = ("check", "rehearsal", "onnx")
    assert {part: each.digest for part, each in found.items() if part.kind not in kinds} == {
        part: each.digest for part, each in named.items() if part.kind not in kinds
    }


def test_a_release_is_compared_with_the_run_that_it_is_of(run: SmallRun) -> None:
    """Its dataset has no pictures, and is the same data nevertheless."""
    chosen = making.choose(contents_of(run.store, run.name), run.project, ())
    run.store.tag(making.bind(chosen, (), with_dataset=False), "v1")
    release = side(run.store, "v1")
    found = compare(side(run.store, run.name), release)
    assert release.dataset
    assert is_summary(release.dataset)
    assert found.after.kind == "bundle"
    assert found.data_alike
    assert found.is_empty


def test_a_training_is_shown_whole_by_its_digest(store: Store, tmp_path: Path) -> None:
    first = make(store, tmp_path)
    assert len(shown(store, first.digest[7:19]).parts) == 8
    assert len(shown(store, "mugs").parts) == 8
    assert len(shown(store, "mugs.train").parts) == 1


TAKEN = dataclasses.replace(FIRST, taken=True, created="2026-05-02T10:00:00+00:00")


def test_a_model_that_was_taken_has_all_that_was_made_of_it(store: Store, tmp_path: Path) -> None:
    checkpoint = make(store, tmp_path, TAKEN)
    digest = checkpoint.digest[7:19]
    for found in (side(store, "mugs"), side(store, "mugs.model"), shown(store, digest)):
        assert found.checkpoint == checkpoint
        kinds = {part.kind for part in found.parts}
        assert {"dataset", "onnx", "engine", "evaluation", "profile", "report"} <= kinds


def test_the_newest_of_a_run_that_was_trained_and_taken_is_what_was_evaluated(
    store: Store, tmp_path: Path
) -> None:
    trained = make(store, tmp_path, FIRST)
    taken = make(store, tmp_path, TAKEN)
    assert side(store, "mugs").checkpoint == taken
    assert contents_of(store, "mugs").checkpoint == taken
    assert side(store, "mugs~1").checkpoint == trained
    make(store, tmp_path, dataclasses.replace(later(), created="2026-05-03T10:00:00+00:00"))
    again = side(store, "mugs").checkpoint
    assert again
    assert again.provenance.stage == "train"


def test_what_only_a_training_has_is_no_difference_to_a_model_that_was_taken(
    compared: Compared,
) -> None:
    found = compared(FIRST, TAKEN)
    assert found.after.kind == "model"
    assert found.before.kind == "training"
    assert found.config.fields == ()
    assert [each for each in found.parameters if "train" in each.steps] == []
    assert found.data_alike


def test_how_a_model_that_was_taken_detects_is_compared(compared: Compared) -> None:
    other = "model = dict(type='YOLOX', neck=dict(channels=96))\n"
    found = compared(FIRST, dataclasses.replace(TAKEN, config=other))
    assert [each.name for each in found.config.fields] == ["model.type"]
    more = compared(
        dataclasses.replace(TAKEN, name="jugs"), dataclasses.replace(TAKEN, weights="8" * 64)
    )
    assert [each.what for each in more.inputs] == ["the checkpoint as it came"]


def test_what_another_run_made_of_the_same_weights_is_none_of_a_model_that_was_taken(
    store: Store, tmp_path: Path
) -> None:
    """It was measured on other pictures."""
    ours = make(store, tmp_path, replace(TAKEN, name="ours"))
    store.tag(ours, "taken.model")
    assert side(store, "taken").parts.keys() == {PartName("checkpoint")}
    assert PartName("evaluation", "pc") in side(store, "ours").parts
    assert PartName("evaluation", "pc") in side(store, ours.digest[7:19]).parts
