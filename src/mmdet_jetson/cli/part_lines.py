"""What is told of a part of a release in a line or two, below its name."""

import re
from collections.abc import Callable, Iterator, Mapping

from mmdet_jetson.bundles.contents import (
    CHECKPOINT,
    DATASET,
    ENGINE,
    EVALUATION,
    IMAGE_TESTS,
    ONNX,
    PROFILE,
    PROOF,
    REPORT,
)
from mmdet_jetson.bundles.overview import mapping

# Control characters, and those that are not seen or turn the order of others around.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
WIDTH = 80
"""Columns of a terminal that nobody has made wider."""
Found = Mapping[str, object]
"""What `bundles.overview` found in a part."""


def lines(kind: str, found: Found) -> Iterator[str]:
    """Tell of a part of some kind; nothing of a kind that tells nothing."""
    told = _TOLD.get(kind)
    return map(printable, told(found)) if told else iter(())


def printable(text: str) -> str:
    """What a terminal may be told of what comes from elsewhere: letters, and nothing to obey."""
    return _CONTROL.sub("?", text)


def size_of(size: int) -> str:
    """Say how large something is."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def cut(line: str) -> str:
    """A line of at most `WIDTH` columns."""
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."


def decimals(value: object) -> str:
    """A figure in three decimals; a dash where there is none."""
    return f"{value:.3f}" if isinstance(value, int | float) else "-"


def _checkpoint(found: Found) -> Iterator[str]:
    if taken := mapping(found.get("taken")):
        yield f"trained elsewhere, taken from {taken.get('file')}: {taken.get('config')}"
        return
    best = f", best after {found['best_epoch']}" if found.get("best_epoch") else ""
    yield f"{found.get('epochs')} epochs{best} on {found.get('device')}: {found.get('config')}"


def _graph(found: Found) -> Iterator[str]:
    size = found.get("input_size")
    pixels = "x".join(map(str, size)) if isinstance(size, list) else "?"
    yield f"{found.get('graph')} graph, {pixels} pixels, opset {found.get('opset')}"


def _engine(found: Found) -> Iterator[str]:
    needs = ", ".join(f"{key} {value}" for key, value in mapping(found.get("runs_on")).items())
    yield f"{found.get('backend')} {found.get('precision')}" + (f", for {needs}" if needs else "")


def _evaluation(found: Found) -> Iterator[str]:
    figures, spread = mapping(found.get("figures")), found.get("AP50_interval")
    between = ""
    if isinstance(spread, tuple):
        between = f" (95%: {decimals(spread[0])} to {decimals(spread[1])})"
    yield (
        f"AP {decimals(figures.get('AP'))}, AP50 {decimals(figures.get('AP50'))}{between}, "
        f"{found.get('pictures')} pictures"
    )


def _proof(found: Found) -> Iterator[str]:
    alone, most = found.get("alone"), found.get("most_alone")
    if isinstance(alone, int | float) and isinstance(most, int | float):
        yield f"{100 * alone:.2g}% of detections differ from PyTorch's, {100 * most:.2g}% may"
    if differs := found.get("network_differences"):
        yield f"the networks differ: {differs[0]}" if isinstance(differs, list) else ""


def _profile(found: Found) -> Iterator[str]:
    p50, p99 = (found.get(each) for each in ("p50", "p99"))
    if isinstance(p50, int | float):
        slowest = f"p99 {p99:.1f} ms" if isinstance(p99, int | float) else "p99 -"
        yield f"p50 {p50:.1f} ms, {slowest}, {found.get('samples')} times"
    if found.get("not_told"):
        yield f"{found['not_told']} ([profile] samples)"
    warnings = found.get("warnings")
    if isinstance(warnings, list):
        yield from (f"warning: {each}" for each in warnings)


def _report(found: Found) -> Iterator[str]:
    outcomes = list(mapping(found.get("gates")).values())
    counted = [f"{outcomes.count(each)} {each}" for each in dict.fromkeys(outcomes)]
    yield f"gates: {', '.join(counted)}"
    if lacks := found.get("does_not_show"):
        yield f"does not show: {', '.join(lacks) if isinstance(lacks, list) else lacks}"


def _dataset(found: Found) -> Iterator[str]:
    splits = [
        f"{name}: {mapping(each).get('pictures')} pictures, {mapping(each).get('annotations')}"
        " objects"
        for name, each in mapping(found.get("splits")).items()
    ]
    yield "; ".join(splits)
    if found.get("without_pictures"):
        yield "without the pictures"


def _tests(found: Found) -> Iterator[str]:
    yield f"{found.get('tests')} tests, {found.get('failed')} failed: {found.get('image')}"


_TOLD: Mapping[str, Callable[[Found], Iterator[str]]] = {
    CHECKPOINT: _checkpoint,
    ONNX: _graph,
    ENGINE: _engine,
    EVALUATION: _evaluation,
    PROOF: _proof,
    PROFILE: _profile,
    REPORT: _report,
    DATASET: _dataset,
    IMAGE_TESTS: _tests,
}
