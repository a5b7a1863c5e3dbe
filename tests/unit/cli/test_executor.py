"""Several commands in one line: none runs that may have been meant as a name."""

from functools import partial
from pathlib import Path

import pytest
from in_process import Commands, commands_of
from invoke.program import Program

from mmdet_jetson.config.settings import ROOT


@pytest.fixture(autouse=True)
def _no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "artifacts"))


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str]) -> Commands:
    """`invoke` in this process, which looks for its commands as it does for a user."""
    return partial(commands_of(capsys, Program()), "--search-root", str(ROOT))


def test_a_command_behind_one_that_only_tells_is_not_run(invoke: Commands) -> None:
    code, said = invoke("runs", "runs")

    assert code == 1
    assert said == (
        "error: `invoke runs` takes no name, and runs is a command of its own\n"
        "  try: invoke show runs, or each by itself\n"
    )


def test_one_alone_is_run(invoke: Commands) -> None:
    code, said = invoke("runs", "--json")

    assert (code, said) == (0, "[]\n")
