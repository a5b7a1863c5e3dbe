"""The lists of a COCO file whose items are found by their ids, however exporters wrote these."""

import re
from typing import Dict, List, Mapping, Optional, Sequence, Set, Union

from mmdet_jetson.stages.annotations.findings import Defect, Findings

EXPORT_HINT = "export the annotations in COCO's instances format"

Id = Union[int, float, str]
Item = Mapping[str, object]

_PLAIN = (int, str)  # and no bool
_WHOLE = re.compile(r"\s*(-?\d{1,18})(\.0*)?\s*")
_MIXED = (
    "is text in one place and a number in another, and was matched by its value (pycocotools and "
    "MMDetection would not match it)"
)
_AGAIN = "is listed again word for word, and counted once"


class Section:
    """The items of ``images`` or ``categories`` by their ids.

    An id that is written in two ways, such as 1, 1.0 and "1", is found by its value where that is
    the value of one item only.
    """

    def __init__(self, name: str, items: List[object], shown: str, findings: Findings) -> None:
        self.items: Dict[Id, Item] = {}
        self._values: Dict[Id, List[Id]] = {}
        self._findings = findings
        for index, item in enumerate(items):
            with findings.at(f"{shown}, {name}[{index}]"):
                self._add(item, f"{shown}, {name}[{index}]")

    def _add(self, item: object, where: str) -> None:
        identifier = id_of(item.get("id")) if isinstance(item, dict) else None
        if not isinstance(item, dict) or identifier is None:
            raise Defect("has no id", EXPORT_HINT)
        if identifier not in self.items:
            alike = self._values.setdefault(_value(identifier), [])
            if any(isinstance(other, str) != isinstance(identifier, str) for other in alike):
                what = f"has the id {_shown(identifier)}, and another has {_shown(alike[0])}"
                raise Defect(what, "which one an annotation means cannot be told; " + EXPORT_HINT)
            alike.append(identifier)
            self.items[identifier] = item
        elif self.items[identifier] == item:
            self._findings.warn(_AGAIN, where)
        else:
            raise Defect(f"has the id {identifier} again", EXPORT_HINT)

    def get(self, raw: object) -> Item:
        """The item of an id, an empty one where there is none or where it cannot be told."""
        identifier = self._match(raw)
        return {} if identifier is None else self.items[identifier]

    def find(self, item: Item, key: str, where: str) -> Id:
        """The id, as this section has it, that an annotation at ``where`` names under a key.

        Raises:
            Defect: there is no such item, or several might be meant.
        """
        raw = item.get(key)
        identifier = self._match(raw)
        if identifier is None:
            several = self._alike(raw)
            what = f"its {key} {_shown(raw)} does not exist"
            if len(several) > 1:
                what = f"its {key} {_shown(raw)} may be {' or '.join(map(_shown, several))}"
            raise Defect(what, "remove it or correct the id")
        if isinstance(identifier, str) != isinstance(raw, str):
            self._findings.warn(f"its {key} {_MIXED}", where)
        return identifier

    @property
    def have_own_names(self) -> bool:
        """Whether no two items have one name."""
        return len({str(each.get("name")) for each in self.items.values()}) == len(self.items)

    def _match(self, raw: object) -> Optional[Id]:
        identifier = id_of(raw)
        if identifier in self.items:
            return identifier
        alike = self._alike(raw)
        return alike[0] if len(alike) == 1 else None

    def _alike(self, raw: object) -> List[Id]:
        identifier = id_of(raw)
        return [] if identifier is None else self._values.get(_value(identifier), [])


def by_picture(annotations: Sequence[object], images: Section) -> Dict[Id, Dict[int, Item]]:
    """The annotations of each picture that has any, by their places in the file.

    There are none where an id is missing, repeated or of another type: something may have to be
    said of an annotation then because of another picture's.
    """
    found: Dict[Id, Dict[int, Item]] = {}
    ids: Set[int] = set()
    for index, raw in enumerate(annotations):
        if not isinstance(raw, dict):
            return {}
        own, image = raw.get("id"), raw.get("image_id")
        if type(own) is not int or type(image) not in _PLAIN or image not in images.items:
            return {}
        ids.add(own)
        found.setdefault(image, {})[index] = raw
    return found if len(ids) == len(annotations) else {}


def id_of(raw: object) -> Optional[Id]:
    """An id, None where this is nothing that could be one; a whole float is the integer."""
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)) or raw in ("", None):
        return None
    if isinstance(raw, float):
        return int(raw) if raw.is_integer() else raw
    return raw


def _value(identifier: Id) -> Id:
    """What two ways to write one id have in common."""
    whole = _WHOLE.fullmatch(identifier) if isinstance(identifier, str) else None
    return int(whole.group(1)) if whole else identifier


def _shown(raw: object) -> str:
    text = f'the text "{raw}"' if isinstance(raw, str) else str(raw)
    return text if len(text) <= 60 else text[:57] + "..."
