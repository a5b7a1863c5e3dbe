"""What every test of a bundle needs: a run to make one of."""

from pathlib import Path

import pytest
import small_releases
from small_releases import SmallRun


@pytest.fixture
def run(whole_run: SmallRun, tmp_path: Path) -> SmallRun:
    """A copy of the whole run, in a folder of the test's own."""
    return small_releases.copy_of(whole_run, tmp_path)
