"""The dataset stage: read annotations, check every record, write COCO files and pictures.

What is wrong is collected, so that one run names many defects, and nothing is written before all
is right. The same parameters and inputs give the same bytes.
"""

import gc
import json
import platform
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Sequence, Tuple

import cv2
import numpy as np
import PIL
import shapely

from mmdet_jetson.contract.formats import DRAWN, IGNORE, REFUSE
from mmdet_jetson.contract.grouping import pattern_of
from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.dataset import KNOWN, DatasetParameters
from mmdet_jetson.contract.parameters.model import CLASSES
from mmdet_jetson.contract.records import encode, write_record
from mmdet_jetson.contract.taken import read_digests, write_taken
from mmdet_jetson.stages.annotations import drawn, pictures
from mmdet_jetson.stages.annotations.coco_writing import to_coco
from mmdet_jetson.stages.annotations.examples import (
    WORKERS,
    Split,
    examine,
    refuse_shared,
    warn_of_repeats,
)
from mmdet_jetson.stages.annotations.findings import Findings
from mmdet_jetson.stages.annotations.formats import read_annotations
from mmdet_jetson.stages.annotations.glance import Looked, glance_at
from mmdet_jetson.stages.annotations.glance_file import FILE as GLANCE
from mmdet_jetson.stages.annotations.glance_file import Glance
from mmdet_jetson.stages.annotations.grouping import groups_of
from mmdet_jetson.stages.annotations.known import Known
from mmdet_jetson.stages.annotations.near_duplicates import Pair, near_duplicates
from mmdet_jetson.stages.annotations.records import (
    Example,
    Labels,
    Record,
    advise_renames,
    warn_of_unused_renames,
)
from mmdet_jetson.stages.annotations.remarks import remark, remark_duplicates
from mmdet_jetson.stages.annotations.split_places import check_filled, find_splits
from mmdet_jetson.stages.annotations.splitting import (
    SplitRecord,
    Wanted,
    check_fraction,
    divide,
    warn_of_split,
)
from mmdet_jetson.stages.annotations.summary import DatasetSummary, SplitSummary
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.job import StageJob, main
from mmdet_jetson.stages.reporting import dataset_page
from mmdet_jetson.stages.reporting.page_aside import PageAside

SPLITS = ("train", "val")
SOURCE = "source"
TOLD = 400
"""How often a run tells how far it is, at most."""


def run(job: StageJob[DatasetParameters]) -> Result:
    """Make the artifact ``dataset``: two COCO files, two folders of pictures, a summary."""
    with PageAside() as page:
        return _made(job, page)


def _made(job: StageJob[DatasetParameters], page: PageAside) -> Result:
    labels = _labels(_with_classes(job))
    is_drawn = job.parameters.format == DRAWN
    splits = _draw(job) if is_drawn else find_splits(job.parameters, job.inputs[SOURCE])
    form = drawn.FORMAT if is_drawn else job.parameters.format
    findings = Findings()
    known = _known(job)
    records = {split: _read(split, form, labels, known, findings) for split in splits}
    advise_renames(labels, findings)
    warn_of_unused_renames(labels, findings)
    if not findings.defects:
        check_filled(records, labels, findings)
    _check_split(job.parameters, records, findings)
    advance = _progress(job, 2 * sum(len(listed) for listed in records.values()))
    examples = {
        split: examine(split, listed, findings, advance, known) for split, listed in records.items()
    }
    for split, made in examples.items():
        warn_of_repeats(split.name, made, findings)
    if len(examples) == len(SPLITS):  # a model that is trained already needs no training pictures
        train, val = examples.values()
        refuse_shared(train, val, findings)
    findings.raise_defects()
    listed = [example for made in examples.values() for example in made]
    pairs = near_duplicates([example.fingerprint for example in listed], known.pairs)
    record = None
    if job.parameters.split is not None:
        examples, record = _divide(job, splits[0], listed, pairs, findings)
    _warn_of_unlisted(examples, known, findings)
    named = {split.name: made for split, made in examples.items()}
    placed = {id(example): name for name, made in named.items() for example in made}
    looked = Looked(listed, [placed[id(each)] for each in listed], pairs)
    remark_duplicates(looked.examples, looked.splits, pairs, findings)
    remark(named, labels.classes, job.parameters.input_size, findings)
    glance = glance_at(looked, labels.classes, job.parameters.input_size)
    summary = _summary(named, glance, findings)
    page.begin(summary, glance, record)
    taken: Dict[str, Tuple[str, str]] = {}
    for name, made in named.items():
        taken.update(_write_pictures(job.output / name, made, known, advance))
        (job.output / f"{name}.json").write_text(to_coco(made, labels.classes) + "\n")
    if taken:
        write_taken(job.output.parent, taken)
    known.keep()
    write_record(job.output / "summary.json", summary)
    write_record(job.output / GLANCE, glance)
    if record:
        write_record(job.output / "split.json", record)
    (job.output / dataset_page.FILE).write_text(page.text(), encoding="utf-8")
    return _result(summary)


def _with_classes(job: StageJob[DatasetParameters]) -> DatasetParameters:
    """The parameters, with the classes of the input ``model`` where they name none."""
    if job.parameters.classes or "model" not in job.inputs:
        return job.parameters
    classes = json.loads((job.inputs["model"] / CLASSES).read_text(encoding="utf-8"))
    return replace(job.parameters, classes=tuple(classes))


def _labels(parameters: DatasetParameters) -> Labels:
    classes, default = list(parameters.classes), parameters.default_class
    if not classes or len(set(classes)) != len(classes):
        raise StageError("the list of classes is empty or names one twice", "name each class once")
    if default is not None and default not in classes:
        listed = ", ".join(classes)
        raise StageError(f'the default class "{default}" is not a class', f"choose from {listed}")
    if parameters.format == DRAWN:
        if set(drawn.CLASSES) - set(classes):
            raise StageError(
                f"the drawn dataset shows {' and '.join(drawn.CLASSES)}, "
                f"but the classes are {', '.join(classes)}",
                f"set classes to {json.dumps(list(drawn.CLASSES))}",
            )
        return Labels(classes, drawn.LABEL_ATTRIBUTE, None)
    _check_others(parameters)
    return Labels(
        classes, parameters.label_attribute, default, parameters.others, parameters.rename
    )


def _check_others(parameters: DatasetParameters) -> None:
    """Check what becomes of classes that a file names otherwise, or that are none of ours."""
    if parameters.others not in (REFUSE, IGNORE):
        raise StageError(
            f'others is "{parameters.others}"', f'set dataset.others to "{REFUSE}" or "{IGNORE}"'
        )
    for name, meant in parameters.rename.items():
        if meant not in parameters.classes:
            listed = ", ".join(parameters.classes)
            raise StageError(
                f'"{name}" is renamed to "{meant}", which is not a class', f"choose from {listed}"
            )


def _draw(job: StageJob[DatasetParameters]) -> List[Split]:
    """Draw the pictures, anew each time: a killed run may have left half of them."""
    wanted = job.parameters.drawn
    if wanted is None:
        raise StageError("nothing says which pictures to draw", "set dataset.drawn")
    folder = job.work / "drawn"
    shutil.rmtree(folder, ignore_errors=True)
    drawn.draw_dataset(folder, wanted.train, wanted.val, wanted.size, wanted.seed)
    return [
        Split(name, folder / name, folder / name / drawn.ANNOTATIONS, f"{name}/{drawn.ANNOTATIONS}")
        for name in SPLITS
    ]


def _read(
    split: Split, form: str, labels: Labels, known: Known, findings: Findings
) -> List[Record]:
    records: List[Record] = []
    with findings.at(split.shown):
        records += read_annotations(
            form,
            split.annotations,
            split.shown,
            labels,
            findings,
            pictures=split.pictures,
            readings=known.readings,
        )
    return records


def _progress(job: StageJob[DatasetParameters], total: int) -> Callable[[], None]:
    """A function to call once a picture when it was checked, and again when it was written.

    It tells a few hundred times of how many pictures there may be: each time costs, too.
    """
    steps = iter(range(1, total + 1))

    def advance() -> None:
        step = next(steps)
        if step * TOLD // total == (step - 1) * TOLD // total:
            return
        job.progress(step, total, "checking" if 2 * step <= total else "writing")

    return advance


def _check_split(
    parameters: DatasetParameters, records: Mapping[Split, Sequence[Record]], findings: Findings
) -> None:
    """Refuse what cannot be split before the pictures are looked at, which takes the time."""
    if parameters.split is None or findings.defects:
        return
    (listed,) = records.values()
    check_fraction(len(listed), parameters.split)
    try:
        pattern_of(parameters.group)
    except ValueError as error:
        raise StageError(f'dataset.group is "{parameters.group}": {error}', "correct it") from error


def _divide(
    job: StageJob[DatasetParameters],
    whole: Split,
    examples: Sequence[Example],
    pairs: Sequence[Pair],
    findings: Findings,
) -> Tuple[Dict[Split, List[Example]], SplitRecord]:
    """Make two splits of one, and say how."""
    wanted = job.parameters
    groups = groups_of(examples, wanted.group, pairs, findings)
    split = Wanted(wanted.split or 0, wanted.split_seed, wanted.group)
    validates, record = divide(examples, groups, split)
    warn_of_split(record, findings)
    made = {
        replace(whole, name=name): [
            each for each, held in zip(examples, validates) if held is (name == "val")
        ]
        for name in SPLITS
    }
    return made, record


def _warn_of_unlisted(
    examples: Mapping[Split, Sequence[Example]], known: Known, findings: Findings
) -> None:
    """Warn of pictures that no annotation file lists."""
    sources = {example.source for made in examples.values() for example in made}
    # Splits may share a folder of pictures: it is looked through once, and what only another split
    # lists is not left out.
    folders: Dict[Path, List[str]] = {}
    for split in examples:
        folders.setdefault(split.pictures, []).append(split.name)
    for folder, names in folders.items():
        of = f"{names[0]}, " if len(names) == 1 else ""
        for name in known.folder(folder).unlisted(sources):
            findings.warn("left out, as no annotation file lists it", f"{of}{name}")


def _known(job: StageJob[DatasetParameters]) -> Known:
    """What is known of the pictures of the source before they are looked at."""
    digests = read_digests(job.output.parent).get(SOURCE, {})
    return Known(job.inputs.get(SOURCE, job.work), digests, job.work / KNOWN)


def _write_pictures(
    folder: Path, examples: Sequence[Example], known: Known, advance: Callable[[], None]
) -> Dict[str, Tuple[str, str]]:
    """Write pictures into a folder of the output, but for those that it takes out of the source.

    Returns these: the input and the path there, by the path in the output.
    """

    def write_picture(example: Example) -> None:
        pictures.write(example.source, folder / example.name, example.reencode)

    taken: Dict[str, Tuple[str, str]] = {}
    written: List[Example] = []
    for example in examples:
        inside = None if example.reencode else known.inside(example.source)
        if inside is None:
            written.append(example)
        else:
            taken[f"{folder.name}/{example.name}"] = SOURCE, inside
            advance()
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(write_picture, written):
            advance()
    return taken


def _summary(
    examples: Mapping[str, Sequence[Example]], glance: Glance, findings: Findings
) -> DatasetSummary:
    splits = {
        name: SplitSummary(
            pictures=len(made),
            annotations=sum(len(example.annotations) for example in made),
            per_class=glance.objects[name],
        )
        for name, made in examples.items()
    }
    return DatasetSummary(glance.classes, splits, tuple(findings.warnings()))


def _result(summary: DatasetSummary) -> Result:
    """Say the same as the summary to the runtime."""
    facts = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
        "shapely": shapely.__version__,
    }
    metrics = {name: encode(split) for name, split in summary.splits.items()}
    return Result(metrics=metrics, facts=facts, warnings=summary.warnings)


if __name__ == "__main__":
    gc.disable()  # it would look through millions of records, of which none is in a circle
    main(run, DatasetParameters)
