"""Overrides: gates that did not pass, and that somebody answers for by name."""

from collections.abc import Sequence

from mmdet_jetson.config.toml import nearest
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS
from mmdet_jetson.errors import ConfigError, GateFailed, NotProven
from mmdet_jetson.promotion.policy import NEVER_OVERRIDDEN, Policy
from mmdet_jetson.promotion.records import Override
from mmdet_jetson.promotion.verdicts import Judged, Verdict


def overrides_of(
    verdict: Verdict, policy: Policy, asked: Sequence[str], who: str, because: str
) -> tuple[Override, ...]:
    """What somebody asked to override, as ``GATE`` or ``GATE:SUBJECT``, each with its outcome.

    Raises:
        ConfigError: one is no gate, has passed, or may not be overridden; or nobody says why.
    """
    check_reason(asked, because)
    found = dict.fromkeys(each for name in asked for each in _meant(verdict, policy, name))
    return tuple(
        Override(gate=each.name, outcome=each.outcome, who=who, because=because.strip())
        for each in found
    )


def check_reason(asked: Sequence[str], because: str) -> None:
    """Refuse an override without a reason, or a reason without one; no verdict is needed for it.

    Raises:
        ConfigError: says what to add.
    """
    if asked and not because.strip():
        raise ConfigError("--override: nobody says why", '--because "..."')
    if because and not asked:
        raise ConfigError("--because: nothing is overridden", "--override GATE, or leave it out")


def uncovered(verdict: Verdict, overrides: Sequence[Override]) -> list[Judged]:
    """The gates that have not passed and that nobody overrides."""
    left = [each for each in verdict.gates if each.outcome != PASS]
    return [each for each in left if not any(covers(override, each) for override in overrides)]


def is_fixed(policy: Policy, name: str) -> bool:
    """Whether nobody may override a gate, by itself or for a subject."""
    return name.partition(":")[0] in {*NEVER_OVERRIDDEN, *policy.fixed}


def covers(override: Override, judged: Judged) -> bool:
    """Whether an override answers for what a gate says: who took the worse, took the better."""
    return override.gate == judged.name and judged.outcome in (override.outcome, INCONCLUSIVE)


def refuse_unproven(verdict: Verdict, overrides: Sequence[Override], policy: Policy) -> None:
    """Refuse a bundle that its policy does not let into the channel.

    Raises:
        GateFailed: a gate failed that nobody overrides.
        NotProven: none failed, and one is inconclusive; or nothing was judged at all.
    """
    left = uncovered(verdict, overrides)
    if not verdict.gates:
        raise NotProven(f"nothing was judged for {verdict.channel}", "add gates to its policy")
    for error, outcome in ((GateFailed, FAIL), (NotProven, "")):
        if first := [each for each in left if outcome in ("", each.outcome)]:
            wanted = "what passes" if outcome else "what it asks for"
            mend = f"{wanted}; or, where somebody answers for it: --override "
            raise error(
                f"not promoted to {verdict.channel}: {_said(left, first[0])}",
                "a bundle that passes: nobody may override that"
                if is_fixed(policy, first[0].name)
                else f'{mend}{first[0].name} --because "..."',
            )


def _said(left: Sequence[Judged], first: Judged) -> str:
    more = f" ({len(left) - 1} more did not pass)" if len(left) > 1 else ""
    return f"{first.name} is {first.outcome}: {first.sentence.rstrip('.')}{more}"


def _meant(verdict: Verdict, policy: Policy, name: str) -> list[Judged]:
    """What a name stands for: one judgement, or all of a gate that did not pass."""
    named = [each for each in verdict.gates if name in (each.gate, each.name)]
    if not named:
        raise ConfigError(f"--override {name}: no gate judged that", _meant_perhaps(verdict, name))
    left = [each for each in named if each.outcome != PASS]
    if not left:
        raise ConfigError(f"--override {name}: it passed", "leave it out")
    for each in left:
        if is_fixed(policy, each.name):
            raise ConfigError(
                f"--override {name}: nobody may override that, {each.outcome}: {each.sentence}",
                "a bundle that passes",
            )
    return left


def _meant_perhaps(verdict: Verdict, name: str) -> str:
    """What may be overridden and is called nearly so: a gate, or what it said of a subject."""
    left = [each for each in verdict.gates if each.outcome != PASS]
    if not left:
        return "leave it out: every gate passed"
    called = [name for each in left for name in (each.gate, each.name)]
    near = nearest(name, dict.fromkeys(called))
    return near if near.startswith("did") else nearest("", dict.fromkeys(e.name for e in left))
