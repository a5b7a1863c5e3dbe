"""The dataset stage: read annotations, check every record, write COCO files and pictures.

What is wrong is collected, so that one run names many defects, and nothing is written before all
is right. The same parameters and inputs give the same bytes.
"""

import json
import platform
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import cv2
import numpy as np
import PIL
import shapely

from mmdet_jetson.contract.formats import DRAWN, IGNORE, REFUSE
from mmdet_jetson.contract.grouping import pattern_of
from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.dataset import DatasetParameters, SplitLocation
from mmdet_jetson.contract.parameters.model import CLASSES
from mmdet_jetson.contract.records import encode, write_record
from mmdet_jetson.stages.annotations import drawn, pictures
from mmdet_jetson.stages.annotations.coco_writing import to_coco
from mmdet_jetson.stages.annotations.examples import WORKERS, Split, compare, examine
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.formats import annotation_format, read_annotations
from mmdet_jetson.stages.annotations.glance import FILE as GLANCE
from mmdet_jetson.stages.annotations.glance import Glance, Looked, glance_at
from mmdet_jetson.stages.annotations.grouping import groups_of
from mmdet_jetson.stages.annotations.near_duplicates import Pair, near_duplicates
from mmdet_jetson.stages.annotations.picture_folder import PictureFolder, lost_link
from mmdet_jetson.stages.annotations.records import Example, Labels, Record
from mmdet_jetson.stages.annotations.remarks import per_class, remark, remark_duplicates
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

SPLITS = ("train", "val")


def run(job: StageJob[DatasetParameters]) -> Result:
    """Make the artifact ``dataset``: two COCO files, two folders of pictures, a summary."""
    labels = _labels(_with_classes(job))
    is_drawn = job.parameters.format == DRAWN
    splits = _draw(job) if is_drawn else _find(job)
    form = drawn.FORMAT if is_drawn else job.parameters.format
    findings = Findings()
    records = {split: _read(split, form, labels, findings) for split in splits}
    if not findings.defects:
        _check_filled(records, findings)
    _check_split(job.parameters, records, findings)
    advance = _progress(job, 2 * sum(len(listed) for listed in records.values()))
    examples = {
        split: examine(split, listed, findings, advance) for split, listed in records.items()
    }
    if len(examples) == len(SPLITS):  # a model that is trained already needs no training pictures
        train, val = examples.values()
        compare(train, val, findings)
    findings.raise_defects()
    listed = [example for made in examples.values() for example in made]
    pairs = near_duplicates([example.fingerprint for example in listed])
    record = None
    if job.parameters.split is not None:
        examples, record = _divide(job, splits[0], listed, pairs, findings)
    _warn_of_unlisted(examples, findings)
    named = {split.name: made for split, made in examples.items()}
    placed = {id(example): name for name, made in named.items() for example in made}
    remark_duplicates(listed, [placed[id(each)] for each in listed], pairs, findings)
    remark(named, labels.classes, job.parameters.input_size, findings)
    for name, made in named.items():
        _write(job.output, name, made, labels.classes, advance)
    looked = Looked(listed, [placed[id(each)] for each in listed], pairs)
    glance = glance_at(looked, labels.classes, job.parameters.input_size)
    return _finish(job.output, named, glance, record, findings.warnings())


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


def _find(job: StageJob[DatasetParameters]) -> List[Split]:
    """The splits that the user named, whose pictures and annotations exist."""
    suffix = annotation_format(job.parameters.format).SUFFIX
    splits = []
    named = [("train", job.parameters.train), ("val", job.parameters.val)]
    if job.parameters.split is not None:
        del named[1]
    for name, location in named:
        if location is None and name == "train" and job.parameters.split is None:
            continue
        if location is None:
            raise StageError(f"nothing says where the {name} split is", f"set dataset.{name}")
        splits.append(_find_split(job.inputs["source"], name, location, suffix))
    return splits


def _find_split(source: Path, name: str, location: SplitLocation, suffix: str) -> Split:
    pictures, annotations = source / location.pictures, source / location.annotations
    link = lost_link(pictures)
    if link is not None:
        raise StageError(
            f"the {name} split's pictures folder {location.pictures} is a file with the text "
            f"{link}: a symbolic link to a folder that became text when it was copied",
            f"make it a link again, such as by: ln -sfn {link} {location.pictures}",
        )
    if not pictures.is_dir():
        folders = sorted(path.name for path in source.iterdir() if path.is_dir())
        raise StageError(
            f"the {name} split's pictures folder {location.pictures} does not exist",
            f"the source has the folders: {', '.join(folders) or 'none'}",
        )
    if not annotations.exists():
        files = sorted(path.relative_to(source).as_posix() for path in source.rglob(f"*{suffix}"))
        raise StageError(
            f"the {name} split's annotation file {location.annotations} does not exist",
            f"the source has the files: {', '.join(files[:5]) or f'none that end in {suffix}'}",
        )
    return Split(name, pictures, annotations, location.annotations)


def _read(split: Split, form: str, labels: Labels, findings: Findings) -> List[Record]:
    records: List[Record] = []
    with findings.at(split.shown):
        records += read_annotations(
            form, split.annotations, split.shown, labels, findings, pictures=split.pictures
        )
    return records


def _check_filled(records: Mapping[Split, Sequence[Record]], findings: Findings) -> None:
    for split, listed in records.items():
        with findings.at(split.shown):
            if not listed:
                raise Defect(
                    f"the {split.name} split has no pictures", "add some or correct its path"
                )
            if not any(record.regions for record in listed):
                reasons = [each for each in findings.warnings() if each.startswith("left out")]
                raise Defect(
                    ": ".join([f"the {split.name} split has no annotations", *reasons]),
                    "label some pictures, with shapes that have an area",
                )


def _progress(job: StageJob[DatasetParameters], total: int) -> Callable[[], None]:
    """A function to call once a picture when it was checked, and again when it was written."""
    steps = iter(range(1, total + 1))

    def advance() -> None:
        step = next(steps)
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


def _warn_of_unlisted(examples: Mapping[Split, Sequence[Example]], findings: Findings) -> None:
    """Warn of pictures that no annotation file lists."""
    sources = {example.source for made in examples.values() for example in made}
    # Splits may share a folder of pictures: it is looked through once, and what only another split
    # lists is not left out.
    folders = {split.pictures: split.name for split in examples}
    for folder, split_name in folders.items():
        for name in PictureFolder(folder).unlisted(sources):
            findings.warn("left out, as no annotation file lists it", f"{split_name}, {name}")


def _write(
    output: Path,
    split: str,
    examples: Sequence[Example],
    classes: Sequence[str],
    advance: Callable[[], None],
) -> None:
    def write_picture(example: Example) -> None:
        pictures.write(example.source, output / split / example.name, example.reencode)

    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(write_picture, examples):
            advance()
    content = json.dumps(to_coco(examples, classes))
    (output / f"{split}.json").write_text(content + "\n")


def _finish(
    output: Path,
    examples: Mapping[str, Sequence[Example]],
    glance: Glance,
    record: Optional[SplitRecord],
    warnings: List[str],
) -> Result:
    """Write the summary and the page, and say the same to the runtime."""
    splits = {
        name: SplitSummary(
            pictures=len(made),
            annotations=sum(len(example.annotations) for example in made),
            per_class=per_class(made, glance.classes),
        )
        for name, made in examples.items()
    }
    summary = DatasetSummary(glance.classes, splits, tuple(warnings))
    write_record(output / "summary.json", summary)
    write_record(output / GLANCE, glance)
    if record:
        write_record(output / "split.json", record)
    page = dataset_page.render(summary, glance, record)
    (output / dataset_page.FILE).write_text(page, encoding="utf-8")
    facts = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
        "shapely": shapely.__version__,
    }
    metrics = {name: encode(split) for name, split in splits.items()}
    return Result(metrics=metrics, facts=facts, warnings=summary.warnings)


if __name__ == "__main__":
    main(run, DatasetParameters)
