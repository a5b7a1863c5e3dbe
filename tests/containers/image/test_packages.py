"""What is installed in an image is what its lock file says, neither less nor more."""

import subprocess
from pathlib import Path


def test_the_versions_are_those_of_the_lock() -> None:
    environment = Path("/opt/environment")
    checked = subprocess.run(
        ["check-packages", str(environment / "packages.lock")],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
