"""Several commands in one line: none runs that may have been meant as a name."""

from pathlib import Path

import pytest
from invoke.program import Program

from mmdet_jetson.config.settings import ROOT


@pytest.fixture(autouse=True)
def _no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "artifacts"))


def said_of(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = 0
    try:
        Program().run(["invoke", "--search-root", str(ROOT), *words])
    except SystemExit as exited:
        code = int(exited.code or 0)
    said = capsys.readouterr()
    return code, said.out + said.err


def test_a_command_behind_one_that_only_tells_is_not_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said = said_of(capsys, "runs", "runs")

    assert code == 1
    assert said == (
        "error: `invoke runs` takes no name, and runs is a command of its own\n"
        "  try: invoke show runs, or each by itself\n"
    )


def test_one_alone_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = said_of(capsys, "runs", "--json")

    assert (code, said) == (0, "[]\n")
