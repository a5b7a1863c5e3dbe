"""How a stage's processes are started, and what one machine is not asked for."""

from dataclasses import replace

import pytest
from fakes import dataset_step, train_step

from mmdet_jetson.contract.process import WORLD
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.steps import Spread
from mmdet_jetson.runtimes.launching import Launch, check_one_machine, on_one_machine

COMMAND = ["python", "-m", "mmdet_jetson.stages.train", "/job"]


def test_one_process_is_told_nothing() -> None:
    assert on_one_machine(COMMAND, Spread()) == Launch(COMMAND, {})


def test_several_are_started_by_the_first() -> None:
    assert on_one_machine(COMMAND, Spread(processes=2)) == Launch(COMMAND, {WORLD: "2"})


def test_a_second_machine_is_refused() -> None:
    check_one_machine([dataset_step(), replace(train_step(), spread=Spread(processes=8))])
    with pytest.raises(UserError, match=r"train: train.nodes is 2.*one machine") as error:
        check_one_machine([dataset_step(), replace(train_step(), spread=Spread(nodes=2))])
    assert "--runtime slurm" in error.value.hint
