"""Read YOLO labels as Ultralytics and Darknet keep them: a text file a picture, a row an object.

A row is the number of a class, then the centre, width and height of a box, or the points of a
polygon, all as fractions of the upright picture, where 0 is the outer edge of the first pixel and
1 that of the last. ``annotations`` is a folder of such files, a ``data.yaml``, or a list of
pictures such as ``train.txt``; with the last two the labels of ``x/images/y.jpg`` are in
``x/labels/y.txt``, and where no folder is called images, beside the picture. A split has the
pictures of its list, else all of the folder of pictures.
"""

from pathlib import Path, PurePosixPath
from typing import Dict, List, Optional, Sequence, Set, Tuple

from mmdet_jetson.stages.annotations import geometry, yolo_names
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.own_names import OwnNames, files_below
from mmdet_jetson.stages.annotations.picture_folder import PictureFolder
from mmdet_jetson.stages.annotations.place import Place
from mmdet_jetson.stages.annotations.records import Labels, Outline, Record, Region
from mmdet_jetson.stages.annotations.safe_xml import numeral
from mmdet_jetson.stages.annotations.yolo_names import Names

SUFFIX = ".txt"
PER_PICTURE = True

_BOX = 5
_HINT = "export the labels again in the format YOLO"
# Lists of pictures or classes, which lie among the labels.
_NO_LABELS = {"classes", "obj", "train", "val", "valid", "test", "labels", "predefined_classes"}


def read(
    path: Path, shown: str, labels: Labels, findings: Findings, pictures: Optional[Path] = None
) -> List[Record]:
    """The pictures of the folder with their labels; ``shown`` is the path in messages.

    A picture without a label file counts as one without objects, as Ultralytics takes it.

    Raises:
        Defect: there are no labels, or nothing says what their classes are called.
    """
    _check_kind(path)
    names = yolo_names.found(path, shown, labels, findings)
    everywhere = Place(shown, labels, findings)
    listed = _listed(path, pictures, everywhere)
    present = [(name, file) for name, file in listed if file.is_file()]
    if not present:
        raise _nothing_found(path, listed)
    _refuse_shared(present, everywhere)
    records = everywhere.each(
        [(name, (name, file)) for name, file in listed],
        lambda picture, place: _record(*picture, names, place),
    )
    if not _is_list(path):  # The labels of other pictures are those of another list.
        _warn_of_unused([file for _, file in present], path, shown, findings)
    return records


def recognises(path: Path) -> bool:
    """Whether a file is a data.yaml, or the first label file of a folder has rows of numbers."""
    if path.is_file():
        return path.suffix.lower() in yolo_names.SUFFIXES and yolo_names.is_data_file(path)
    try:
        files = [file for file, _ in files_below(path, SUFFIX) if file.stem not in _NO_LABELS]
        rows = [row for file in files[:5] for row in _rows(file)]
        return bool(rows) and all(len(row) >= _BOX for row in rows) and bool(_numbers(rows[0]))
    except Defect:
        return False


def _is_list(path: Path) -> bool:
    """Whether a file lists pictures, as ``train.txt`` does."""
    return path.is_file() and path.suffix.lower() == SUFFIX


def _check_kind(path: Path) -> None:
    """Refuse what does not say which labels it means."""
    if not path.is_file():
        return
    if _is_list(path):
        if _looks_like_labels(path):
            raise Defect(
                "is the label file of one picture",
                "name the folder of labels, a data.yaml, or a list of pictures such as train.txt",
            )
    elif path.suffix.lower() not in yolo_names.SUFFIXES:
        raise Defect(
            "is neither a data.yaml, nor a folder of labels, nor a list of pictures", _HINT
        )
    else:
        yolo_names.refuse_lists(path)


def _listed(path: Path, pictures: Optional[Path], everywhere: Place) -> List[Tuple[str, Path]]:
    """Each picture's name and where its label file would be."""
    names = OwnNames(pictures).names
    if pictures is None or not names:
        raise Defect("the pictures folder has no pictures", "correct the path of the pictures")
    if path.is_dir():
        return [(name, (path / name).with_suffix(SUFFIX)) for name in names]
    root = yolo_names.source_root(path, everywhere.shown)
    if _is_list(path):
        lines = [(f"line {i + 1}", row) for i, row in enumerate(_lines(path)) if row.strip()]
        folder = PictureFolder(pictures)
        names = everywhere.each(lines, lambda line, _: folder.find(line.strip()).name)
        names = list(dict.fromkeys(names))
    return [(name, _by_convention(pictures / name, root)) for name in names]


def _by_convention(picture: Path, root: Path) -> Path:
    """Ultralytics: the last folder called images is called labels."""
    try:
        parts = list(picture.relative_to(root).parts)
    except ValueError:
        return picture.with_suffix(SUFFIX)
    folders = parts[:-1]
    if "images" in folders:
        parts[len(folders) - 1 - folders[::-1].index("images")] = "labels"
    return root.joinpath(*parts).with_suffix(SUFFIX)


def _nothing_found(path: Path, listed: Sequence[Tuple[str, Path]]) -> Defect:
    if not listed:
        return Defect("lists no picture that is in the pictures folder", "correct either path")
    name, file = listed[0]
    return Defect(
        f"none of the {len(listed)} pictures has a label file; {PurePosixPath(name).name} would "
        f"have {file.parent.name}/{file.name}",
        "labels of train/images are looked for in train/labels, or name the folder of labels"
        if path.is_file()
        else "name the folder that has the labels of these pictures",
    )


def _refuse_shared(present: Sequence[Tuple[str, Path]], everywhere: Place) -> None:
    """Refuse pictures of one name but for its suffix: their labels would be one file."""
    first: Dict[Path, str] = {}
    for name, file in present:
        other = first.setdefault(file, name)
        if other != name:
            with everywhere.inside(name).checked():
                raise Defect(
                    f'shares the label file {file.name} with "{other}", and which of the two was '
                    "labelled cannot be told",
                    "remove one of the two, or give it and its labels a name of their own",
                )


def _warn_of_unused(used: Sequence[Path], path: Path, shown: str, findings: Findings) -> None:
    """Warn of label files whose pictures are not in the folder of pictures."""
    folders = [path] if path.is_dir() else sorted({file.parent for file in used})
    known: Set[Path] = set(used)
    for folder in folders:
        for file, name in files_below(folder, SUFFIX):
            if file not in known and file.stem not in _NO_LABELS and _looks_like_labels(file):
                known.add(file)
                findings.warn(
                    "left out, as no picture has the name of this label file", f"{shown}, {name}"
                )


def _looks_like_labels(file: Path) -> bool:
    try:
        return not file.stem.lower().startswith("readme") and all(map(_numbers, _rows(file)))
    except Defect:
        return False


def _rows(file: Path) -> List[List[str]]:
    return [line.split() for line in _lines(file)]


def _lines(file: Path) -> List[str]:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise Defect(f"{file.name} cannot be read ({error.strerror})", _HINT) from error
    except UnicodeDecodeError as error:
        raise Defect(f"{file.name} is not text (byte {error.start})", _HINT) from error
    return text.splitlines()


def _numbers(row: Sequence[str]) -> List[float]:
    return [numeral(text, f"number {index + 1}") for index, text in enumerate(row)]


def _record(name: str, file: Path, classes: Names, place: Place) -> Record:
    if not file.is_file():
        place.warn("has no label file, so it is taken to show no object")
        return Record(name, ())
    rows = [(f"line {i + 1}", row) for i, row in enumerate(_rows(file)) if row]
    if len({len(row) > _BOX for _, row in rows}) > 1 and classes.keypoints is None:
        place.warn(
            "boxes and polygons in one label file were read as such (Ultralytics reads the boxes "
            "of such a file as two points)"
        )
    return Record(name, tuple(place.each(rows, lambda row, line: _region(row, classes, line))))


def _region(row: Sequence[str], classes: Names, place: Place) -> Optional[Region]:
    label = place.class_of(classes.of(row[0]))
    outline = geometry.snapped([_outline(row[1:], classes.keypoints, place)])
    return None if label is None else Region(place.where, label, outline, fractions=True)


def _outline(texts: Sequence[str], keypoints: Optional[int], place: Place) -> Outline:
    values = _numbers(texts)
    if keypoints is not None and len(values) == 4 + keypoints:
        place.warn("its keypoints were left out")
        values = values[:4]
    if len(values) == 5:
        raise Defect(
            "the row has 6 numbers, as a prediction with its score has",
            "leave out the scores (save_conf) if these are the right labels",
        )
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise Defect(
            f"the row has {len(values) + 1} numbers, neither a box's 5 nor a polygon's", _HINT
        )
    if any(not -1 <= value <= 2 for value in values):
        raise Defect(
            f"the row has {max(values, key=abs):g}, which is no fraction of the picture",
            "write coordinates as fractions from 0 to 1, not as pixels",
        )
    if len(values) != 4:
        return geometry.polygon(values[0::2], values[1::2])
    return _box(*values)


def _box(cx: float, cy: float, width: float, height: float) -> Outline:
    if width < 0 or height < 0:
        raise Defect(f"its box is {width:g} wide and {height:g} high", "draw the object again")
    left, right = cx - width / 2, cx + width / 2
    top, bottom = cy - height / 2, cy + height / 2
    return ((left, top), (right, top), (right, bottom), (left, bottom))
