from pathlib import Path

import pytest
from labelled import coco, save

from mmdet_jetson.stages.annotations.foreign import foreign_format, refusal

FILES: dict[str, tuple[object, str]] = {
    "a.csv": (
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,9,9,kite,1,1,4,4\n",
        "a TensorFlow Object Detection CSV",
    ),
    "via.csv": (
        "#filename,file_size,file_attributes,region_count,region_id,region_shape_attributes\n",
        "a VIA export as CSV",
    ),
    "open.csv": ("ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax", "an Open Images CSV"),
    "some.csv": ("a,b,c,d\n1,2,3,4\n", "a CSV file"),
    "labelbox.ndjson": ('{"data_row":{"id":"a"},"projects":{}}\n{}', "a Labelbox export (NDJSON)"),
    "labelbox.json": ([{"ID": "a", "Labeled Data": "x"}], "a Labelbox export"),
    "manifest": ('{"source-ref":"s3://a","bounding-box":{}}\n', "an Amazon SageMaker manifest"),
    "train.record": ("", "a TFRecord file"),
    "train.tfrecord-00000-of-00001": ("", "a TFRecord file"),
    "results.json": (
        [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}],
        "a COCO results file (detections, no annotations)",
    ),
    "panoptic.json": (
        coco(annotations=[{"segments_info": [], "file_name": "a.png"}]), "a COCO panoptic file",
    ),
    "captions.json": (coco(annotations=[{"caption": "a kite"}]), "a COCO captions file"),
    "createml.json": (
        [{"image": "a.png", "annotations": [{"label": "kite", "coordinates": {}}]}],
        "a Create ML file",
    ),
    "supervisely.json": ({"size": {}, "tags": [], "objects": []}, "a Supervisely file"),
    "vott.json": ({"assets": {}, "name": "p"}, "a VoTT file"),
    "darwin.json": ({"version": "2.0", "item": {}, "annotations": []}, "a V7 Darwin file"),
    "bdd.json": ([{"name": "a", "labels": [{"box2d": {}}]}], "a BDD100K or Scalabel file"),
    "lvis.json": (coco(categories=[{"id": 1, "synset": "kite.n.01"}]), "an LVIS file"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_a_format_that_is_not_read_is_named(tmp_path: Path, name: str) -> None:
    content, called = FILES[name]
    save(tmp_path / name, content)
    assert foreign_format(tmp_path / name) == called
    defect = refusal(tmp_path / name)
    assert defect is not None
    assert defect.what == f"is {called}, which is not read"


@pytest.mark.parametrize("content", [coco(), [], {}, "", "{", "<annotation/>", [1], "a"])
def test_others_are_not(tmp_path: Path, content: object) -> None:
    save(tmp_path / "file", content)
    assert foreign_format(tmp_path / "file") is None
    assert refusal(tmp_path / "absent") is None


def test_folders_are_named_too(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    assert foreign_format(tmp_path) is None
    (tmp_path / "train/a.tfrecord").touch()
    assert foreign_format(tmp_path) == "a folder of TFRecord files"
