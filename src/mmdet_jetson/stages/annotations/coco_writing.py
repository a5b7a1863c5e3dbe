"""Write the annotations of a split as a COCO file."""

import json
from typing import List, Sequence

from mmdet_jetson.stages.annotations.coco_file import CocoCategory, CocoImage
from mmdet_jetson.stages.annotations.records import Example


def to_coco(examples: Sequence[Example], classes: Sequence[str]) -> str:
    """A split in COCO's instances format; ids count from 1, those of classes in their order."""
    category_ids = {name: index for index, name in enumerate(classes, 1)}
    annotations: List[str] = []
    for image_id, example in enumerate(examples, 1):
        for label, extent, crowd in example.annotations:
            ids = f'"id": {len(annotations) + 1}, "image_id": {image_id}, '
            kind = f'"category_id": {category_ids[label]}, '
            annotations.append(f'{{{ids}{kind}{extent.text}, "iscrowd": {int(crowd)}}}')
    images: List[CocoImage] = [
        {"id": index, "file_name": example.name, "width": example.width, "height": example.height}
        for index, example in enumerate(examples, 1)
    ]
    categories: List[CocoCategory] = [
        {"id": index, "name": name} for name, index in category_ids.items()
    ]
    # pycocotools' print of a file's origin fails where "info" is absent.
    return (
        f'{{"info": {{}}, "images": {json.dumps(images)}, '
        f'"annotations": [{", ".join(annotations)}], "categories": {json.dumps(categories)}}}'
    )
