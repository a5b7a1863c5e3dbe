"""Write the annotations of a split as a COCO file."""

from typing import List, Sequence

from mmdet_jetson.stages.annotations.coco_file import (
    CocoAnnotation,
    CocoCategory,
    CocoFile,
    CocoImage,
)
from mmdet_jetson.stages.annotations.records import Example


def to_coco(examples: Sequence[Example], classes: Sequence[str]) -> CocoFile:
    """A split as COCO's instances format; ids count from 1, those of classes in their order."""
    category_ids = {name: index for index, name in enumerate(classes, 1)}
    annotations: List[CocoAnnotation] = []
    for image_id, example in enumerate(examples, 1):
        for annotation in example.annotations:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category_ids[annotation.label],
                    "bbox": list(annotation.extent.box),
                    "area": annotation.extent.area,
                    "segmentation": annotation.extent.segmentation,
                    "iscrowd": int(annotation.crowd),
                }
            )
    images: List[CocoImage] = [
        {"id": index, "file_name": example.name, "width": example.width, "height": example.height}
        for index, example in enumerate(examples, 1)
    ]
    categories: List[CocoCategory] = [
        {"id": index, "name": name} for name, index in category_ids.items()
    ]
    # pycocotools' print of a file's origin fails where "info" is absent.
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}
