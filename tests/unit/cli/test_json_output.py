"""JSON for programs that may not read it to the end."""

import subprocess
import sys
from pathlib import Path

import pytest

import mmdet_jetson
from mmdet_jetson.cli.json_output import READER_LEFT

SOURCE = Path(mmdet_jetson.__file__).parents[1]


@pytest.mark.parametrize("numbers", [1, 100_000])
def test_a_reader_that_has_had_enough_is_no_error(numbers: int) -> None:
    code = f"from mmdet_jetson.cli.json_output import print_json; print_json([0] * {numbers})"
    program = subprocess.Popen(
        [sys.executable, "-c", f"input(); {code}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=SOURCE,
    )  # fmt: skip
    assert program.stdout
    program.stdout.close()
    _, said = program.communicate(b"\n")
    assert (program.returncode, said) == (READER_LEFT, b"")
