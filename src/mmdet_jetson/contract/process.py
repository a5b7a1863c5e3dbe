"""How a stage's process is started, wherever it runs."""

from typing import Mapping

WATCH_STDIN = "MMDET_JETSON_WATCH_STDIN"
"""With "1" a stage ends when its standard input closes: whoever started it is gone."""

ENVIRON: Mapping[str, str] = {
    # OpenMP's threads wait for each other in a busy loop. Beside other busy processes they wait
    # mostly for a core: a training step that takes 0.2 s alone then takes over 4 s. With a shorter
    # loop it takes 0.6 s there, and still 0.2 s alone (2 cores, RTMDet-tiny).
    "GOMP_SPINCOUNT": "3000",
    "MPLBACKEND": "Agg",
    "PYTHONHASHSEED": "0",
    WATCH_STDIN: "1",
}
