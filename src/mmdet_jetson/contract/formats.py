"""The annotation formats: a line each, and a module of that name that reads files of it."""

from typing import Mapping

# A format's name in [dataset], and what it is called in sentences. `drawn` pictures have no source.
FORMATS: Mapping[str, str] = {
    "via": "VIA",  # VGG Image Annotator, 1.x and 2.x
    "coco": "COCO",
    "yolo": "YOLO",  # of Ultralytics and Darknet: a text file a picture
    "voc": "Pascal VOC",  # an XML file a picture
    "labelme": "labelme",  # a JSON file a picture
    "label_studio": "Label Studio",  # its JSON and JSON-MIN
    "cvat": "CVAT",  # its XML, for images and for video
    "datumaro": "Datumaro",
}
DRAWN = "drawn"

REFUSE, IGNORE = "refuse", "ignore"
"""What becomes of an object whose class is none of the dataset's."""
