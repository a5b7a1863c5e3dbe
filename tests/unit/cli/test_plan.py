"""What ``invoke plan`` tells, for people and for CI."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from invoke.loader import FilesystemLoader

from mmdet_jetson.config.settings import ROOT

DEMO = ("--config", "configs/demo.toml")
STATES = {"here", "registry", "missing", "damaged", "waiting", "not-needed", "elsewhere"}


def invoke(*words: str, store: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "invoke", *words]
    ours = os.environ | {"MMDET_JETSON_ARTIFACTS": str(store), **environ}
    return subprocess.run(command, cwd=ROOT, env=ours, capture_output=True, text=True, check=False)


def plan(store: Path, *words: str) -> list[dict[str, object]]:
    done = invoke("plan", "--json", *DEMO, *words, store=store)
    assert done.returncode == 0, done.stderr
    steps: list[dict[str, object]] = json.loads(done.stdout)["steps"]
    return steps


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    store = tmp_path_factory.mktemp("plan") / "store"
    words = ("--target", "pc-onnxruntime", "--target", "orin-jp62", "--precision", "fp32")
    return plan(store, *words)


def test_steps_come_behind_those_that_they_read(steps: list[dict[str, object]]) -> None:
    before: set[object] = set()
    for step in steps:
        reads, after = step["reads"], step["after"]
        assert isinstance(reads, list)
        assert isinstance(after, list)
        assert {*reads, *after} <= before
        before.add(step["name"])
    assert {step["stage"] for step in steps} == {
        "dataset", "check", "train", "evaluate", "export", "engine", "prove", "profile", "report",
    }  # fmt: skip


def test_what_is_known_of_a_key_is_told(steps: list[dict[str, object]]) -> None:
    state = {step["name"]: (step["state"], step["key"] is None) for step in steps}
    assert {word for word, _ in state.values()} <= STATES
    assert state["dataset"] == ("missing", False)
    assert state["train"] == ("waiting", True)
    assert state["engine-pc-onnxruntime"] == ("waiting", True)


def test_a_device_s_key_is_only_known_there(steps: list[dict[str, object]]) -> None:
    of_device = {s["name"]: s for s in steps if s["subject"] == "orin-jp62"}
    engine = of_device["engine-orin-jp62"]
    assert engine["state"] == "elsewhere"
    assert engine["key"] is None
    assert engine["gpu"] is True
    target = engine["target"]
    assert isinstance(target, dict)
    assert {name: target[name] for name in ("name", "backend", "precision", "sm", "module")} == {
        "name": "orin-jp62", "backend": "tensorrt", "precision": "fp32", "sm": "87", "module": None,
    }  # fmt: skip
    assert target["builds_on_device"] is True
    assert of_device["export-orin-jp62"]["state"] == "waiting"
    assert of_device["prove-orin-jp62"]["state"] == "waiting"


def test_a_training_takes_a_gpu_and_needs_none(
    steps: list[dict[str, object]], tmp_path: Path
) -> None:
    (train,) = (step for step in steps if step["name"] == "train")
    assert (train["gpu"], train["uses_gpu"]) == (False, True)
    (train,) = (s for s in plan(tmp_path, "--set", "train.device=cuda") if s["name"] == "train")
    assert train["gpu"] is True


def test_each_command_is_one_with_these_options(steps: list[dict[str, object]]) -> None:
    module, _ = FilesystemLoader(start=str(ROOT)).load("tasks")
    tasks = {each.name.replace("_", "-"): each for each in module.TASKS}
    for step in steps:
        first, verb, *words = shlex.split(str(step["command"]))
        assert first == "invoke"
        task = tasks[verb]
        options = {name.replace("_", "-") for name in task.argspec(task.body).parameters}
        assert {word[2:] for word in words if word.startswith("--")} <= options, step["command"]
        if step["target"]:
            assert words[-2:] == ["--target", step["subject"]]


def test_the_table_is_for_people(tmp_path: Path) -> None:
    done = invoke("plan", *DEMO, store=tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "engine-pc-onnxruntime" in done.stdout


@pytest.mark.parametrize(
    ("words", "environ", "code", "told"),
    [
        (["--push"], {}, 1, "error: --push: no registry is configured to push to"),
        (["--push", "--set", "store.registry=docker://127.0.0.1:9/a"], {}, 1, "cannot be reached"),
        (["--set", "store.registry=docker://127.0.0.1:9/a"], {"CI": "true"}, 1, "cannot be reached"),
        (["--set", "store.registry=docker://127.0.0.1:9/a:b"], {}, 2, "names one thing in a repo"),
        (["--set", "store.registry=docker://127.0.0.1:9/A"], {}, 1, "no capital letters"),
        (["--set", "store.registry=127.0.0.1:9/a"], {}, 2, "a registry is written docker://HOST"),
        (
            ["--push", "--set", "store.registry=docker://127.0.0.1:9/a"],
            {"MMDET_JETSON_OFFLINE": "1"}, 1, "--push: MMDET_JETSON_OFFLINE is 1",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_pushed_is_refused_before_anything_runs(
    tmp_path: Path, words: list[str], environ: dict[str, str], code: int, told: str
) -> None:
    done = invoke("dataset", *DEMO, *words, store=tmp_path / "store", **environ)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "started" not in done.stderr
    assert not (tmp_path / "store/index.json").exists()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, "warning: docker://127.0.0.1:9/a is not asked any more"),
        ({"MMDET_JETSON_OFFLINE": "1"}, "is not asked: MMDET_JETSON_OFFLINE is 1"),
    ],
)
def test_a_registry_that_is_not_there_is_a_warning_beside_the_answer(
    tmp_path: Path, environ: dict[str, str], told: str
) -> None:
    words = ("--set", "store.registry=docker://127.0.0.1:9/a")
    done = invoke("plan", "--json", *DEMO, *words, store=tmp_path, **environ)
    assert done.returncode == 0
    assert json.loads(done.stdout)["steps"]
    assert done.stderr.count("warning:") == 1
    assert told in done.stderr


def test_keys_hold_no_paths(tmp_path: Path, steps: list[dict[str, object]]) -> None:
    other = plan(tmp_path / "elsewhere", "--target", "pc-onnxruntime")
    assert other[0]["key"] == steps[0]["key"]
