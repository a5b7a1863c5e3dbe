"""A channel of whole bundles whose gates say what a test has them say, as a promotion leaves it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest
import small_releases
from small_chains import WHO
from small_releases import SmallRun

from mmdet_jetson.bundles import making
from mmdet_jetson.bundles.contents import Contents, of_bundle, of_run
from mmdet_jetson.contract.report import PASS
from mmdet_jetson.promotion import judging
from mmdet_jetson.promotion.checking import Check, CheckedChannel, check_channel
from mmdet_jetson.promotion.evidence import Case, case_of
from mmdet_jetson.promotion.incumbents import incumbent_of
from mmdet_jetson.promotion.judging import judge
from mmdet_jetson.promotion.keeping import keep
from mmdet_jetson.promotion.policy import Policy
from mmdet_jetson.promotion.records import PROMOTE, Record, digest_of
from mmdet_jetson.promotion.verdicts import Judged

NOW = datetime(2026, 11, 27, tzinfo=timezone.utc)
NOTHING = f"sha256:{'0' * 64}"


@dataclass
class Channel:
    """A channel whose gates say what a test has them say, and its records."""

    run: SmallRun
    policy: Policy = field(default_factory=Policy)
    says: dict[str, Judged] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    name: str = "staging"

    def gates(self, _: Case) -> Iterator[Judged]:
        yield from self.says.values()

    def say(self, gate: str, outcome: str, measured: float | None = None) -> None:
        self.says[gate] = Judged(gate=gate, outcome=outcome, sentence="So.", measured=measured)

    def contents(self, name: str) -> Contents:
        bundle = self.run.store.bundle(name)
        assert bundle
        return of_bundle(self.run.store, bundle, name)

    def promote(self, name: str, **changes: object) -> Record:
        """Add a record as a promotion does; ``changes`` are of it."""
        store, contents = self.run.store, self.contents(name)
        incumbent = incumbent_of(store, contents, self.records, None)
        case = case_of(store, contents, self.policy, self.name, incumbent, NOW)
        verdict = judge(case, len(self.records))
        assert contents.bundle
        said = {
            "bundle": verdict.bundle, "name": name, "policy": verdict.policy_digest,
            "validation": verdict.validation, "judged": len(self.records) + 1,
            "verdict": keep(store, verdict, contents.bundle, None).digest,
        }  # fmt: skip
        return self.add(**{**said, **changes})

    def add(self, **said: object) -> Record:
        last = self.records[-1].digest if self.records else ""
        plain = Record(
            sequence=len(self.records) + 1, action=PROMOTE, bundle=NOTHING, who=WHO,
            at=NOW.isoformat(), previous=last,
        )  # fmt: skip
        record = msgspec.structs.replace(plain, **said)
        self.records.append(msgspec.structs.replace(record, digest=digest_of(record)))
        return self.records[-1]

    def check(self, before: Sequence[Record] = ()) -> CheckedChannel:
        how = Check(self.name, "main", lambda: self.policy, NOW)
        return check_channel(self.run.store, self.records, before, how)


def channel_of(whole: SmallRun, home: Path, monkeypatch: pytest.MonkeyPatch) -> Channel:
    """An empty channel, and the bundles ``v1`` and ``v2``, which pass two gates."""
    run = small_releases.copy_of(whole, home)
    for name in ("v1", "v2"):
        run.salt = name
        for step in run.steps if name == "v2" else ():
            run.make(step.name)
        chosen = making.choose(of_run(run.store, run.name), run.project, (), run.steps)
        run.store.tag(making.bind(chosen, ()), name)
    made = Channel(run)
    made.say("latency", PASS, 20.0)
    made.say("size", PASS)
    monkeypatch.setattr(judging, "GATES", {"all": made.gates})
    return made
