"""How often the accuracy gate lets an engine pass that is too bad, and one that is good.

    .venv/bin/python benchmarks/promotion_gates.py [--trials 500] [--to docs/promotion_gates]

A population of pictures is drawn, and a checkpoint's detections on it. An engine is the checkpoint
with one kind of loss, as strong as makes its AP on all pictures the wanted share of the
checkpoint's. A trial draws pictures from the population and asks the gate.

At the margin, a share of 0.99, every pass is a false one; there the engine has no noise besides,
which lets most pass. For the power, engines have the noise of another runtime. Writes what it finds
as JSON, the power as SVG, and prints tables.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from math import comb
from pathlib import Path

import numpy as np
import pygal

from mmdet_jetson.contract.matches import IOU_THRESHOLDS
from mmdet_jetson.promotion import resampling
from mmdet_jetson.promotion.accuracy import Matches, average_precision, compare
from mmdet_jetson.promotion.compared import pictures_needed

RATIO = 0.99
WORSE_BY = 0.01
FEWEST = pictures_needed(1 - RATIO, 1) or 0
POPULATION = 40_000
CLASSES = ("common", "frequent", "rare")
SHARES = (0.6, 0.3, 0.1)


@dataclass(frozen=True)
class Objects:
    """Objects of a population and what a model makes of each.

    ``iou`` is 0 where nothing is found. ``fate`` and ``fate_of_picture`` are uniform: what has a
    low one is lost first.
    """

    pictures: int
    picture: np.ndarray
    label: np.ndarray
    score: np.ndarray
    iou: np.ndarray
    fate: np.ndarray
    fate_of_picture: np.ndarray
    wrong_picture: np.ndarray
    wrong_label: np.ndarray
    wrong_score: np.ndarray


def population(seed: int = 1) -> Objects:
    """One picture in twenty is empty, others have one object and up to a dozen or two."""
    rng = np.random.default_rng(seed)
    crowds = 1 + rng.poisson(rng.gamma(1.5, 2.0, POPULATION))
    counts = np.where(rng.random(POPULATION) < 0.05, 0, crowds)
    objects = int(counts.sum())
    clear = rng.beta(2.5, 1.0, objects)
    found = rng.random(objects) < 0.4 + 0.58 * clear
    iou = np.where(found, 0.5 + 0.5 * rng.beta(1 + 5 * clear, 1.6), 0)
    wrong = rng.poisson(3, POPULATION)
    return Objects(
        pictures=POPULATION,
        picture=np.repeat(np.arange(POPULATION), counts),
        label=rng.choice(len(CLASSES), objects, p=SHARES),
        score=np.clip(clear + rng.normal(0, 0.12, objects), 0.02, 0.999),
        iou=iou,
        fate=rng.random(objects),
        fate_of_picture=rng.random(POPULATION),
        wrong_picture=np.repeat(np.arange(POPULATION), wrong),
        wrong_label=rng.choice(len(CLASSES), int(wrong.sum()), p=SHARES),
        wrong_score=rng.beta(1, 5, int(wrong.sum())),
    )


Loss = Callable[[Objects, float], Objects]
"""The population as an engine sees it; the number, from 0 on, says how strong the loss is."""


def without(seen: Objects, lost: np.ndarray) -> Objects:
    return replace(seen, iou=np.where(lost, 0, seen.iou))


def faint(seen: Objects, strength: float) -> Objects:
    """Faint detections are lost, one here and one there."""
    return without(seen, seen.fate < strength * (1.1 - seen.score) * 2)


def pictures(seen: Objects, strength: float) -> Objects:
    """Everything is lost on a few pictures."""
    return without(seen, (seen.fate_of_picture < strength)[seen.picture])


def crowded(seen: Objects, strength: float) -> Objects:
    """The same, on pictures with many objects rather than with few."""
    count = np.bincount(seen.picture, minlength=seen.pictures)
    return without(seen, (seen.fate_of_picture < strength * count)[seen.picture])


def one_class(seen: Objects, strength: float) -> Objects:
    """Everything of the rarest class is lost on some pictures."""
    rare = seen.label == len(CLASSES) - 1
    return without(seen, rare & (seen.fate_of_picture < strength)[seen.picture])


def boxes(seen: Objects, strength: float) -> Objects:
    """Every box is a little off."""
    return replace(seen, iou=np.maximum(seen.iou - strength * seen.fate, 0))


def misplaced(seen: Objects, strength: float) -> Objects:
    """On a few pictures all boxes are in the wrong place, with the scores of right ones."""
    there = (seen.fate_of_picture < strength)[seen.picture]
    moved = there & (seen.iou > 0)
    return replace(
        without(seen, there),
        wrong_picture=np.concatenate([seen.wrong_picture, seen.picture[moved]]),
        wrong_label=np.concatenate([seen.wrong_label, seen.label[moved]]),
        wrong_score=np.concatenate([seen.wrong_score, seen.score[moved]]),
    )


LOSSES: dict[str, Loss] = {
    "faint": faint,
    "boxes": boxes,
    "pictures": pictures,
    "crowded": crowded,
    "one class": one_class,
    "misplaced": misplaced,
}


def noisy(seen: Objects, seed: int = 2) -> Objects:
    """Scores and boxes of another runtime in another precision: as often better as worse."""
    rng = np.random.default_rng(seed)
    score = np.clip(seen.score + rng.normal(0, 0.01, len(seen.score)), 0.001, 1)
    moved = np.clip(seen.iou + rng.normal(0, 0.004, len(seen.iou)), 0, 1)
    wrong = np.clip(seen.wrong_score + rng.normal(0, 0.01, len(seen.wrong_score)), 0.001, 1)
    iou = np.where(seen.iou > 0, moved, 0)
    return replace(seen, score=score, iou=iou, wrong_score=wrong)


@dataclass(frozen=True)
class Detections:
    """What a model finds in the population, picture after picture."""

    objects: np.ndarray
    start: np.ndarray
    label: np.ndarray
    score: np.ndarray
    matched: np.ndarray

    def of(self, chosen: np.ndarray) -> Matches:
        """The matches of some pictures; one that is chosen twice stands for two."""
        counts = self.start[chosen + 1] - self.start[chosen]
        ends = np.cumsum(counts)
        picture = np.repeat(np.arange(len(chosen)), counts)
        rows = np.arange(ends[-1]) - np.repeat(ends - counts, counts) + self.start[chosen][picture]
        order = np.argsort(-self.score[rows], kind="stable")
        rows, picture = rows[order], picture[order]
        return Matches(
            pictures=tuple(map(str, range(len(chosen)))),
            classes=CLASSES,
            objects=self.objects[chosen],
            picture=picture,
            label=self.label[rows],
            score=self.score[rows],
            matched=self.matched[rows],
            ignored=np.zeros(len(rows), np.uint16),
        )


def detections(seen: Objects) -> Detections:
    found = seen.iou >= IOU_THRESHOLDS[0]
    bits = [(seen.iou[found] >= iou).astype(np.uint16) << i for i, iou in enumerate(IOU_THRESHOLDS)]
    wrong = len(seen.wrong_picture)
    picture = np.concatenate([seen.picture[found], seen.wrong_picture])
    order = np.argsort(picture, kind="stable")
    objects = np.zeros((seen.pictures, len(CLASSES)), np.int32)
    np.add.at(objects, (seen.picture, seen.label), 1)
    return Detections(
        objects=objects,
        start=np.searchsorted(picture[order], np.arange(seen.pictures + 1)),
        label=np.concatenate([seen.label[found], seen.wrong_label])[order],
        score=np.concatenate([seen.score[found], seen.wrong_score])[order],
        matched=np.concatenate([np.bitwise_or.reduce(bits), np.zeros(wrong, np.uint16)])[order],
    )


def true_precision(seen: Objects) -> float:
    value = average_precision(detections(seen).of(np.arange(seen.pictures)))
    assert value is not None
    return value


def engine(base: Objects, checkpoint: float, loss: Loss, share: float) -> Detections:
    """The engine whose AP on all pictures is that share of the checkpoint's, by false position."""

    def above(strength: float) -> float:
        return true_precision(loss(base, strength)) / checkpoint - share

    low, at_low, high = 0.0, above(0), 0.01
    while (at_high := above(high)) > 0:
        low, at_low, high = high, at_high, high * 4
    middle = low
    while at_low > 0 and high - low > 1e-7:
        middle = low + (high - low) * at_low / (at_low - at_high)
        at_middle = above(middle)
        if abs(at_middle) < 2e-5:
            break
        if at_middle > 0:
            low, at_low, at_high = middle, at_middle, at_high / 2
        else:
            high, at_high, at_low = middle, at_middle, at_low / 2
    return detections(loss(base, middle))


@lru_cache(maxsize=1)
def _kept(count: int) -> list[np.ndarray]:
    return list(_drawn_weights(count))


def kept_weights(pictures: int) -> Iterator[np.ndarray]:
    """The weights are the same in each trial, so they are drawn once."""
    return iter(_kept(pictures))


_drawn_weights = resampling.drawn_weights


@dataclass(frozen=True)
class Row:
    """Of trials with one engine and so many pictures, the shares in which it passed and failed.

    At the margin of the gate ``incumbent``, the engine is the checkpoint that is worse.
    """

    loss: str
    share: float
    noise: bool
    pictures: int
    trials: int
    passed: float
    failed: float
    gate: str = "accuracy"


def asked(checkpoint: Detections, judged: Detections, case: Row) -> Row:
    rng = np.random.default_rng(case.pictures)
    passed = failed = 0
    for _ in range(case.trials):
        chosen = rng.integers(0, len(checkpoint.objects), case.pictures)
        ratio = RATIO if case.gate == "accuracy" else 1
        compared = compare(judged.of(chosen), checkpoint.of(chosen), ratio)
        if compared is None:
            continue
        if case.gate == "accuracy":
            passed += compared.low >= 0 and compared.pictures >= FEWEST
            failed += compared.high < 0
        else:
            passed += compared.low >= -WORSE_BY
            failed += compared.high < -WORSE_BY
    return replace(case, passed=passed / case.trials, failed=failed / case.trials)


Case = tuple[str, str, float, bool, int, float]
"""A gate, a loss, a share, whether there is noise, pictures, and what part of all trials."""


def rows(trials: int, cases: list[Case]) -> Iterator[Row]:
    """Ask for each case."""
    seen = population()
    checkpoint = detections(seen)
    whole = true_precision(seen)
    engines: dict[tuple[str, float, bool], Detections] = {}
    for gate, kind, share, noise, count, part in cases:
        wanted = share if gate == "accuracy" else 1 - WORSE_BY / whole
        if (kind, wanted, noise) not in engines:
            base = noisy(seen) if noise else seen
            engines[kind, wanted, noise] = engine(base, whole, LOSSES[kind], wanted)
        of = max(round(trials * part), 1)
        case = Row(kind, round(wanted, 5), noise, count, of, 0, 0, gate)
        yield asked(checkpoint, engines[kind, wanted, noise], case)


# More trials for the losses that most pass with, and few where nothing can.
FEW_PICTURES = ((13, 0.04), (50, 0.04), (200, 0.04), (800, 0.04))
WORST = ("misplaced", "crowded")
MARGIN: list[Case] = [
    *(
        ("accuracy", kind, RATIO, False, count, part)
        for count, part in ((1000, 1), (2000, 1), (5000, 0.6))
        for kind in WORST
    ),
    *(
        ("accuracy", kind, RATIO, False, count, part)
        for kind in LOSSES
        for count, part in (*FEW_PICTURES, (1000, 0.2), (2000, 0.2), (5000, 0.1))
        if kind not in WORST or count < FEWEST
    ),
]
POWER: list[Case] = [
    ("accuracy", "faint", share, True, count, part)
    for share in (1.0, 0.995, 0.99, 0.98, 0.97)
    for count, part in (*FEW_PICTURES, (1000, 0.12), (1400, 0.12), (2000, 0.12), (5000, 0.08))
]
INCUMBENT: list[Case] = [
    ("incumbent", kind, 0, False, count, 0.4) for kind in WORST for count in (1000, 2000)
]


def table(found: list[Row], column: str, what: str = "passed") -> str:
    """Shares that passed or failed: a row for each number of pictures."""
    columns = list(dict.fromkeys(getattr(row, column) for row in found))
    lines = [
        "| pictures | " + " | ".join(map(str, columns)) + " |",
        "|---:" * (len(columns) + 1) + "|",
    ]
    for count in sorted({row.pictures for row in found}):
        cells = {
            getattr(row, column): f"{getattr(row, what):.1%}"
            for row in found
            if row.pictures == count
        }
        lines.append(f"| {count:,} | " + " | ".join(cells.get(each, "") for each in columns) + " |")
    return "\n".join(lines)


def plot(found: list[Row], path: Path) -> None:
    """Draw how many pass over the number of pictures, a line for each true share."""
    counts = sorted({row.pictures for row in found})
    style = pygal.style.CleanStyle(background="white", plot_background="white")
    chart = pygal.Line(
        style=style,
        js=(),
        width=900,
        height=420,
        title="Engines that pass a ratio of 0.99, by their true share of the checkpoint's AP",
        x_title="validation pictures",
        y_title="share that passes",
        range=(0, 1),
    )
    chart.x_labels = [f"{count:,}" for count in counts]
    for share in sorted({row.share for row in found}, reverse=True):
        passed = {row.pictures: row.passed for row in found if row.share == share}
        chart.add(f"{share:g}", [passed.get(count) for count in counts])
    chart.render_to_file(str(path))


def at_most(row: Row) -> float:
    """The share that is not exceeded with 95% confidence (Clopper and Pearson)."""
    passed = round(row.passed * row.trials)
    low, high = row.passed, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        each = (
            comb(row.trials, i) * middle**i * (1 - middle) ** (row.trials - i)
            for i in range(passed + 1)
        )
        low, high = (middle, high) if sum(each) > 0.05 else (low, middle)
    return high


def main() -> None:
    cases = {"margin": MARGIN, "power": POWER, "incumbent": INCUMBENT}
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--to", default="docs/promotion_gates")
    parser.add_argument("--only", choices=tuple(cases))
    options = parser.parse_args()
    resampling.drawn_weights = kept_weights
    kept = Path(f"{options.to}.json")
    found = [Row(**row) for row in json.loads(kept.read_text())] if kept.exists() else []
    for case in [options.only] if options.only else list(cases):
        found = [row for row in found if _case_of(row) != case]
        for row in rows(options.trials, cases[case]):
            print(json.dumps(asdict(row)), file=sys.stderr, flush=True)
            found.append(row)
            lines = ",\n".join(json.dumps(asdict(row)) for row in found)
            kept.write_text(f"[\n{lines}\n]\n")
    power = [row for row in found if _case_of(row) == "power"]
    plot(power, Path(f"{options.to}.svg"))
    margin = [row for row in found if _case_of(row) == "margin"]
    incumbent = [row for row in found if _case_of(row) == "incumbent"]
    tables = table(margin, "loss"), table(power, "share"), table(power, "share", "failed")
    print(*tables, table(incumbent, "loss"), sep="\n\n")
    for row in [*margin, *incumbent]:
        if row.loss in WORST and row.pictures >= FEWEST:
            print(row.gate, row.loss, row.pictures, row.trials, f"at most {at_most(row):.2%}")


def _case_of(row: Row) -> str:
    if row.gate == "incumbent":
        return row.gate
    return "power" if row.noise else "margin"


if __name__ == "__main__":
    main()
