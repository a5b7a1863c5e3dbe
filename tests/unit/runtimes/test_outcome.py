import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from mmdet_jetson.contract.job import Failure, Progress, Result, write_failure, write_result
from mmdet_jetson.runtimes.outcome import StageFailed, hear, outcome


def test_progress_is_passed_on_and_everything_else_is_log(tmp_path: Path) -> None:
    heard: list[Progress] = []
    log = tmp_path / "log.txt"
    for line in ('{"step": 1, "total": 2}\n', "a warning\n", '{"step": 2}\n'):
        hear(line, log, heard.append)
    assert heard == [Progress(1, 2)]
    assert log.read_text() == 'a warning\n{"step": 2}\n'


def test_a_result_counts_whatever_the_exit_code(tmp_path: Path) -> None:
    write_result(tmp_path, Result({"AP": 0.5}))
    assert outcome("train", 1, tmp_path) == Result({"AP": 0.5})


def test_a_stage_that_ended_well_without_a_result_has_failed(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("first\nlast\n")
    with pytest.raises(StageFailed, match=r"train: ended with exit code 0; .*:\nfirst\nlast"):
        outcome("train", 0, tmp_path)


def test_a_stage_that_crashed_is_told_by_its_signal(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="engine: ended with signal SIGSEGV;"):
        outcome("engine", -11, tmp_path)


def test_a_stages_own_sentence_is_told(tmp_path: Path) -> None:
    write_failure(tmp_path, Failure("there is no picture", "add one"))
    with pytest.raises(StageFailed) as failed:
        outcome("dataset", 3, tmp_path)
    assert (failed.value.message, failed.value.hint) == ("dataset: there is no picture", "add one")


def test_a_stage_is_called_what_its_command_is(tmp_path: Path) -> None:
    write_failure(tmp_path, Failure("no such engine"))
    with pytest.raises(StageFailed, match=r"^export-for: no such engine"):
        outcome("export_for", 3, tmp_path)


@pytest.mark.parametrize("code", [-9, 137])
def test_a_killed_stage_is_told_about_memory(tmp_path: Path, code: int) -> None:
    with pytest.raises(StageFailed, match="killed, most often because memory ran out"):
        outcome("train", code, tmp_path)


def test_a_full_disk_is_told_where_the_stage_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0))
    with pytest.raises(StageFailed, match="the disk is full"):
        outcome("train", 1, tmp_path)
