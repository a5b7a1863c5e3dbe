"""The dataset stage: read VIA or COCO annotations, check every record, write COCO and pictures.

What is wrong is collected, so that one run names many defects, and nothing is written before all
is right. The same parameters and inputs give the same bytes.
"""

import json
import platform
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import cv2
import numpy as np
import PIL
import shapely

from mmdet_jetson.contract.choices import DRAWN
from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters import DatasetParameters
from mmdet_jetson.stages.annotations import drawn, pictures
from mmdet_jetson.stages.annotations.examples import WORKERS, Split, compare, examine
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.formats.coco import read_coco, to_coco
from mmdet_jetson.stages.annotations.formats.via import Labels, read_via
from mmdet_jetson.stages.annotations.records import Example, Record
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.job import StageJob, main

SPLITS = ("train", "val")


def run(job: StageJob[DatasetParameters]) -> Result:
    """Make the artifact ``dataset``: two COCO files, two folders of pictures, a summary."""
    labels = _labels(job.parameters)
    splits = _drawn(job) if job.parameters.format == DRAWN else _given(job)
    findings = Findings()
    records = {split: _read(split, job.parameters.format, labels, findings) for split in splits}
    if not findings.defects:
        _check_filled(records, findings)
    advance = _progress(job, 2 * sum(len(listed) for listed in records.values()))
    examples = {
        split: examine(split, listed, findings, advance) for split, listed in records.items()
    }
    train, val = examples.values()
    compare(train, val, findings)
    findings.raise_defects()
    _warn_of_gaps(examples, labels.classes, findings)
    for split, made in examples.items():
        _write(job.output, split.name, made, labels.classes, advance)
    return _finish(job.output, examples, labels.classes, findings.warnings())


def _labels(parameters: DatasetParameters) -> Labels:
    classes, default = list(parameters.classes), parameters.default_class
    if not classes or len(set(classes)) != len(classes):
        raise StageError("the classes are empty or name one twice", "give each class once")
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
    return Labels(classes, parameters.label_attribute, default)


def _drawn(job: StageJob[DatasetParameters]) -> List[Split]:
    """Draw the pictures, anew each time: a killed run may have left half of them."""
    wanted = job.parameters.drawn
    if wanted is None:
        raise StageError("it is not said what to draw", "set dataset.drawn")
    folder = job.work / "drawn"
    shutil.rmtree(folder, ignore_errors=True)
    drawn.draw_dataset(folder, wanted.train, wanted.val, wanted.size, wanted.seed)
    return [
        Split(name, folder / name, folder / name / drawn.ANNOTATIONS, f"{name}/{drawn.ANNOTATIONS}")
        for name in SPLITS
    ]


def _given(job: StageJob[DatasetParameters]) -> List[Split]:
    """The splits the user named, all of whose folders and files exist."""
    source = job.inputs["source"]
    splits = []
    for name, where in (("train", job.parameters.train), ("val", job.parameters.val)):
        if where is None:
            raise StageError(f"it is not said where the {name} split is", f"set dataset.{name}")
        if not (source / where.pictures).is_dir():
            folders = sorted(path.name for path in source.iterdir() if path.is_dir())
            raise StageError(
                f"the {name} split's pictures folder {where.pictures} does not exist",
                f"the source has the folders: {', '.join(folders) or 'none'}",
            )
        if not (source / where.annotations).is_file():
            files = sorted(path.relative_to(source).as_posix() for path in source.rglob("*.json"))
            raise StageError(
                f"the {name} split's annotation file {where.annotations} does not exist",
                f"the source has the files: {', '.join(files[:5]) or 'none that end in .json'}",
            )
        annotations = source / where.annotations
        splits.append(Split(name, source / where.pictures, annotations, where.annotations))
    return splits


def _read(split: Split, form: str, labels: Labels, findings: Findings) -> List[Record]:
    records: List[Record] = []
    with findings.at(split.shown):
        if form == "coco":
            records = read_coco(split.annotations, split.shown, labels.classes, findings)
        else:
            records = read_via(split.annotations, split.shown, labels, findings)
    return records


def _check_filled(records: Mapping[Split, Sequence[Record]], findings: Findings) -> None:
    for split, listed in records.items():
        with findings.at(split.shown):
            if not listed:
                raise Defect(f"the {split.name} split has no pictures", "add some or mend its path")
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
    _dump(output / f"{split}.json", to_coco(examples, classes))


def _finish(
    output: Path,
    examples: Mapping[Split, Sequence[Example]],
    classes: Sequence[str],
    warnings: List[str],
) -> Result:
    """Write the summary and say the same to the runtime."""
    counts = {
        split.name: {
            "pictures": len(made),
            "annotations": sum(len(example.annotations) for example in made),
            "per_class": _per_class(made, classes),
        }
        for split, made in examples.items()
    }
    summary = {"classes": list(classes), "splits": counts, "warnings": warnings}
    _dump(output / "summary.json", summary, indent=1)
    facts = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
        "shapely": shapely.__version__,
    }
    return Result(metrics=counts, facts=facts, warnings=tuple(warnings))


def _dump(path: Path, content: Mapping[str, Any], indent: Optional[int] = None) -> None:
    path.write_text(json.dumps(content, indent=indent) + "\n")


if __name__ == "__main__":
    main(run, DatasetParameters)
