"""The gates: a line each, and a module of ``stages/gates`` that judges."""

from typing import Mapping

# A gate's name in [gates], and the module that judges it. A limit is a number from 0 to 1.
GATES: Mapping[str, str] = {
    "min_AP50": "min_ap50",
    "max_AP_difference": "max_ap_difference",
}
