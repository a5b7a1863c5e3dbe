from pathlib import Path

import pytest
import small_releases
from small_releases import SmallRun


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """A whole run of the demo for three targets, one of them in 8 bits; never changed."""
    return small_releases.whole_run(tmp_path_factory.mktemp("whole-run"))


@pytest.fixture
def run(whole_run: SmallRun, tmp_path: Path) -> SmallRun:
    """The same in a folder of the test's own."""
    return small_releases.copy_of(whole_run, tmp_path)
