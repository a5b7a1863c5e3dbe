"""A page that another process draws: the same one, and the same errors."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from labelled import job, source

from mmdet_jetson.contract.records import read_record
from mmdet_jetson.stages import dataset
from mmdet_jetson.stages.annotations.glance_file import FILE, Glance
from mmdet_jetson.stages.annotations.summary import DatasetSummary
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.reporting import dataset_page
from mmdet_jetson.stages.reporting.page_aside import PageAside

Asked = tuple[DatasetSummary, Glance, None]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    folder = tmp_path_factory.mktemp("made")
    dataset.run(job(folder / "job", source(folder / "own")))
    output = folder / "job/output"
    return (
        read_record(output / "summary.json", DatasetSummary),
        read_record(output / FILE, Glance),
        None,
    )


def drawn(asked: Asked) -> str:
    with PageAside() as page:
        page.begin(*asked)
        return page.text()


def test_it_is_the_page_that_this_process_draws(asked: Asked) -> None:
    assert drawn(asked) == dataset_page.render(*asked)


@pytest.mark.parametrize("when", ["before", "behind"])
def test_it_is_drawn_here_where_the_other_process_is_killed(asked: Asked, when: str) -> None:
    with PageAside() as page:
        (child,) = multiprocessing.active_children()
        if when == "behind":
            os.kill(child.pid or 0, signal.SIGSTOP)
            page.begin(*asked)
        child.kill()
        child.join()
        if when == "before":
            page.begin(*asked)
        assert page.text() == dataset_page.render(*asked)


def test_an_error_is_the_one_of_drawing(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> str:
        raise OSError(28, "the disk is full")

    monkeypatch.setattr(dataset_page, "render", fail)
    with pytest.raises(OSError, match="the disk is full"):
        drawn(asked)


def test_nobody_is_left_where_nothing_is_drawn(tmp_path: Path) -> None:
    own = source(tmp_path / "own")
    (own / "train/via.json").write_text("{")
    began = time.monotonic()
    with pytest.raises(StageError):
        dataset.run(job(tmp_path / "job", own))
    assert multiprocessing.active_children() == []
    assert time.monotonic() - began < 30
