"""Run a script of MMDetection by several processes on a CPU, for `distributed_overhead.py`.

It runs inside environment `train`: ``SCRIPT OPTION ...`` after a gloo group is open.
"""

import os
import runpy
import sys

from torch import distributed

os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
# The machine's own name, which torchrun tells, need not lead here.
os.environ["MASTER_ADDR"] = "127.0.0.1"
distributed.init_process_group("gloo")
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
