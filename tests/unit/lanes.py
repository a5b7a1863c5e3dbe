"""Which tests one process runs, in their order, where several share them."""

import functools
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[2]
# What only one process at a time should use, or should have to make: by a word of a file with tests.
LANES = {
    "demo_run": "runs",
    "balloon_run": "runs",
    "docker_host": "docker",
    "slurm_cluster": "slurm",
}


class Lanes(LoadScopeScheduling):  # type: ignore[misc]  # the package shows no types
    """Gives a lane to one process, and each unit test to whoever is free.

    The marks that `--dist=loadgroup` goes by do not reach pytest-xdist 3.8 under pytest 9.
    """

    def _split_scope(self, nodeid: str) -> str:
        return lane_of(nodeid, self.config.rootpath)


def lane_of(test: str, root: Path = ROOT) -> str:
    """Name the lane of a test: of integration tests their file, or what it stands on."""
    file = test.partition("::")[0]
    return _lane_of_file(file, root) if file.startswith("tests/integration/") else test


@functools.cache
def _lane_of_file(file: str, root: Path) -> str:
    text = (root / file).read_text()
    return next((lane for word, lane in LANES.items() if word in text), file)
