"""`invoke` in this process, as a user types it."""

from collections.abc import Callable

import pytest
from invoke.collection import Collection
from invoke.loader import FilesystemLoader
from invoke.program import Program

from mmdet_jetson.config.settings import ROOT

Said = tuple[int, str]
Commands = Callable[..., Said]
BROAD = 80
"""Columns of the terminal that what is said has to fit."""


def commands_of(capsys: pytest.CaptureFixture[str], program: Program | None = None) -> Commands:
    """Give what runs the words of a command, and returns its exit code and what was printed.

    Args:
        program: one that finds the commands itself; ours, which knows them already, if none is given.
    """
    program = program or Program(namespace=our_commands())

    def run(*words: str) -> Said:
        code = 0
        try:
            program.run(["invoke", *words])
        except SystemExit as exited:
            code = int(exited.code or 0)
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def our_commands() -> Collection:
    """The tasks of ``tasks.py``."""
    module, _ = FilesystemLoader(start=str(ROOT)).load("tasks")
    return Collection.from_module(module)
