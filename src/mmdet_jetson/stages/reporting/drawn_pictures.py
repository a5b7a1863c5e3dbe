"""Pictures as each subject detects on them, side by side."""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence, Tuple

from mmdet_jetson.stages.reporting.album import Album
from mmdet_jetson.stages.reporting.subjects import Subject


@dataclass(frozen=True)
class Cell:
    """What one subject detects on a picture, as a data URI; None where it was not drawn."""

    title: str
    uri: Optional[str]


@dataclass(frozen=True)
class PictureRow:
    """One picture, as each subject detects on it."""

    caption: str
    cells: Tuple[Cell, ...]


@dataclass(frozen=True)
class DrawnPictures:
    """The rows, and how many drawings had no room on the page."""

    rows: Tuple[PictureRow, ...]
    left_out: int


def drawn_pictures(subjects: Sequence[Subject], album: Album) -> DrawnPictures:
    """Rows of pictures, one column a subject; the ``output`` pair only where no row repeats it."""
    titles = [subject.title for subject in subjects if subject.evaluation]
    folders = [subject.evaluation for subject in subjects if subject.evaluation]
    names = sorted({path.name for folder in folders for path in folder.glob("pictures/*.jpg")})
    before = album.left_out
    rows = [
        _row(Path(name).stem, titles, [folder / "pictures" / name for folder in folders], album)
        for name in names
    ]
    outputs = [next(iter(sorted(folder.glob("output_*.jpg"))), None) for folder in folders]
    first = _row("First picture", titles, outputs, album)
    if all(row.cells != first.cells for row in rows):
        rows.insert(0, first)
    shown = tuple(row for row in rows if any(cell.uri for cell in row.cells))
    return DrawnPictures(shown, album.left_out - before)


def _row(
    caption: str, titles: Sequence[str], paths: Sequence[Optional[Path]], album: Album
) -> PictureRow:
    cells = (Cell(title, album.uri(path)) for title, path in zip(titles, paths))
    return PictureRow(caption, tuple(cells))
