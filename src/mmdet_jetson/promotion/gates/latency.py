"""``latency``: the engine for a target is as fast as its budgets ask, sure to 99%.

A budget is met where the upper bound of a percentile keeps it, and missed where the lower bound is
over it; between them nothing is proven. A profile whose samples are too few or that was taken under
conditions that spoil it is no evidence, however fast or slow it says the engine is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import msgspec

from mmdet_jetson.bundles.contents import PROFILE
from mmdet_jetson.contract.conditions import PC, Flaw, Limits, flaws
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS, Bounds, ProfileMetrics
from mmdet_jetson.contract.samples import PERCENTILES, fewest_samples, is_carried
from mmdet_jetson.promotion.evidence import Case, Unusable
from mmdet_jetson.promotion.policy import Latency
from mmdet_jetson.promotion.verdicts import Judged, combined

NAME = "latency"
UNIT = "ms"


@dataclass(frozen=True)
class Budget:
    """What a percentile is, and may be: its bounds, and what follows from them; in ms."""

    name: str
    limit: float
    measured: float | None
    low: float | None
    high: float | None

    @property
    def outcome(self) -> str:
        """Fail where even the lower bound is over the limit."""
        if self.low is not None and self.low > self.limit:
            return FAIL
        return PASS if self.high is not None and self.high <= self.limit else INCONCLUSIVE

    def sentence(self, samples: int) -> str:
        """What it is, beside its limit."""
        if self.outcome == PASS:
            return f"{self.name} is at most {self.high:.1f} ms of {self.limit:g}"
        if self.outcome == FAIL:
            return f"{self.name} is at least {self.low:.1f} ms, and {self.limit:g} are the most"
        if self.high is None:
            least = fewest_samples(PERCENTILES[self.name], 0)
            return (
                f"{self.name} is not told by {samples} samples: it asks for {least} "
                "([profile] samples)"
            )
        low = "" if self.low is None else f"at least {self.low:.1f} and "
        return (
            f"{self.name} is {low}at most {self.high:.1f} ms, so nothing tells whether it keeps "
            f"{self.limit:g} ([profile] samples, seconds)"
        )


def judge(case: Case) -> Iterator[Judged]:
    """Judge every target that the policy has budgets for, whether it has an engine or not."""
    for target, latency in case.policy.latency.items():
        if any(getattr(latency, name) is not None for name in PERCENTILES):
            yield case.judged(NAME, target, partial(_judge, case, target, latency))


def _judge(case: Case, target: str, latency: Latency) -> Judged:
    profile = _usable(case, target)
    budgets = list(_budgets(profile, latency))
    spoiled = list(_spoiled(profile, case))
    outcome = INCONCLUSIVE if spoiled else combined([each.outcome for each in budgets])
    # The one that decided; where all pass or none counts, the highest percentile is the hardest.
    deciding = [each for each in budgets if each.outcome == outcome and outcome != PASS]
    shown = (deciding or budgets[-1:])[0]
    return Judged(
        gate=NAME,
        outcome=outcome,
        sentence=_sentence(target, profile, budgets, spoiled),
        measured=shown.measured,
        low=shown.low,
        high=shown.high,
        limit=shown.limit,
        unit=UNIT,
    )


def _usable(case: Case, target: str) -> ProfileMetrics:
    """Refuse a profile that tells too little, or what cannot be, with ``Unusable``."""
    profile = case.profile(target)
    if profile.conditions is None or not profile.bounds:
        raise Unusable(
            INCONCLUSIVE,
            f"The profile of the engine for {target} does not tell under which conditions it was "
            f"taken: {case.remedy(PROFILE, target)}, and bundle again.",
        )
    claimed = any(_is_absurd(*each) for each in _claims(profile))
    if profile.unit != UNIT or claimed or not _is_of_one_machine(profile):
        raise Unusable(FAIL, f"The profile of the engine for {target} contradicts itself.")
    return profile


def _claims(profile: ProfileMetrics) -> Iterator[tuple[Bounds, float | None]]:
    """All bounds, each with the percentile that has to lie between them."""
    for name, bounds in profile.bounds.items():
        yield bounds, getattr(profile.total, name) if name in PERCENTILES else None


def _is_absurd(bounds: Bounds, measured: float | None) -> bool:
    told = [each for each in (bounds.low, measured, bounds.high) if each is not None]
    return not all(0 < each < float("inf") for each in told) or told != sorted(told)


def _is_of_one_machine(profile: ProfileMetrics) -> bool:
    """Whether what it says of its conditions is of the machine that it says it was timed on."""
    conditions = profile.conditions
    return not (conditions and conditions.kind == PC and profile.machine.get("l4t"))


def _budgets(profile: ProfileMetrics, latency: Latency) -> Iterator[Budget]:
    for name, percentile in PERCENTILES.items():
        limit = getattr(latency, name)
        if limit is not None:
            bounds = profile.bounds.get(name, Bounds(None, None))
            # A profile from elsewhere may claim what its samples do not carry.
            has_low, has_high = is_carried(percentile, profile.samples)
            yield Budget(
                name,
                limit,
                measured=getattr(profile.total, name),
                low=bounds.low if has_low else None,
                high=bounds.high if has_high else None,
            )


def _spoiled(profile: ProfileMetrics, case: Case) -> Iterator[Flaw]:
    """Why the times are no evidence, by the limits of the policy."""
    found = profile.conditions
    if found is not None:
        yield from flaws(found, Limits(**msgspec.structs.asdict(case.policy.conditions)))
        if found.kind == PC and profile.machine.get("gpu") and found.throttle_reasons is None:
            yield Flaw("throttling", "nothing tells whether the GPU was throttled (NVML)", False)


def _sentence(
    target: str, profile: ProfileMetrics, budgets: list[Budget], spoiled: list[Flaw]
) -> str:
    if spoiled:
        why = "; ".join(flaw.sentence for flaw in spoiled)
        return f"The latency of the engine for {target} is no evidence: {why}."
    said = "; ".join(budget.sentence(profile.samples) for budget in budgets)
    return (
        f"Of the engine for {target} {said} (99% sure, {profile.samples} samples in "
        f"{profile.seconds:.0f} s)."
    )
