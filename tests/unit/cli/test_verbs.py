"""Commands as users find them: their names, their options and their exit codes."""

import subprocess
import sys
from collections.abc import Callable

import msgspec
import pytest
from invoke.exceptions import Exit
from invoke.loader import FilesystemLoader

from mmdet_jetson.cli.answering import answering
from mmdet_jetson.cli.matrix import FORMS
from mmdet_jetson.cli.request import CONFIG, Request
from mmdet_jetson.config.pipeline import load_project
from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.errors import ConfigError, GateFailed, NotProven, UserError


def test_the_forms_of_a_matrix_are_those_that_there_are() -> None:
    module, _ = FilesystemLoader(start=str(ROOT)).load("tasks")
    assert " or ".join(FORMS) == module.MATRICES


def test_tasks_of_one_name_hide_none_of_each_other() -> None:
    module, _ = FilesystemLoader(start=str(ROOT)).load("tasks")
    names = module.namespace.task_names
    assert {"demo", "test", "lint", "build-jetson-engine"} <= set(names)
    assert {"images.build", "images.test", "images.pin"} <= set(names)


def raising(error: BaseException) -> Callable[[], None]:
    @answering
    def verb() -> None:
        raise error

    return verb


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("no", "try"), 1),
        (ConfigError("no"), 2),
        (GateFailed("no"), 3),
        (NotProven("no"), 4),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_a_user_can_mend_has_a_sentence_and_an_exit_code(
    error: BaseException, code: int
) -> None:
    with pytest.raises(Exit) as exited:
        raising(error)()
    assert exited.value.code == code
    assert exited.value.message
    assert exited.value.__suppress_context__


def test_a_disk_that_refuses_is_a_sentence() -> None:
    with pytest.raises(Exit, match="the disk is full"):
        raising(OSError(28, "No space left on device"))()


@pytest.mark.parametrize("bug", [ValueError("bug"), OSError(5, "Input/output error"), KeyError(1)])
def test_a_bug_passes_through(bug: Exception) -> None:
    with pytest.raises(type(bug)):
        raising(bug)()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["status", "--config", "absent.toml"], 2, "error: absent.toml: no such file"),
        (["pipeline", "--set", "train.epoch=1"], 2, "did you mean 'epochs'"),
        (["pipeline", "--set", "gates.min_AP5=0.1"], 2, "did you mean 'min_AP50'"),
        (["dataset", "--set", "dataset.format=coko"], 2, "'coko' is unknown"),
        (["engine", "--target", "orin"], 2, "'orin' is not in targets.toml"),
        (["why", "nothing"], 1, "'nothing' is not a step of this pipeline"),
        (["why", "profile", "--target", "orin-jp62", "--onnx", "x"], 1, "there is no such folder"),
        (["train", "--runtime", "dokcer"], 1, "did you mean 'docker'"),
        (["train", "--docker-host", "ssh://x"], 1, "add --runtime docker"),
        (["pipeline", "--jobs", "0"], 1, "--jobs 0: steps that run at once are 1 or more"),
        (["train", "--jobs", "two"], 1, "--jobs two: steps that run at once are 1 or more"),
        (["build-jetson-engine", "--target", "pc-onnxruntime", "--precision", "fp17"], 2, "fp16"),
        (["build-jetson-engine", "--target", "pc-onnxruntime", "--precision", "fp16"], 2, "fp32"),
        (["engine", "--engine", "ssh://x"], 1, "No idea what '--engine' is"),
        (["report", "--target", "orin-jp62"], 1, "error: report: "),
        (["status", "--onnx", "x" * 300], 1, "a name in it is too long"),
        (["export-for", "triton", "x" * 300, "models"], 1, "x: a name in it is too long"),
        (["engine", "--onnx", ""], 1, "error: --onnx is empty"),
        (["engine", "--docker-host="], 1, "error: --docker-host is empty"),
        (["engine", "--target", ""], 1, "error: --target is empty"),
        (["build-jetson-engine", "--target", "orin-jp62", "--precision", ""], 1, "precision is em"),
        (["export-for", "triton", "mugs.engine-pc", ""], 1, "error: --to is empty"),
    ],
)
def test_a_program_ends_with_its_exit_code_and_no_traceback(
    words: list[str], code: int, told: str
) -> None:
    command = [sys.executable, "-m", "invoke", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_whatever_takes_targets_takes_a_precision_for_them() -> None:
    module, _ = FilesystemLoader(start=str(ROOT)).load("tasks")
    options = {each.name: set(each.argspec(each.body).parameters) for each in module.TASKS}
    chooses = {name for name, names in options.items() if "target" in names}
    assert {"report", "evaluate", "profile", "status", "why", "pack"} <= chooses
    assert {name for name in chooses if "precision" not in options[name]} == set()


@pytest.mark.parametrize(
    ("request_", "command"),
    [
        (Request(config=CONFIG), "invoke report --target pc-onnxruntime"),
        (
            Request(config="configs/demo.toml", overrides=["name=a b"], precision="fp16"),
            "invoke report --config configs/demo.toml --set 'name=a b' --precision fp16"
            " --target pc-onnxruntime",
        ),
    ],
)
def test_a_hint_repeats_what_chose_the_project(request_: Request, command: str) -> None:
    project = load_project(ROOT / "configs/demo.toml")
    project = msgspec.structs.replace(project, typed=request_.typed)
    assert project.command("report", "pc-onnxruntime") == command


@pytest.mark.parametrize("words", [["status"], ["status", "--config", "configs/demo.toml"]])
def test_a_command_finds_the_project_from_any_folder_of_it(words: list[str]) -> None:
    command = [sys.executable, "-m", "invoke", *words]
    done = subprocess.run(command, cwd=ROOT / "docs", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pipeline " in done.stdout
