from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeRuntime
from invoke import Context, task

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.environments.this_machine import Machine
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.runtimes.selection import Divided, Where, placed
from mmdet_jetson.store import Store

TRAIN = Step("train", "train", "train", "checkpoint", {})
ENGINE = Step("engine-orin", "engine", "deploy", "engine", {})


def test_an_entry_of_the_menu_gets_the_words() -> None:
    heard: list[Any] = []

    @task
    @placed
    def verb(_: Context, name: str, *, where: Where) -> None:
        heard.append((name, where))

    flags = [flag for argument in verb.get_arguments() for flag in argument.names]
    assert {"name", "runtime", "engine", "untested"} <= set(flags)
    assert "where" not in flags
    verb(Context(), "x", runtime="docker", engine="orin", untested=True)
    assert heard == [("x", Where("docker", "orin", untested=True))]


@pytest.mark.parametrize(
    ("where", "told"),
    [
        (Where("doker"), "did you mean 'docker'"),
        (Where("host", "ssh://orin"), "add --runtime docker"),
        (Where("host", untested=True), "add --runtime docker"),
    ],
)
def test_words_that_make_no_sense_are_answered(
    where: Where, told: str, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        where.choose(settings, Store(tmp_path), print)


def test_the_host_needs_no_engine(settings: Settings, tmp_path: Path) -> None:
    assert isinstance(Where().choose(settings, Store(tmp_path), print), HostRuntime)


def test_training_and_the_devices_side_have_a_runtime_each(tmp_path: Path) -> None:
    here, there = FakeRuntime("here"), FakeRuntime("there")
    there.machine = Machine("arm64", has_gpu=True)
    both = Divided(here, there)
    assert both.identity(TRAIN) == "train:here"
    assert both.identity(ENGINE) == "deploy:there"
    assert both.identity(replace(ENGINE, environment="deploy-rtx")) == "deploy-rtx:there"
    assert both.machine == there.machine
    for step, other in ((TRAIN, there), (ENGINE, here)):
        other.fails = True
        (tmp_path / step.name / "output").mkdir(parents=True)
        (tmp_path / step.name / "job.json").write_text('{"parameters": {}, "inputs": {}}')
        both.run(step, tmp_path / step.name, {}, lambda _: None)
        other.fails = False
    assert (here.runs, there.runs) == (["train"], ["engine"])
