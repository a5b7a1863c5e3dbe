"""Channel files judged anew: what a change to one adds, and whether it may be added.

The store is read, and nothing is written: neither a channel nor a verdict.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mmdet_jetson.bundles.contents import of_bundle
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.channel_file import chain_flaws, numbered
from mmdet_jetson.promotion.evidence import case_of
from mmdet_jetson.promotion.incumbents import checkpoint_of, incumbent_of
from mmdet_jetson.promotion.judging import judge
from mmdet_jetson.promotion.keeping import FOLDER, least_judged, read_verdict
from mmdet_jetson.promotion.overriding import covers, is_fixed
from mmdet_jetson.promotion.policy import Policy
from mmdet_jetson.promotion.records import PROMOTE, RELEASE, ROLLBACK, Override, Record
from mmdet_jetson.promotion.verdicts import Judged, Verdict, combined
from mmdet_jetson.store import Store

OF_TODAY = ("age",)
"""Gates whose figures depend on when they judge; their outcome counts all the same."""
PolicyOf = Callable[[], Policy]


@dataclass(frozen=True)
class Finding:
    """What is wrong with a channel or a record besides its gates: an outcome, and a sentence."""

    outcome: str
    sentence: str


@dataclass(frozen=True)
class CheckedRecord:
    """A record that a change adds. ``verdict`` is that of judging it anew; None for a rollback."""

    record: Record
    verdict: Verdict | None = None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def overridden(self) -> dict[str, Override]:
        """The overrides of the record, by the gate as `Judged.name` has it."""
        return {each.gate: each for each in self.record.overrides}

    def is_overridden(self, gate: Judged) -> bool:
        """Whether a gate that did not pass does no harm, because somebody answers for it."""
        override = self.overridden.get(gate.name)
        return gate.outcome != PASS and override is not None and covers(override, gate)

    @property
    def covered(self) -> list[Judged]:
        """The gates that did not pass, and that somebody answers for."""
        return [each for each in self._gates if self.is_overridden(each)]

    @property
    def _gates(self) -> Sequence[Judged]:
        return self.verdict.gates if self.verdict else ()

    @property
    def outcome(self) -> str:
        """Fail, inconclusive or pass, what was overridden left out."""
        gates = self._gates
        judged = [PASS if self.is_overridden(each) else each.outcome for each in gates]
        return combined([*judged, *(each.outcome for each in self.findings), *self._without_gates])

    @property
    def _without_gates(self) -> tuple[str, ...]:
        """Records that nothing judges pass by themselves; a promotion never does."""
        return () if self.record.action == PROMOTE else (PASS,)


@dataclass(frozen=True)
class CheckedChannel:
    """A channel file: what is wrong with it as a whole, and the records that were added to it.

    ``base`` is what it was compared with.
    """

    channel: str
    base: str
    findings: tuple[Finding, ...] = ()
    added: tuple[CheckedRecord, ...] = field(default_factory=tuple)

    @property
    def outcome(self) -> str:
        """Fail, inconclusive or pass; a channel that nothing was added to passes."""
        outcomes = [each.outcome for each in self.findings]
        outcomes += [each.outcome for each in self.added]
        return combined(outcomes) if outcomes else PASS


def added_to(records: Sequence[Record], before: Sequence[Record]) -> list[Record]:
    """The records that were not there before."""
    known = {each.digest for each in before}
    return [each for each in records if each.digest not in known]


def check_channel(
    store: Store, records: Sequence[Record], before: Sequence[Record], check: "Check"
) -> CheckedChannel:
    """Follow the chain of a channel, and judge anew what was added to it.

    Records of a flawed chain are not judged: which of them count is not known.
    """
    flaws = [Finding(FAIL, f"{each.what}.") for each in chain_flaws(records, before)]
    added: list[CheckedRecord] = []
    if not flaws:
        for each in added_to(records, before):
            earlier = [other for other in records if other.sequence < each.sequence]
            added.append(_CHECKS[each.action](store, each, earlier, check))
    return CheckedChannel(check.channel, check.base, tuple(flaws), tuple(added))


@dataclass(frozen=True)
class Check:
    """How a channel is checked: by which policy, when, and against what.

    Remedies are spelled for ``project``, if there is one. ``other_policy`` tells whether the policy
    is another than what git has at the base.
    """

    channel: str
    base: str
    policy: PolicyOf
    now: datetime
    project: Project | None = None
    other_policy: bool = False


def _rollback(
    store: Store, record: Record, earlier: Sequence[Record], check: Check
) -> CheckedRecord:
    """A rollback is judged by nobody anew: it has the verdict of the record that it restores."""
    restored = numbered(earlier, record.restores or 0)
    found = tuple(_not_of(restored, record, f"record {record.restores}, which it restores"))
    return CheckedRecord(record, None, found, (f"it restores record {record.restores}",))


def _release(
    store: Store, record: Record, earlier: Sequence[Record], check: Check
) -> CheckedRecord:
    """A release leaves everything as it was."""
    found = tuple(_not_of(earlier[-1] if earlier else None, record, "the record before"))
    return CheckedRecord(record, None, found)


def _not_of(source: Record | None, record: Record, called: str) -> Iterator[Finding]:
    """What a record says otherwise than the one whose bundle it is about; it judged nothing."""
    for what in ("name", "verdict", "policy", "validation", "judged"):
        if source is None or getattr(source, what) != getattr(record, what):
            yield Finding(FAIL, f"Record {record.sequence} has another {what} than {called}.")


def _promotion(
    store: Store, record: Record, earlier: Sequence[Record], check: Check
) -> CheckedRecord:
    try:
        policy = check.policy()
        kept = _kept(store, record)
        anew = _judged(store, record, earlier, check, policy)
    except UserError as error:
        hint = f": {error.hint}" if error.hint else ""
        finding = Finding(INCONCLUSIVE, f"It cannot be judged anew: {error.message}{hint}.")
        return CheckedRecord(record, None, (finding,))
    findings = [*_of_verdict(record, earlier, kept, check), *_of_overrides(record, kept, policy)]
    notes = list(anew.named)
    if check.other_policy:
        notes.append(f"the policies were changed since {check.base}, and judge as they are now")
    if anew.policy_digest == kept.policy_digest:
        findings += _differences(kept, anew)
    else:
        notes.append("the policy was changed since; it is judged by the one of now")
    return CheckedRecord(record, anew, tuple(findings), tuple(notes))


_CHECKS: Mapping[str, Callable[[Store, Record, Sequence[Record], Check], CheckedRecord]] = {
    PROMOTE: _promotion,
    ROLLBACK: _rollback,
    RELEASE: _release,
}


def _kept(store: Store, record: Record) -> Verdict:
    kept = read_verdict(store, record.verdict) if record.verdict else None
    if kept is None:
        raise UserError(
            f"its verdict {record.verdict[7:19] or '(none is named)'} is not in {store.root}",
            f"where it was promoted: invoke push {record.bundle[7:19]}; then here: invoke pull "
            f"{record.bundle[7:19]}",
        )
    return kept


def _judged(
    store: Store, record: Record, earlier: Sequence[Record], check: Check, policy: Policy
) -> Verdict:
    """Judge a record as if it were promoted now, by what was measured when it was promoted."""
    bundle, name = store.bundle(record.bundle), record.name or record.bundle[7:19]
    if bundle is None:
        raise UserError(
            f"bundle {name} is not in {store.root}", f"invoke pull {record.bundle[7:19]}"
        )
    if policy.incumbent and earlier:
        checkpoint_of(store, earlier[-1])  # else the gate would be another than when it judged
    contents, artifact = of_bundle(store, bundle, name), store.find(record.verdict)
    keeps = artifact and FOLDER in artifact.titles
    incumbent = incumbent_of(store, contents, earlier, artifact if keeps else None)
    case = case_of(store, contents, policy, check.channel, incumbent, check.now, check.project)
    return judge(case, max(record.judged - 1, 0))


def _of_verdict(
    record: Record, earlier: Sequence[Record], kept: Verdict, check: Check
) -> Iterator[Finding]:
    """Whether the verdict that a record names is about this very promotion."""
    there = earlier[-1].bundle if earlier else ""
    for what, said, wanted in (
        ("bundle", kept.bundle, record.bundle),
        ("channel", kept.channel, check.channel),
        ("policy", kept.policy_digest, record.policy),
        ("bundle in the channel before", kept.incumbent, there),
        ("set of validation pictures", kept.validation, record.validation),
        ("number of bundles judged before", kept.judged_before, record.judged - 1),
    ):
        if said != wanted:
            yield Finding(FAIL, f"The verdict that the record names is of another {what}.")
    if record.judged < (least := least_judged(earlier, record.validation, record.bundle)):
        yield Finding(
            FAIL,
            f"It is number {record.judged} of those that its pictures have judged, and by the "
            f"records before {least} at the least.",
        )


def _of_overrides(record: Record, kept: Verdict, policy: Policy) -> Iterator[Finding]:
    """Whether an override is of a gate that did not pass, and may be overridden."""
    outcomes = {each.name: each.outcome for each in kept.gates}
    for each in record.overrides:
        if is_fixed(policy, each.gate):
            yield Finding(FAIL, f"{each.gate} is overridden, and nobody may override it.")
        elif outcomes.get(each.gate, PASS) == PASS:
            yield Finding(FAIL, f"{each.gate} is overridden, and its verdict has it as passed.")
        elif outcomes[each.gate] != each.outcome:
            yield Finding(FAIL, f"{each.gate} is overridden as another outcome than it had.")
        if not (each.who.strip() and each.because.strip()):
            yield Finding(FAIL, f"{each.gate} is overridden by nobody, or for no reason.")


def _differences(kept: Verdict, anew: Verdict) -> Iterator[Finding]:
    """What the same policy says otherwise of the same bundle than the record's verdict does."""
    if kept.policy != anew.policy:
        yield Finding(FAIL, "The verdict shows another policy than the one that it names.")
    was, now = ({each.name: each for each in verdict.gates} for verdict in (kept, anew))
    for name in was.keys() | now.keys():
        before, after = was.get(name), now.get(name)
        if before is None or after is None:
            yield Finding(FAIL, f"The verdict and judging anew do not both have the gate {name}.")
        elif before.outcome != after.outcome and before.gate not in OF_TODAY:
            yield Finding(
                FAIL, f"{name}: {before.outcome} in the verdict, and {after.outcome} judged anew."
            )
        elif before.gate not in OF_TODAY and not _same_figures(before, after):
            yield Finding(FAIL, f"{name}: the verdict has other figures than judging anew.")


def _same_figures(before: Judged, after: Judged) -> bool:
    pairs = ((getattr(each, name) for each in (before, after)) for name in _FIGURES)
    return all(_near(one, other) for one, other in pairs)


_FIGURES = ("measured", "low", "high", "limit")


def _near(one: float | None, other: float | None) -> bool:
    """Another processor may add in another order."""
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
