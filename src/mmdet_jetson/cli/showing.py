"""``invoke show``: what is in a release, a run or an artifact, and what was measured of it."""

import json
from collections.abc import Callable, Iterator
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
)
from mmdet_jetson.bundles.making import TITLE
from mmdet_jetson.bundles.overview import Facts, age, lacking, mapping, newest, part_facts
from mmdet_jetson.bundles.remedies import command_for
from mmdet_jetson.bundles.trainings import shown
from mmdet_jetson.cli.pages import file_name, write_page
from mmdet_jetson.cli.part_lines import lines, printable, size_of
from mmdet_jetson.cli.request import CONFIG
from mmdet_jetson.cli.upkeep import existing_store
from mmdet_jetson.config.pipeline import Project, load_project
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.config.toml import read_toml
from mmdet_jetson.contract.report import CHECKPOINT as TRAINED
from mmdet_jetson.contract.report import DOCUMENTED
from mmdet_jetson.errors import ConfigError, UserError
from mmdet_jetson.registry.names import is_name
from mmdet_jetson.store import Store

Seen = dict[PartName, Facts]
ARTIFACT = "artifact"
Mends = Callable[[PartName], str]
"""The command that makes a part."""
MEASURED = "measured"
"""The grade of evidence that was taken on the target itself."""


def show(name: str, *, as_json: bool = False, page: str | bool = False) -> None:
    """Print a tree of what belongs to a bundle, a run or a tag; with ``as_json`` all that is known.

    ``page`` is an HTML file to write instead, or True for one in the store's folder.

    Raises:
        UserError: there is no such thing, or the parts of a bundle do not belong together.
    """
    store = existing_store()
    contents = shown(store, name)
    seen = {part: part_facts(contents, part) for part in contents.parts}
    against = list(contradictions(contents))
    mends = partial(command_for, project=_project_of(contents))
    if page:
        # Templates, which nothing else here needs.
        from mmdet_jetson.cli.show_page import page_of  # noqa: PLC0415

        told = _document(contents, seen, against, mends)
        text = page_of(contents, seen, told, read_settings())
        _print(f"wrote {write_page(page, store, file_name(name), text)}")
    elif as_json:
        said = json.dumps(_document(contents, seen, against, mends), indent=1)
        Console(emoji=False).out(said, highlight=False)
    else:
        Console(emoji=False).print(_tree(contents, seen))
        for line in _remarks(contents, against, mends):
            _print(line)
    if contents.bundle and against:
        raise UserError(
            f"the parts of {name} do not belong together: {printable(against[0].sentence)}",
            "invoke bundle, where they were made",
        )


_print = partial(Console(emoji=False).print, highlight=False, markup=False, soft_wrap=True)


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
        "missing": [{**part._asdict(), "command": mends(part)} for part in _lacks(contents)],
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
    return [tag for tag, named in store.tags().items() if named.digest == digest and is_name(tag)]


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
        for entry in contents.parts[part].entries if _what(contents) == ARTIFACT else ():
            title = printable(entry.title) + "/" * entry.is_directory
            node.add(Text(f"{title}  {size_of(entry.size)}"))
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
        (contents.name, "bold"), f": {_what(contents)}, {count}, {size_of(size)}, {old} old"
    )
    if contents.bundle:
        names = _names(contents.store, contents.bundle.digest)
        also = [each for each in names if each != contents.name]
        head.append(f"\n{contents.bundle.digest}")
        head.append(f"\nalso named {', '.join(also)}" if also else "")
    report = seen.get(PartName(REPORT))
    if report:
        verdict = str(mapping(report["found"]).get("verdict"))
        head.append(f"\nverdict: {printable(verdict)}")
    return head


def _node(called: str, facts: Facts, now: datetime) -> Text:
    """A part in one line, and below it what it tells."""
    created, digest = str(facts["created"]), str(facts["digest"])
    node = Text.assemble(
        (called, "bold"),
        f"  {digest[7:19]}  {size_of(_whole(facts['size']))}  {age(created, now)}",
    )
    if grade := printable(str(facts["evidence"])):
        node.append(f"  {grade}", "green" if grade == MEASURED else "yellow")
    for line in lines(str(facts["kind"]), mapping(facts["found"])):
        node.append(f"\n{line}", "yellow" if line.startswith("warning") else "dim")
    return node


def _remarks(contents: Contents, against: list[Contradiction], mends: Mends) -> Iterator[str]:
    """What is missing and what does not belong, each with the command that mends it."""
    for part in _lacks(contents):
        yield f"missing: {part}: {mends(part)}"
    first = {each.part: each for each in reversed(against)}
    for each in reversed(first.values()):
        yield f"does not belong: {printable(each.sentence)}\n  try: {mends(each.part)}"


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
