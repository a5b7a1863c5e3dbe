"""A channel with a past: a dozen records, the bundles that they name, and verdicts of these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from small_chains import bundle_digest
from small_releases import PC, SmallRun, as_json, planned

from mmdet_jetson.bundles import making
from mmdet_jetson.bundles.contents import of_run
from mmdet_jetson.bundles.overview import INTERVALS
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.promotion.channel_file import append, channel_path
from mmdet_jetson.promotion.keeping import keep
from mmdet_jetson.promotion.records import (
    PROMOTE,
    RELEASE,
    ROLLBACK,
    Override,
    Record,
    digest_of,
)
from mmdet_jetson.promotion.verdicts import Judged, Verdict
from mmdet_jetson.store import Bundle, Store

ADA, BEN = "Ada Lovelace <ada@example.com>", "Ben Okri <ben@example.com>"
BOT = "release-bot <bot@example.com>"
RUN = "https://ci.example.com/team/mugs/runs/4711"
SLOW = Override(
    gate=f"latency:{PC}",
    outcome="inconclusive",
    who=BEN,
    because="the Orin of the lab is at repair until Monday; the customer waits",
)
HOSTILE = "<script>alert('why')</script> \u202eyllaer\u202c"
RELEASES = {
    # name: AP, p99 in ms
    "v1.0": (0.571, 21.0),
    "v1.1": (0.588, 20.2),
    "v1.2": (0.602, 29.6),
    "v1.3": (0.611, 20.9),
    "v1.4": (0.624, 19.1),
    "v2.0": (0.655, 17.5),
    "v2.1": (0.661, 17.7),
}


@dataclass
class SmallHistory:
    """A store and a folder of channels, and the records of one of them."""

    settings: Settings
    store: Store
    bundles: Mapping[str, Bundle]
    verdicts: Mapping[str, str]
    records: list[Record]

    def add(self, action: str, name: str, at: str, **changes: object) -> Record:
        """Append a record, as a command would."""
        record = Record(
            sequence=len(self.records) + 1,
            action=action,  # type: ignore[arg-type]  # the tests' own words are right
            bundle=self.bundles[name].digest,
            name=name,
            verdict=self.verdicts[name],
            policy=bundle_digest("policy"),
            validation=bundle_digest("pictures of 2026"),
            judged=len(self.records) + 1,
            who=ADA,
            at=f"2026-{at}:00+00:00",
            previous=self.records[-1].digest if self.records else "",
        )
        record = msgspec.structs.replace(record, **changes)
        self.records.append(msgspec.structs.replace(record, digest=digest_of(record)))
        return self.records[-1]

    def write(self, channel: str) -> Path:
        """Make the records the file of a channel."""
        path = channel_path(self.settings, channel)
        for record in self.records:
            append(path, record)
        return path


def small_history(home: Path, settings: Settings, unit: str = "ms") -> SmallHistory:
    """A year of production: promoted, overridden, rolled back, held, released, rolled back again."""
    own = msgspec.structs.replace(
        settings, artifacts=home / "artifacts", channels=home / "channels"
    )
    store = Store(own.artifacts)
    bundles = {name: _bundle(store, home, own, name, unit) for name in RELEASES}
    verdicts = {name: _verdict(store, bundle, name) for name, bundle in bundles.items()}
    told = SmallHistory(own, store, bundles, verdicts, [])
    _tell(told)
    return told


def _tell(told: SmallHistory) -> None:
    other = bundle_digest("pictures of night")
    told.add(PROMOTE, "v1.0", "03-02T09:00", reason="the first that is fast enough for the line")
    told.add(PROMOTE, "v1.1", "03-16T14:20", reason="200 more pictures of mugs in hands")
    told.add(PROMOTE, "v1.2", "04-02T17:45", reason="finds dark mugs", who=BEN, overrides=(SLOW,))
    told.add(ROLLBACK, "v1.1", "04-03T06:10", reason="the belt stops: 29 ms is too slow for it",
             restores=2, undoes=(3,), judged=0)  # fmt: skip
    told.add(
        RELEASE, "v1.1", "04-07T08:30", reason="the profile job locks the clocks now", judged=0
    )
    told.add(PROMOTE, "v1.3", "04-20T10:00", reason="v1.2 with a smaller input", who=BOT, run=RUN)
    told.add(PROMOTE, "v1.4", "05-11T10:00", reason="weekly", who=BOT, run=RUN)
    told.add(PROMOTE, "v2.0", "06-15T10:00", reason=HOSTILE, who=BOT, run="javascript:alert(1)",
             validation=other, judged=1)  # fmt: skip
    told.add(ROLLBACK, "v1.4", "06-15T22:05", reason="mirrors in the washing hall are mugs to it",
             who=BEN, restores=7, undoes=(8,), judged=0)  # fmt: skip
    told.add(PROMOTE, "v2.1", "07-01T10:00", reason="v2.0 with mirrors", released=True,
             validation=other, judged=2)  # fmt: skip


def _bundle(store: Store, home: Path, settings: Settings, name: str, unit: str) -> Bundle:
    """A whole run for one target, with figures of its own."""
    project, steps = planned((PC,), settings)
    scratch = home / f"made-{name}"
    scratch.mkdir(parents=True)
    run = SmallRun(store, scratch, steps, project, salt=name)
    average, slowest = RELEASES[name]
    for step in steps:
        if step.kind == "evaluation":
            run.make(step.name, {"metrics.json": as_json(_metrics(step.subject, average))})
        elif step.kind == "profile":
            run.make(step.name, {"profile.json": as_json({**_profile(slowest), "unit": unit})})
        elif step.kind == "report":
            between = [average + 0.29, min(1.0, average + 0.34)]
            run.make(step.name, metrics={INTERVALS: dict.fromkeys(("checkpoint", PC), between)})
        else:
            run.make(step.name)
    chosen = making.choose(of_run(store, run.name), project, (), steps)
    bundle = making.bind(chosen, ())
    store.tag(bundle, name)
    return bundle


def _metrics(subject: str, average: float) -> dict[str, object]:
    lower = average - 0.004 * (subject == PC)
    return {
        "subject": subject,
        "evidence": "measured",
        "preprocessing": {},
        "figures": {"AP": lower, "AP50": lower + 0.32, "AP75": None},
        "per_class": {"ellipse": lower},
        "pictures": 200,
        "detections": 412,
    }


def _profile(slowest: float) -> dict[str, object]:
    few = slowest == RELEASES["v1.4"][1]  # the one that says nothing of the slowest
    return {
        "backend": "onnxruntime",
        "precision": "fp32",
        "samples": 200 if few else 2000,
        "seconds": 600.0,
        "warmup": 20,
        "unit": "ms",
        "steps": {},
        "total": {
            "mean": slowest - 6,
            "p50": slowest - 7,
            "p90": slowest - 2,
            "p99": None if few else slowest,
        },
        "gpu": None,
        "pictures": 200,
        "machine": {"cpu": "a CPU"},
        "evidence": "measured",
        "warnings": [],
        "bounds": {"p99": {"low": slowest - 0.8, "high": None if few else slowest + 1.4}},
    }


def _gates(name: str) -> Sequence[Judged]:
    average, slowest = RELEASES[name]
    slow = name == "v1.2"
    return (
        Judged(gate="parts", outcome="pass", sentence="Every target of the policy has an engine."),
        Judged(gate="accuracy", subject=PC, outcome="pass", measured=0.002, low=0.0004, high=0.004,
               limit=0, unit="AP",
               sentence=f"AP of {PC} is {average - 0.004:.3f}, at least 99% of the checkpoint's."),
        Judged(gate="latency", subject=PC, outcome="inconclusive" if slow else "pass",
               measured=slowest, limit=30, unit="ms",
               sentence=f"p99 is {slowest} ms"
               + (", and the clocks were not locked." if slow else ", within 30 ms.")),
    )  # fmt: skip


def _verdict(store: Store, bundle: Bundle, name: str) -> str:
    said = Verdict(
        bundle=bundle.digest,
        channel="production",
        policy={},
        policy_digest=bundle_digest("policy"),
        incumbent="",
        validation=bundle_digest("pictures of 2026"),
        judged_before=0,
        gates=tuple(_gates(name)),
        named=("numpy 1.24 has had no support since 2025-06.",),
    )
    return keep(store, said, bundle, None).digest
