"""A verdict: what the gates of a policy said about a bundle, kept as an artifact that refers to it.

Its file ``verdict.json`` is a `Verdict`. Beside it lies, where the incumbent was measured on the
candidate's pictures, that evaluation in the folder ``incumbent/``, so that anybody who has the
verdict can judge anew.
"""

from collections.abc import Mapping, Sequence

import msgspec

from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS
from mmdet_jetson.store import oci

KIND = "verdict"


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate said of one subject: a target, "checkpoint", or "" for the whole bundle.

    ``measured`` is what was compared with ``limit``, both in ``unit``; ``low`` and ``high`` are the
    ends of its interval. All are None where the gate compares no numbers.
    """

    gate: str
    outcome: str
    sentence: str
    subject: str = ""
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    unit: str = ""

    @property
    def name(self) -> str:
        """``latency:agx-orin``; the gate alone for the whole bundle."""
        return f"{self.gate}:{self.subject}" if self.subject else self.gate


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a policy said about a bundle; nothing in it is of the time of judging.

    Attributes:
        bundle: its digest.
        channel: where it should go.
        policy: the table of the channel, and ``policy_digest`` its digest.
        incumbent: the digest of the bundle that was in the channel; "" for none.
        validation: the content digest of the validation pictures and their annotations.
        judged_before: how many other bundles had been judged by these pictures.
        gates: all of them, in the order of judging.
        named: what is said and not judged, such as packages that are no longer supported.
    """

    bundle: str
    channel: str
    policy: Mapping[str, object]
    policy_digest: str
    incumbent: str
    validation: str
    judged_before: int
    gates: tuple[Judged, ...]
    named: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """Fail where a gate failed, else inconclusive where one was, else pass."""
        return combined([each.outcome for each in self.gates])

    def of(self, outcome: str) -> list[Judged]:
        """The gates with this outcome."""
        return [each for each in self.gates if each.outcome == outcome]


def combined(outcomes: Sequence[str]) -> str:
    """What several outcomes amount to. None at all prove nothing: inconclusive."""
    if FAIL in outcomes:
        return FAIL
    return PASS if outcomes and set(outcomes) == {PASS} else INCONCLUSIVE


def encode(verdict: Verdict) -> bytes:
    """``verdict.json``: the same bytes for the same verdict."""
    return oci.canonical_json(msgspec.to_builtins(verdict))
