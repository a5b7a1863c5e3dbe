"""How much memory a call takes, measured in a process of its own: in ours, others came before."""

import os
import subprocess
import sys

SCRIPT = """
import re
from pathlib import Path
{imports}

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10

before = peak()
{call}
print(peak() - before)
"""


def growth_of(call: str, imports: str) -> int:
    """By how many bytes the peak of resident memory grows while a line of Python runs."""
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(imports=imports, call=call)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return int(ran.stdout)
