"""The dataset stage: read annotations, check every record, write COCO files and pictures.

What is wrong is collected, so that one run names many defects, and nothing is written before all
is right. The same parameters and inputs give the same bytes.
"""

import json
import platform
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Sequence

import cv2
import numpy as np
import PIL
import shapely

from mmdet_jetson.contract.formats import DRAWN, IGNORE, REFUSE
from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.dataset import DatasetParameters, SplitLocation
from mmdet_jetson.contract.parameters.model import CLASSES
from mmdet_jetson.contract.records import encode, write_record
from mmdet_jetson.stages.annotations import drawn, pictures
from mmdet_jetson.stages.annotations.coco_writing import to_coco
from mmdet_jetson.stages.annotations.examples import WORKERS, Split, compare, examine
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.formats import annotation_format, read_annotations
from mmdet_jetson.stages.annotations.records import Example, Labels, Record
from mmdet_jetson.stages.annotations.summary import DatasetSummary, SplitSummary
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.job import StageJob, main

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
    advance = _progress(job, 2 * sum(len(listed) for listed in records.values()))
    examples = {
        split: examine(split, listed, findings, advance) for split, listed in records.items()
    }
    if len(examples) > 1:  # a model that is trained already needs no training pictures
        train, val = examples.values()
        compare(train, val, findings)
    findings.raise_defects()
    _warn_of_gaps(examples, labels.classes, findings)
    for split, made in examples.items():
        _write(job.output, split.name, made, labels.classes, advance)
    return _finish(job.output, examples, labels.classes, findings.warnings())


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
    for name, location in (("train", job.parameters.train), ("val", job.parameters.val)):
        if location is None and name == "train":
            continue
        if location is None:
            raise StageError(f"nothing says where the {name} split is", f"set dataset.{name}")
        splits.append(_find_split(job.inputs["source"], name, location, suffix))
    return splits


def _find_split(source: Path, name: str, location: SplitLocation, suffix: str) -> Split:
    pictures, annotations = source / location.pictures, source / location.annotations
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
        records += read_annotations(form, split.annotations, split.shown, labels, findings)
    return records


def _check_filled(records: Mapping[Split, Sequence[Record]], findings: Findings) -> None:
    for split, listed in records.items():
        with findings.at(split.shown):
            if not listed:
                raise Defect(
                    f"the {split.name} split has no pictures", "add some or correct its path"
                )
            if not any(record.regions for record in listed):
                raise Defect(f"the {split.name} split has no annotations", "label some pictures")


def _progress(job: StageJob[DatasetParameters], total: int) -> Callable[[], None]:
    """A function to call once a picture when it was checked, and again when it was written."""
    steps = iter(range(1, total + 1))

    def advance() -> None:
        step = next(steps)
        job.progress(step, total, "checking" if 2 * step <= total else "writing")

    return advance


def _warn_of_gaps(
    examples: Mapping[Split, Sequence[Example]], classes: Sequence[str], findings: Findings
) -> None:
    """Warn of classes without annotations and of pictures that no annotation file lists."""
    sources = {example.source for made in examples.values() for example in made}
    for split, made in examples.items():
        counts = _per_class(made, classes)
        for name in (name for name, count in counts.items() if count == 0):
            findings.warn("a class has no annotations", f"{split.name}, {name}")
    # Splits may share a folder of pictures: it is looked through once, and what only another split
    # lists is not left out.
    folders = {split.pictures: split.name for split in examples}
    for folder, split_name in folders.items():
        for name in pictures.PictureFolder(folder).unlisted(sources):
            findings.warn("left out, as no annotation file lists it", f"{split_name}, {name}")


def _per_class(examples: Sequence[Example], classes: Sequence[str]) -> Dict[str, int]:
    counts = Counter(item.label for example in examples for item in example.annotations)
    return {name: counts[name] for name in classes}


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
    examples: Mapping[Split, Sequence[Example]],
    classes: Sequence[str],
    warnings: List[str],
) -> Result:
    """Write the summary and say the same to the runtime."""
    splits = {
        split.name: SplitSummary(
            pictures=len(made),
            annotations=sum(len(example.annotations) for example in made),
            per_class=_per_class(made, classes),
        )
        for split, made in examples.items()
    }
    summary = DatasetSummary(tuple(classes), splits, tuple(warnings))
    write_record(output / "summary.json", summary)
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
