"""What tests of promotion need: a release that every gate passes, to be spoilt."""

from pathlib import Path

import pytest
from proven_releases import ProvenRun, copy_of, proven_run


@pytest.fixture(scope="session")
def proven(tmp_path_factory: pytest.TempPathFactory) -> ProvenRun:
    """A whole run; never changed."""
    return proven_run(tmp_path_factory.mktemp("proven") / "home")


@pytest.fixture
def run(proven: ProvenRun, tmp_path: Path) -> ProvenRun:
    """A copy of it, in a folder of the test's own."""
    return copy_of(proven, tmp_path)
