"""`invoke diff` and `invoke runs`, as they are typed, on trainings that were made in no time."""

import dataclasses
import json
import os
import re
from pathlib import Path

import pytest
from in_process import BROAD, Commands
from small_artifacts import blob_of, found
from small_trainings import CONFIG, Training, later, make, numbered

from mmdet_jetson.bundles.dataset_summary import summarize
from mmdet_jetson.bundles.ledger import ledger
from mmdet_jetson.cli.runs import table
from mmdet_jetson.store import Store

FIRST = Training()
CHANGED = later(
    train=numbered(1, 14), config=CONFIG.replace("96", "128"), epochs=9, ap50=0.82,
    interval=(0.77, 0.87), commit="2" * 40, source="source-2", torch="1.12.0", targets=("pc", "orin"),
    machine={"cpu": "another PC", "cores": 4},
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nothing here outlives the test
    return Store(tmp_path / "artifacts")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mugs.train", "mugs.dataset"),
        ("mugs.dataset", "mugs"),
        ("mugs.engine-pc", "mugs.profile-pc"),
    ],
)
def test_what_has_nothing_to_compare_is_refused(
    store: Store, tmp_path: Path, invoke: Commands, one: str, other: str
) -> None:
    make(store, tmp_path)
    code, said = invoke("diff", one, other)
    assert code == 1
    assert said.startswith("error: mugs")
    assert "cannot be compared\n  try: name two trainings" in said


def test_what_changed_is_on_the_first_screen(
    store: Store, tmp_path: Path, invoke: Commands
) -> None:
    first = make(store, tmp_path)
    make(store, tmp_path, CHANGED)
    code, said = invoke("diff", first.digest[7:19], "mugs")
    assert code == 0
    lines = said.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= BROAD
    assert lines[0].startswith(f"A  {first.digest[7:19]}  trained 2026-05-01")
    assert lines[2] == "What differs: data, config, code, packages."
    assert re.search(
        r"checkpoint +0\.400 +0\.410 +\+0\.010 +0\.800 +0\.820 +\+0\.020 +within\*", said
    )
    assert "no comparison of times: another device: a PC against another PC" in said
    assert "pictures 12 train, 10 val -> 13 train, 10 val, told apart by content" in said
    assert "2 added (train), 1 removed (train)" in said
    assert "train: epochs: 8 -> 9" in said
    assert "model.neck.channels: 96 -> 128" in said
    assert "Code: 1111111111 -> 2222222222; other source of" in said
    assert "torch: 1.11.0 -> 1.12.0" in said
    assert re.search(r"Only in B: .*engine orin", said)


def test_a_run_is_compared_with_its_training_before(
    store: Store, tmp_path: Path, invoke: Commands
) -> None:
    first = make(store, tmp_path)
    assert "mugs~1: of run mugs 1 training is known" in invoke("diff", "mugs~1", "mugs")[1]
    make(store, tmp_path, CHANGED)
    assert invoke("diff", "mugs~1", "mugs") == invoke("diff", first.digest, "mugs")
    assert invoke("diff", "jugs~1", "mugs")[1].startswith("error: jugs~1: of run jugs 0 ")


def test_the_same_is_one_line(store: Store, tmp_path: Path, invoke: Commands) -> None:
    first = make(store, tmp_path)
    short = first.digest[7:19]
    assert invoke("diff", "mugs", short) == (0, f"mugs and mugs are the same: {short}\n")


def test_a_training_made_again_says_that_nothing_differs(
    store: Store, tmp_path: Path, invoke: Commands
) -> None:
    first = make(store, tmp_path)
    make(store, tmp_path, later())
    assert "Nothing differs but when they were made" in invoke("diff", first.digest, "mugs")[1]


def test_a_damaged_training_is_said_to_be(store: Store, tmp_path: Path, invoke: Commands) -> None:
    make(store, tmp_path)
    make(store, tmp_path, Training(name="jugs", seed=1))
    (layer,) = found(store, "mugs.train").parts(["best.pth"])
    blob_of(store, layer.blob.digest).unlink()

    assert "mugs.train is damaged" in invoke("diff", "mugs", "jugs")[1]
    assert "mugs.train is damaged and not listed" in invoke("runs")[1]
    (layer,) = found(store, "jugs.train").parts(["best.pth"])
    blob_of(store, layer.blob.digest).unlink()
    assert "nothing was trained" not in invoke("runs")[1]


def test_what_is_in_a_place_has_to_be_pulled(
    store: Store, tmp_path: Path, invoke: Commands
) -> None:
    make(store, tmp_path)

    said = invoke("diff", "docker://host/mugs:v1", "mugs")[1]

    assert "try: bring it here first: invoke pull docker://host/mugs:v1\n" in said


def test_json_tells_all(store: Store, tmp_path: Path, invoke: Commands) -> None:
    first = make(store, tmp_path)
    make(store, tmp_path, CHANGED)
    code, said = invoke("diff", first.digest, "mugs", "--json")
    found = json.loads(said)
    assert code == 0
    assert found["nothing_differs"] is False
    assert found["before"]["digest"] == first.digest
    assert found["figures"][0]["differences"]["AP50"] == pytest.approx(0.02)
    assert found["data"]["added"] == ["train/12.jpg", "train/13.jpg"]
    assert found["data"]["classes"]["mug"] == {
        "before": 22, "after": 23, "added": 2, "removed": 1, "reshaped": 0, "became": {},
    }  # fmt: skip
    assert found["config"]["fields"] == [{"name": "model.neck.channels", "was": 96, "now": 128}]
    assert found["code"]["added"] is None


def test_what_comes_from_elsewhere_does_not_reach_the_terminal(
    store: Store, tmp_path: Path, invoke: Commands
) -> None:
    first = make(store, tmp_path)
    train = {**numbered(0, 12), "\x1b[2J.jpg": [("mug", 3)]}
    make(store, tmp_path, later(train=train, config=CONFIG.replace("RTMDet", "\\x1b[31m")))
    said = invoke("diff", first.digest, "mugs")[1]
    assert "\x1b" not in said
    assert "added: train/?[2J.jpg" in said


def test_a_release_without_its_pictures_still_knows_them(
    store: Store, tmp_path: Path, invoke: Commands
) -> None:
    """As after a pull of a bundle: the summaries are there, and the datasets are not."""
    first = make(store, tmp_path)
    make(store, tmp_path, later(train={**numbered(1, 12), "01.jpg": [("jug", 1)]}))
    drop_datasets(store, keep_summaries=True)
    said = invoke("diff", first.digest, "mugs")[1]
    assert "told apart by content" in said
    assert "1 removed (train), 1 relabelled (train)" in said


def test_other_data_is_told_of_where_no_dataset_is_left(
    store: Store, tmp_path: Path, invoke: Commands
) -> None:
    first = make(store, tmp_path)
    make(store, tmp_path, later(train=numbered(0, 13)))
    drop_datasets(store, keep_summaries=False)
    said = invoke("diff", first.digest, "mugs")[1]
    assert "What differs: data; the same: config, code, packages." in said
    assert "Data: it differs; a side comes without its dataset" in said


def drop_datasets(store: Store, *, keep_summaries: bool) -> None:
    for tag in list(store.tags()):
        dataset = store.find(tag)
        if dataset and dataset.kind == "dataset":
            if keep_summaries:
                summary = summarize(store, dataset)
                store.tag(summary, f"summary.{summary.digest[7:19]}")
            store.untag(tag)
    store.gc(lambda _: True)
    layers = {layer.title for each in store.artifacts() for layer in each.layers}
    assert not {"train", "val"} & layers


def test_a_name_that_is_nothing_is_one_sentence(
    store: Store, tmp_path: Path, invoke: Commands
) -> None:
    make(store, tmp_path)
    code, said = invoke("diff", "mugs", "mgus")
    assert code == 1
    assert "has no run, bundle or artifact 'mgus'" in said
    assert "did you mean 'mugs'?" in said


def test_without_a_store_it_is_one_sentence(store: Store, invoke: Commands) -> None:
    code, said = invoke("diff", "mugs", "jugs")
    assert code == 1
    assert "there is no store" in said


def test_runs_lists_every_training_the_newest_first(
    store: Store, tmp_path: Path, invoke: Commands
) -> None:
    first = make(store, tmp_path)
    make(store, tmp_path, CHANGED)
    code, said = invoke("runs")
    lines = said.splitlines()
    assert code == 0
    assert max(map(len, lines)) <= BROAD
    assert lines[0].split() == [
        "name",
        "trained",
        "AP",
        "engine",
        "epochs",
        "seed",
        "data",
        "run",
        "from",
        "config",
    ]
    newest, oldest = (line.split() for line in lines[1:])
    assert newest[0] == "mugs"
    assert newest[3:9] == ["0.410", "0.410", "9", "0", "13+10", newest[8]]
    assert oldest[0] == first.digest[7:19]
    assert oldest[9] == "mugs"
    assert oldest[8] != newest[8]


def test_runs_tells_what_was_not_evaluated(store: Store, tmp_path: Path, invoke: Commands) -> None:
    make(store, tmp_path)
    tags = [
        tag
        for tag, named in store.tags().items()
        if (a := store.find(named.digest)) and a.kind not in ("checkpoint", "dataset")
    ]
    store.untag(*tags)
    said = invoke("runs")[1]
    assert "0.400~" in said
    assert "~ by the training's own validation: it was not evaluated" in said


def test_runs_lists_what_was_taken_too(store: Store, tmp_path: Path, invoke: Commands) -> None:
    make(store, tmp_path)
    make(store, tmp_path, dataclasses.replace(later(), taken=True, name="ours"))
    said = invoke("runs")[1]
    taken = next(line for line in said.splitlines() if line.startswith("ours")).split()
    assert taken[5] == "taken"
    assert "99999999" in taken  # its file
    assert "taken: trained elsewhere" in said
    assert [each["taken"] for each in json.loads(invoke("runs", "--json")[1])] == [True, False]


def test_a_model_that_was_taken_is_told_of_as_such(
    store: Store, tmp_path: Path, invoke: Commands
) -> None:
    make(store, tmp_path)
    make(store, tmp_path, dataclasses.replace(later(), taken=True, name="ours"))
    assert "trained elsewhere, taken from m.pth: its own config" in invoke("show", "ours.model")[1]
    assert "taken 2026" in invoke("diff", "mugs", "ours")[1]


def test_runs_as_json(store: Store, tmp_path: Path, invoke: Commands) -> None:
    first = make(store, tmp_path)
    (found,) = json.loads(invoke("runs", "--json")[1])
    assert found["digest"] == first.digest
    assert found["runs"] == ["mugs"]
    assert found["engines"] == {"pc": 0.4}
    assert found["pictures"] == {"train": 12, "val": 10}
    assert found["verdict"] == "pass"


def test_runs_takes_a_time_that_is_none(store: Store, tmp_path: Path) -> None:
    """As what was pulled from elsewhere may have."""
    make(store, tmp_path)
    entry = dataclasses.replace(ledger(store)[0], created="yesterday")
    assert "?" in list(table([entry], {}, BROAD))[1].split()


def test_runs_of_an_empty_store_is_a_sentence(store: Store, invoke: Commands) -> None:
    code, said = invoke("runs")
    assert code == 0
    assert said.startswith("nothing was trained in ")
    assert json.loads(invoke("runs", "--json")[1]) == []
