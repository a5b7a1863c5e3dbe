"""The device's suite builds its small networks as the unit tests of its stages do."""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "unit/stages"))
# `invoke images.test` sets it where the container is given a GPU, and says so where it is not.
collect_ignore = [] if os.environ.get("MMDET_JETSON_ON_GPU") else ["test_on_gpu.py"]
