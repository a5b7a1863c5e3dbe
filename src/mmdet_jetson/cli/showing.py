"""``invoke show``: what is in a release, a run or an artifact, and what was measured of it."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from functools import partial

import msgspec
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from mmdet_jetson.bundles.belonging import Contradiction, contradictions
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
    Contents,
    PartName,
    contents_of,
)
from mmdet_jetson.bundles.making import TITLE
from mmdet_jetson.bundles.overview import Facts, age, lacking, newest, part_facts
from mmdet_jetson.bundles.remedies import command_for
from mmdet_jetson.cli.upkeep import existing_store
from mmdet_jetson.cli.verbs import CONFIG
from mmdet_jetson.config.pipeline import Project, load_project
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.config.toml import read_toml
from mmdet_jetson.contract.report import CHECKPOINT as TRAINED
from mmdet_jetson.contract.report import DOCUMENTED
from mmdet_jetson.errors import ConfigError, UserError
from mmdet_jetson.store import Store

Seen = dict[PartName, Facts]
ARTIFACT = "artifact"
Mends = Callable[[PartName], str]
"""The command that makes a part."""
MEASURED = "measured"
"""The grade of evidence that was taken on the target itself."""


def show(name: str, *, as_json: bool = False) -> None:
    """Print a tree of what belongs to a bundle, a run or a tag; with ``as_json`` all that is known.

    Raises:
        UserError: there is no such thing, or the parts of a bundle do not belong together.
    """
    store = existing_store()
    contents = contents_of(store, name)
    seen = {part: part_facts(contents, part) for part in contents.parts}
    against = list(contradictions(contents))
    mends = partial(command_for, project=_project_of(contents))
    if as_json:
        _print(json.dumps(_document(contents, seen, against, mends), indent=1))
    else:
        Console().print(_tree(contents, seen))
        for line in _remarks(contents, against, mends):
            _print(line)
    if contents.bundle and against:
        raise UserError(
            f"the parts of {name} do not belong together: {against[0].sentence}",
            "invoke bundle, where they were made",
        )


_print = partial(Console().print, highlight=False, markup=False, soft_wrap=True)


def _project_of(contents: Contents) -> Project | None:
    """The project of this folder that has a run's name, for commands that may be typed here."""
    bundle, root = contents.bundle, read_settings().root
    name = bundle.annotations.get(TITLE, "") if bundle else contents.name
    for path in sorted((root / "configs").glob("*.toml")):
        try:
            if read_toml(path, "").get("name") == name:
                typed = path.relative_to(root).as_posix()
                options = "" if typed == CONFIG else f"--config {typed}"
                return msgspec.structs.replace(load_project(path), typed=options)
        except ConfigError:
            continue  # it is of no use to anybody who reads a release
    return None


def _document(contents: Contents, seen: Seen, against: list[Contradiction], mends: Mends) -> Facts:
    bundle = contents.bundle
    digests = {each.digest: each for each in contents.parts.values()}
    return {
        "name": contents.name,
        "what": _what(contents),
        "digest": bundle.digest if bundle else None,
        "names": _names(contents.store, bundle.digest) if bundle else [],
        "annotations": dict(bundle.annotations) if bundle else {},
        "created": newest(digests.values()),
        "size": sum(each.size for each in digests.values()),
        "targets": contents.targets,
        "parts": list(seen.values()),
        "missing": [{**part._asdict(), "command": mends(part)} for part in lacking(contents)],
        "contradictions": [
            {**each.part._asdict(), "sentence": each.sentence, "command": mends(each.part)}
            for each in against
        ],
    }


def _what(contents: Contents) -> str:
    if contents.bundle:
        return "bundle"
    return ARTIFACT if contents.name in contents.called.values() else "run"


def _lacks(contents: Contents) -> list[PartName]:
    return [] if _what(contents) == ARTIFACT else lacking(contents)


def _names(store: Store, digest: str) -> list[str]:
    return [tag for tag, named in store.tags().items() if named.digest == digest]


def _tree(contents: Contents, seen: Seen) -> Tree:
    now = datetime.now(timezone.utc)
    tree = Tree(_title(contents, seen, now))
    left = dict(contents.parts)

    def add(branch: Tree, part: PartName, called: str = "") -> Tree:
        left.pop(part, None)
        return branch.add(_node(called or str(part), seen[part], now)) if part in seen else branch

    for first, kinds in _branches(contents):
        branch = add(tree, first)
        for kind, subject in kinds:
            add(branch, PartName(kind, subject), kind)
    for part in sorted(left, key=lambda each: (_LAST.get(each.kind, 0), each)):
        node = add(tree, part)
        for layer in contents.parts[part].layers if _what(contents) == ARTIFACT else ():
            node.add(Text(f"{layer.title}{'/' * layer.is_directory}  {_size(layer.blob.size)}"))
    return tree


def _branches(contents: Contents) -> Iterator[tuple[PartName, list[PartName]]]:
    """What is shown first, each with what is told of it."""
    if _what(contents) == ARTIFACT:
        return
    yield PartName(CHECKPOINT), [PartName(EVALUATION, TRAINED)]
    yield PartName(ONNX, DOCUMENTED), [PartName(EVALUATION, DOCUMENTED)]
    for target in contents.targets:
        about = [PartName(kind, target) for kind in (ONNX, EVALUATION, PROOF, PROFILE)]
        yield PartName(ENGINE, target), about


_LAST = {IMAGE_TESTS: 1, DATASET: 2, REPORT: 3}


def _title(contents: Contents, seen: Seen, now: datetime) -> Text:
    digests = {each.digest: each for each in contents.parts.values()}
    count = f"{len(digests)} part{'' if len(digests) == 1 else 's'}"
    size = sum(each.size for each in digests.values())
    old = age(newest(digests.values()), now)
    head = Text.assemble(
        (contents.name, "bold"), f": {_what(contents)}, {count}, {_size(size)}, {old} old"
    )
    if contents.bundle:
        names = _names(contents.store, contents.bundle.digest)
        also = [each for each in names if each != contents.name]
        head.append(f"\n{contents.bundle.digest}")
        head.append(f"\nalso named {', '.join(also)}" if also else "")
    report = seen.get(PartName(REPORT))
    if report:
        head.append(f"\nverdict: {_mapping(report['found']).get('verdict')}")
    return head


def _node(called: str, facts: Facts, now: datetime) -> Text:
    """A part in one line, and below it what it tells."""
    created, digest = str(facts["created"]), str(facts["digest"])
    node = Text.assemble(
        (called, "bold"),
        f"  {digest[7:19]}  {_size(_whole(facts['size']))}  {age(created, now)}",
    )
    if facts["evidence"]:
        node.append(
            f"  {facts['evidence']}", "green" if facts["evidence"] == "measured" else "yellow"
        )
    told = _TOLD.get(str(facts["kind"]))
    for line in told(_mapping(facts["found"])) if told else ():
        node.append(f"\n{line}", "dim")
    return node


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def _checkpoint(found: Mapping[str, object]) -> Iterator[str]:
    best = f", best after {found['best_epoch']}" if found.get("best_epoch") else ""
    yield f"{found.get('epochs')} epochs{best} on {found.get('device')}: {found.get('config')}"


def _graph(found: Mapping[str, object]) -> Iterator[str]:
    size = found.get("input_size")
    pixels = "x".join(map(str, size)) if isinstance(size, list) else "?"
    yield f"{found.get('graph')} graph, {pixels} pixels, opset {found.get('opset')}"


def _engine(found: Mapping[str, object]) -> Iterator[str]:
    needs = ", ".join(f"{key} {value}" for key, value in _mapping(found.get("runs_on")).items())
    yield f"{found.get('backend')} {found.get('precision')}" + (f", for {needs}" if needs else "")


def _evaluation(found: Mapping[str, object]) -> Iterator[str]:
    figures, spread = _mapping(found.get("figures")), found.get("AP50_interval")
    between = ""
    if isinstance(spread, list):
        between = f" (95%: {_figure(spread[0])} to {_figure(spread[1])})"
    yield (
        f"AP {_figure(figures.get('AP'))}, AP50 {_figure(figures.get('AP50'))}{between}, "
        f"{found.get('pictures')} pictures"
    )


def _proof(found: Mapping[str, object]) -> Iterator[str]:
    alone, most = found.get("alone"), found.get("most_alone")
    if isinstance(alone, int | float) and isinstance(most, int | float):
        yield f"{100 * alone:.2g}% of detections differ from PyTorch's, {100 * most:.2g}% may"
    if differs := found.get("network_differences"):
        yield f"the networks differ: {differs[0]}" if isinstance(differs, list) else ""


def _profile(found: Mapping[str, object]) -> Iterator[str]:
    p50, p99 = (found.get(each) for each in ("p50", "p99"))
    if isinstance(p50, int | float) and isinstance(p99, int | float):
        yield f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, {found.get('repeats')} times"
    warnings = found.get("warnings")
    if isinstance(warnings, list):
        yield from (f"warning: {each}" for each in warnings)


def _report(found: Mapping[str, object]) -> Iterator[str]:
    outcomes = list(_mapping(found.get("gates")).values())
    counted = [f"{outcomes.count(each)} {each}" for each in dict.fromkeys(outcomes)]
    yield f"gates: {', '.join(counted)}"
    if lacks := found.get("does_not_show"):
        yield f"does not show: {', '.join(lacks) if isinstance(lacks, list) else lacks}"


def _dataset(found: Mapping[str, object]) -> Iterator[str]:
    splits = [
        f"{name}: {_mapping(each).get('pictures')} pictures, {_mapping(each).get('annotations')}"
        " objects"
        for name, each in _mapping(found.get("splits")).items()
    ]
    yield "; ".join(splits)
    if found.get("without_pictures"):
        yield "without the pictures"


def _tests(found: Mapping[str, object]) -> Iterator[str]:
    yield f"{found.get('tests')} tests, {found.get('failed')} failed: {found.get('image')}"


_TOLD: Mapping[str, Callable[[Mapping[str, object]], Iterator[str]]] = {
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


def _remarks(contents: Contents, against: list[Contradiction], mends: Mends) -> Iterator[str]:
    """What is missing and what does not belong, each with the command that mends it."""
    for part in _lacks(contents):
        yield f"missing: {part}: {mends(part)}"
    for each in against:
        yield f"does not belong: {each.sentence}\n  try: {mends(each.part)}"


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _figure(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "–"


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
