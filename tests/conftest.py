"""What every test stands on: nothing of the user's own cache or store is ever touched."""

from pathlib import Path

import pytest
import small_releases
from lanes import Lanes
from small_releases import SmallRun
from xdist.remote import Producer

from mmdet_jetson.config.settings import Settings

ROOT = Path(__file__).resolve().parents[1]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes | None:
    """Replace `--dist=loadscope`, as `invoke test` asks for."""
    return Lanes(config, log) if config.getoption("dist") == "loadscope" else None


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose cache and store lie in the test's own folder, offline."""
    return small_releases.settings_in(tmp_path)


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """A whole run of the demo for three targets, one of them in 8 bits; never changed."""
    return small_releases.whole_run(tmp_path_factory.mktemp("whole-run"))
