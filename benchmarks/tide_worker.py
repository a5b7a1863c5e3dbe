"""What tidecv says of splits and detections: read as JSON from stdin, written as JSON to stdout.

It runs in a Python of its own: pip install tidecv numpy pycocotools opencv-python-headless.
"""

import json
import sys
from typing import Any

from tidecv import TIDE
from tidecv.data import Data
from tidecv.errors.main_errors import FalsePositiveError

Content = dict[str, Any]
Found = list[dict[str, Any]]


def main() -> None:
    """Answer for all pairs of a split and its detections."""
    print(json.dumps([judged(*pair) for pair in json.load(sys.stdin)]))


def judged(content: Content, predictions: Found) -> "dict[str, list[float]]":
    """AP50 and what each error costs, as tidecv averages it and over classes with objects alone."""
    run = TIDE().evaluate(truth_of(content), found_of(predictions), mode=TIDE.BOX)
    special = run.fix_special_errors().values()
    plain = [run.ap, *run.fix_main_errors().values(), *special]
    objects = [each for each in content["annotations"] if not each.get("iscrowd")]
    own = {each["category_id"] for each in objects}

    def mean(points: Any) -> float:
        values = [points.objs[each].get_ap() for each in own if not points.objs[each].is_empty()]
        return sum(values) / len(values) if values else 0.0

    before = mean(run.ap_data)
    mended = [
        mean(run.fix_errors(lambda error, kind=kind: isinstance(error, kind)))
        for kind in TIDE._error_types
    ]
    alarms = mean(run.fix_errors(transform=FalsePositiveError.fix))
    misses = mean(run.fix_errors(false_neg_dict=run.false_negatives))
    ours = [before, *(max(each - before, 0) for each in mended), alarms - before, misses - before]
    return {"plain": plain, "classes with objects": ours}


def truth_of(content: Content) -> Data:
    """Crowds are what tidecv calls regions to ignore."""
    data = Data("truth", max_dets=100)
    for image in content["images"]:
        data.add_image(image["id"], image["file_name"])
    for category in content["categories"]:
        data.add_class(category["id"], category["name"])
    for each in content["annotations"]:
        add = data.add_ignore_region if each.get("iscrowd") else data.add_ground_truth
        add(each["image_id"], each["category_id"], each["bbox"], None)
    return data


def found_of(predictions: Found) -> Data:
    """Detections as they stand in predictions.json."""
    data = Data("found")
    for each in predictions:
        data.add_detection(each["image_id"], each["category_id"], each["score"], each["bbox"], None)
    return data


if __name__ == "__main__":
    main()
