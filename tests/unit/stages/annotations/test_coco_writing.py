from pathlib import Path

from labelled import HEIGHT, WIDTH
from pycocotools.coco import COCO

from mmdet_jetson.stages.annotations.coco_writing import to_coco
from mmdet_jetson.stages.annotations.findings import Findings
from mmdet_jetson.stages.annotations.formats.coco import read
from mmdet_jetson.stages.annotations.geometry import place
from mmdet_jetson.stages.annotations.records import Annotation, Example, Labels

CLASSES = ("balloon", "kite")


def test_written_file_is_read_by_pycocotools_and_by_ourselves(tmp_path: Path) -> None:
    extent = place([((4, 6), (14, 6), (14, 14))], WIDTH, HEIGHT).extent
    example = Example(
        "sub/a.png", tmp_path, WIDTH, HEIGHT, "", False, (Annotation("kite", extent, True),)
    )
    path = tmp_path / "coco.json"
    path.write_text(to_coco([example], CLASSES))
    official = COCO(path)
    official.info()
    assert official.loadCats(official.getCatIds()) == [
        {"id": 1, "name": "balloon"},
        {"id": 2, "name": "kite"},
    ]
    (annotation,) = official.loadAnns(official.getAnnIds())
    assert (annotation["bbox"], annotation["area"]) == ([4, 6, 10, 8], 40)
    records = read(path, "coco.json", Labels(CLASSES, "label", None), Findings())
    (region,) = records[0].regions
    assert (records[0].name, records[0].size) == ("sub/a.png", (WIDTH, HEIGHT))
    assert (region.label, region.crowd) == ("kite", True)
    assert region.outlines == (((4, 6), (14, 6), (14, 14)),)
