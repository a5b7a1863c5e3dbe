"""``size``: an engine is no larger than its target's limit, weights in other files included."""

from collections.abc import Iterator
from functools import partial

from mmdet_jetson.bundles.contents import ENGINE
from mmdet_jetson.bundles.overview import mapping, number
from mmdet_jetson.contract.report import FAIL, PASS
from mmdet_jetson.promotion.evidence import Case
from mmdet_jetson.promotion.verdicts import Judged

NAME = "size"
MB = 1e6
# Beside what a backend opens lie these few kilobytes of ours.
OURS = frozenset({"passport.json", "graph.json", "infer.py", "timing.cache"})


def judge(case: Case) -> Iterator[Judged]:
    """Judge the engine of each target with a limit, whether there is one or not."""
    for target, limit in case.policy.size_mb.items():
        yield case.judged(NAME, target, partial(_judge, case, target, limit))


def _judge(case: Case, target: str, limit: float) -> Judged:
    engine = case.part(ENGINE, target)
    passport = mapping(case.contents.document(engine, "passport.json"))
    said = number(mapping(passport.get("engine")).get("bytes")) or 0
    there = sum(layer.blob.size for layer in engine.layers if layer.title not in OURS)
    size = max(said, there) / MB  # whoever made the passport may have counted too little
    fits = size <= limit
    than = "no more than" if fits else "more than"
    return Judged(
        gate=NAME,
        outcome=PASS if fits else FAIL,
        sentence=f"The engine for {target} has {size:.4g} MB, {than} {limit:g} MB.",
        measured=size,
        limit=limit,
        unit="MB",
    )
