"""``memory``: detecting takes no more memory than its target's limit, where it was measured.

``profile.json`` has it as ``peak_memory_mb`` of its machine: the most memory that the process which
detects had in use, in MB. A profile without it proves nothing.
"""

from collections.abc import Iterator
from functools import partial

from mmdet_jetson.bundles.overview import number
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS
from mmdet_jetson.promotion.evidence import Case, Unusable
from mmdet_jetson.promotion.verdicts import Judged

NAME = "memory"
MEASURED = "peak_memory_mb"


def judge(case: Case) -> Iterator[Judged]:
    """Judge the engine of each target with a limit, whether there is one or not."""
    for target, limit in case.policy.memory_mb.items():
        yield case.judged(NAME, target, partial(_judge, case, target, limit))


def _judge(case: Case, target: str, limit: float) -> Judged:
    used = number(case.profile(target).machine.get(MEASURED))
    if used is None or not used > 0:
        raise Unusable(
            INCONCLUSIVE, f"The profile of the engine for {target} has not measured its memory."
        )
    fits = used <= limit
    than = "no more than" if fits else "more than"
    return Judged(
        gate=NAME,
        outcome=PASS if fits else FAIL,
        sentence=f"Detecting takes {used:.4g} MB, {than} {limit:g} MB.",
        measured=used,
        limit=limit,
        unit="MB",
    )
