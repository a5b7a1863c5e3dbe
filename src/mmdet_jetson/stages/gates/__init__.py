"""Gates: checks of what was measured that pass, fail or are inconclusive: no files, no clock.

A gate passes on measurements alone: what is missing fails it. Each is a module here, which
`contract.gates.GATES` names.
"""

from importlib import import_module
from typing import List, Mapping, Protocol, Sequence, cast

from mmdet_jetson.contract.gates import GATES, PROOF, Tolerances
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS, GateResult
from mmdet_jetson.stages.gates.measured import Case, Measured


class Gate(Protocol):
    """What the module of a gate has."""

    def judge(self, case: Case) -> List[GateResult]:
        """Give a result for the checkpoint or each target that the gate asks about."""


def load_gate(name: str) -> Gate:
    """Give the module of a gate."""
    return cast("Gate", import_module(f"{__name__}.{GATES[name]}"))


def judge(
    limits: Mapping[str, float], tolerances: Mapping[str, Tolerances], measured: Measured
) -> List[GateResult]:
    """Judge every gate that has a limit, in the order of `contract.gates.GATES`.

    ``tolerances`` are those of the proof, by the target whose engine has to be proven. A gate that
    finds nothing to judge is inconclusive.

    Raises:
        ValueError: there is no such gate: one that is skipped would look passed.
    """
    unknown = sorted(set(limits) - set(GATES))
    if unknown:
        raise ValueError(f"unknown gate {unknown[0]!r}; the gates are {', '.join(GATES)}")
    asked = {**limits, **({PROOF: 0.0} if tolerances else {})}
    results: List[GateResult] = []
    for name in (name for name in GATES if name in asked):
        judged = load_gate(name).judge(Case(name, asked[name], measured, tolerances))
        results += judged or [_nothing_judged(name, asked[name])]
    return results


def _nothing_judged(name: str, limit: float) -> GateResult:
    sentence = f"{name} had nothing to judge."
    return GateResult(name, INCONCLUSIVE, measured=None, limit=limit, sentence=sentence)


def verdict(gates: Sequence[GateResult]) -> str:
    """One failed gate fails the whole; nothing judged is inconclusive, never a pass."""
    outcomes = {gate.outcome for gate in gates}
    if FAIL in outcomes:
        return FAIL
    return PASS if outcomes == {PASS} else INCONCLUSIVE
