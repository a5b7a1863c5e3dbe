"""The pictures that went worst, and what happened on each: a gallery and a table that are linked.

The table's rows are in the page as JSON, from which the page's script shows those that are looked
for; without a script there are the first rows, and those of the gallery.
"""

import json
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from markupsafe import Markup

from mmdet_jetson.contract.analysis import WORST, WORST_KINDS, PictureResult
from mmdet_jetson.stages.reporting.album import Album
from mmdet_jetson.stages.reporting.analysed import Analysed
from mmdet_jetson.stages.reporting.page_text import count

DRAWING_WIDTH = 800
ROWS_SHOWN = 50
MOST_ROWS = 20_000
"""Of more pictures than that, those that cost least are left to ``analysis.json``."""
HEADINGS = {
    "false alarms": "False alarms: detections without an object of their own",
    "misses": "Misses: objects that were not found",
    "wrong class": "Found, and taken for another class",
}


@dataclass(frozen=True)
class Drawing:
    """A picture of the gallery; ``row`` is its place in the table, None where it is not there."""

    number: int
    kind: str
    name: str
    uri: Optional[str]
    row: Optional[int]
    result: Optional[PictureResult]
    types: Mapping[str, int]

    @property
    def told(self) -> str:
        """What happened on it, without what did not."""
        if self.result is None:
            return ""
        types = ", ".join(f"{number} {name}" for name, number in self.types.items())
        counted = (
            (self.result.false_alarms, "false alarm", "false alarms", types),
            (self.result.misses, "miss", "misses", ""),
            (self.result.wrong_class, "of a wrong class", "of a wrong class", ""),
        )
        wrong = [
            count(number, noun, nouns) + (f" ({which})" if which else "")
            for number, noun, nouns, which in counted
            if number
        ]
        return ", ".join([f"{self.result.right} of {self.result.objects} right", *wrong])


TYPES = {
    "class": "of another class than an object that was found already",
    "localisation": "the box meets its object badly",
    "both": "the box meets an object badly, and of another class",
    "duplicate": "of an object that was found already",
    "background": "where nothing is",
}
"""What false alarms are, by the type that TIDE gives them."""

Gallery = Tuple[str, str, Tuple[Drawing, ...], Tuple[Drawing, ...]]


@dataclass(frozen=True)
class Row:
    """A row of the table; ``place`` is where it stands in the usual order."""

    place: int
    result: PictureResult
    drawings: Tuple[Drawing, ...]


@dataclass(frozen=True)
class PicturesSection:
    """``shown`` are the rows that are there without a script; ``data`` has all, as JSON."""

    main: Analysed
    galleries: Tuple[Gallery, ...]
    left_out: int
    shown: Tuple[Row, ...]
    total: int
    known: int
    data: Markup


def pictures_section(main: Analysed, album: Album) -> PicturesSection:
    """Shape the section: rows by what they cost, the most first."""
    ranked = sorted(main.analysis.pictures, key=lambda each: (-each.lost, each.name))
    kept = ranked[:MOST_ROWS]
    left_out = album.left_out
    drawings = _drawings(main, album, {each.name: place for place, each in enumerate(kept)}, ranked)
    rows = _rows(kept, drawings)
    return PicturesSection(
        main=main,
        galleries=_galleries(drawings),
        left_out=album.left_out - left_out,
        shown=tuple(row for row in rows if row.place < ROWS_SHOWN or row.drawings),
        total=len(ranked),
        known=len(kept),
        data=json_data({"size": ROWS_SHOWN, "rows": [_told(row) for row in rows]}),
    )


def json_data(content: object) -> Markup:
    """JSON that can stand in an element ``script``, whatever is in it, and read as no markup."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)  # noqa: S704 - nothing in it can end the element


def _drawings(
    main: Analysed, album: Album, places: Mapping[str, int], results: Sequence[PictureResult]
) -> List[Drawing]:
    """What is drawn, by kind; a drawing that is there already has its number and no picture."""
    known = {each.name: each for each in results}
    numbers: Dict[str, int] = {}
    found = []
    for each in sorted(main.analysis.worst, key=lambda each: WORST_KINDS.index(each.kind)):
        # By its last part alone: a record names no file outside of the folder.
        file = each.file.replace("\\", "/").rpartition("/")[2]
        uri = None if file in numbers else album.uri(main.folder / WORST / file, DRAWING_WIDTH)
        if uri or file in numbers:
            number = numbers.setdefault(file, len(numbers) + 1)
            row, result = places.get(each.name), known.get(each.name)
            found.append(Drawing(number, each.kind, each.name, uri, row, result, each.false_alarms))
    return found


def _galleries(drawings: Sequence[Drawing]) -> Tuple[Gallery, ...]:
    """By kind: heading, a sentence or "", pictures, and those drawn in another gallery already."""
    galleries = []
    for kind in WORST_KINDS:
        found = [each for each in drawings if each.kind == kind]
        new = tuple(each for each in found if each.uri)
        again = tuple(each for each in found if not each.uri)
        if found:
            told = _types_told(found) if kind == WORST_KINDS[0] else ""
            galleries.append((HEADINGS[kind], told, new, again))
    return tuple(galleries)


def _types_told(drawings: Sequence[Drawing]) -> str:
    """Say how many of the false alarms are of which type; nothing of an older evaluation."""
    totals = {name: sum(each.types.get(name, 0) for each in drawings) for name in TYPES}
    there = [(name, number) for name, number in totals.items() if number]
    if not there:
        return ""
    listed = "; ".join(f"{number} {name} ({TYPES[name]})" for name, number in there)
    return f"On these pictures, by TIDE's types: {listed}."


def _rows(results: Sequence[PictureResult], drawings: Sequence[Drawing]) -> List[Row]:
    of_picture: Dict[str, List[Drawing]] = {}
    for each in drawings:
        of_picture.setdefault(each.name, []).append(each)
    return [
        Row(place, result, tuple(of_picture.get(result.name, ())))
        for place, result in enumerate(results)
    ]


def _told(row: Row) -> List[object]:
    """What the script reads: the name, the numbers in the table's order, numbers of drawings."""
    result = row.result
    numbers = (
        result.objects,
        result.right,
        result.false_alarms,
        result.misses,
        result.wrong_class,
    )
    drawn = [[each.number, each.kind] for each in row.drawings]
    return [result.name, *numbers, round(result.lost, 6), drawn]
