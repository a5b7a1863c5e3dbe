"""The device's suite builds its small networks as the unit tests of its stages do."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "unit/stages"))
