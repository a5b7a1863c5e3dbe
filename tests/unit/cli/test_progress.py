"""What is shown while steps run."""

import io

from fakes import dataset_step
from rich.console import Console

from mmdet_jetson.cli.progress import Display
from mmdet_jetson.contract.job import Progress


def test_brackets_are_shown_as_they_are() -> None:
    """They are in paths and messages, and rich's markup has brackets, too."""
    shown = io.StringIO()
    display = Display(Console(file=shown, width=200))
    display.say("no such file: runs[/x]/[dim]a")
    display.progress(dataset_step(), Progress(1, 2, "[bold]b[/y]"))
    lines = shown.getvalue().splitlines()
    assert lines[0] == "no such file: runs[/x]/[dim]a"
    assert lines[1].endswith("1/2 [bold]b[/y]")
