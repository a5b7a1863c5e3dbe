"""From a checkpoint as people have it to a proven engine, without a training."""

import json
import re
import shutil

import pytest
from commands import Commands, new_commands

from mmdet_jetson.store import Store

TAKEN = """
name = "taken"
input_size = [64, 64]
targets = ["pc-onnxruntime"]

[dataset]
format = "drawn"
drawn = {{ train = 8, val = 12, size = [96, 64] }}

[model]
checkpoint = "{}"
device = "cpu"
"""
STEPS = ("dataset", "check", "evaluate-checkpoint", "prove-pc-onnxruntime", "report")


@pytest.fixture(scope="module")
def taken(tiny_run: Commands, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The commands on a copy of the tiny run's store, and a configuration that trains nothing."""
    folder = tmp_path_factory.mktemp("taken")
    assert tiny_run.run("checkout", "tiny.train", str(folder / "theirs")).returncode == 0
    commands = new_commands(folder, TAKEN.format(folder / "theirs/best.pth"))
    shutil.copytree(tiny_run.artifacts, commands.artifacts)
    return commands


def run(commands: Commands, *words: str) -> str:
    """Run a command; return all that it says."""
    done = commands.run(*words)
    assert done.returncode in (0, 3, 4), done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_checkpoint_becomes_a_proven_engine(taken: Commands) -> None:
    said = run(taken, "pipeline")
    for step in ("model", *STEPS):
        assert f"✓ {step} " in said
    assert "✓ train" not in said
    store = Store(taken.artifacts)
    made = store.find("taken.model")
    assert made
    assert json.loads(store.read(made, "classes.json")) == ["ellipse", "rectangle"]
    report = store.find("taken.report")
    assert report
    assert report.provenance.metrics["verdict"] in ("pass", "inconclusive")
    proof = store.find("taken.prove-pc-onnxruntime")
    assert proof


def test_it_detects_as_it_did_where_it_was_trained(taken: Commands) -> None:
    run(taken, "evaluate")
    store = Store(taken.artifacts)
    figures = [store.find(f"{name}.evaluate-checkpoint") for name in ("tiny", "taken")]
    trained, again = (each.provenance.metrics for each in figures if each)
    assert trained["AP"] == again["AP"]


def test_an_artifact_is_known_again(taken: Commands) -> None:
    """What was made of it before needs not be made once more."""
    classes = 'dataset.classes=["ellipse", "rectangle"]'
    settings = ("--set", "model.checkpoint=tiny.train", "--set", classes)
    assert "✓ model" in run(taken, "model", *settings)
    rows = [line.split("│")[:2] for line in run(taken, "status", *settings).splitlines()]
    states = {row[0].strip(): row[1].strip() for row in rows if len(row) > 1}
    assert {states[step] for step in ("dataset", "evaluate-checkpoint")} == {"cached"}


def test_there_is_nothing_to_train(taken: Commands) -> None:
    refused = taken.run("train")
    assert refused.returncode == 1
    assert "nothing is trained, as [model] names a model that is trained already" in refused.stderr


def test_it_is_a_release_like_any_other(taken: Commands) -> None:
    run(taken, "pipeline")
    assert "bundle taken.bundle" in run(taken, "bundle")
    shown = taken.run("show", "taken.bundle").stdout
    assert "trained elsewhere, taken from best.pth" in shown


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ('dataset.classes=["ellipse"]', "detects 2 classes, and dataset.classes are others"),
        ("model.config=mmdet::yolox/yolox_tiny_8xb8-300e_coco.py", "does not fit its config"),
        ("model.config=mmdet::no/such.py", "has no config mmdet::no/such.py"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_converted(
    taken: Commands, setting: str, sentence: str
) -> None:
    refused = taken.run("pipeline", "--set", setting)
    assert refused.returncode == 1
    assert sentence in " ".join(refused.stderr.split())
    said = refused.stdout + refused.stderr
    assert not re.search(r"✓ (?!dataset)", said), said
    assert re.search(r"export-documented .* not made: needs model", said), said
