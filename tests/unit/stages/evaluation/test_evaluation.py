from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdet_jetson.contract.parameters.evaluate import DrawingParameters
from mmdet_jetson.stages.annotations.coco_file import CocoImage
from mmdet_jetson.stages.evaluation.evaluation import Validation, drawn_name, write_pictures


@pytest.mark.parametrize(
    ("file_name", "drawn"),
    [
        ("a.jpg", "a.jpg"),
        ("a.png", "a.png.jpg"),
        ("monday/a.jpg", "monday%2Fa.jpg"),
        ("monday_a.jpg", "monday_a.jpg"),
        ("monday%2Fa.jpg", "monday%252Fa.jpg"),
    ],
)
def test_every_picture_has_a_drawing_of_its_own(file_name: str, drawn: str) -> None:
    assert drawn_name(file_name, {file_name}) == drawn


DEEP = "/".join(["a_folder_of_a_camera"] * 13)


@pytest.mark.parametrize(
    "names",
    [
        ["a", "a.jpg"],
        ["a", "a.jpg", "a.jpg.jpg", "a%.jpg", "a%"],
        ["a.png", "a.png.jpg"],
        ["x/a", "x/a.jpg", "y/a.jpg", "x%2Fa.jpg"],
        ["é" * 127, f"{DEEP}/1.jpg", f"{DEEP}/2.jpg"],
    ],
    ids=["no-suffix", "many", "another-suffix", "folders", "long"],
)
def test_no_drawing_replaces_another(tmp_path: Path, names: list[str]) -> None:
    """Drawn all at once or only the first of them: a picture's drawing has the same name."""
    pixels = {}
    for shade, name in enumerate(names):
        path = tmp_path / "val" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels[name] = np.full((16, 16, 3), 40 * shade, np.uint8)
        path.write_bytes(cv2.imencode(".jpg", pixels[name])[1].tobytes())
    images: list[CocoImage] = [
        {"id": number, "file_name": name, "width": 16, "height": 16}
        for number, name in enumerate(names)
    ]
    nothing = dict.fromkeys(range(len(names)), ())
    validation = Validation(tmp_path / "val", tuple(images), ("mug",), nothing)
    for count in (1, len(names)):
        drawing = DrawingParameters(count, draw_threshold=0.3)
        write_pictures(tmp_path, validation, nothing, drawing, "output.jpg")

    assert len(list((tmp_path / "pictures").iterdir())) == len(names)
    for name in names:
        drawn = cv2.imread(str(tmp_path / "pictures" / drawn_name(name, set(names))))
        assert drawn is not None
        assert np.abs(drawn[:8].astype(int) - pixels[name][:8]).max() < 3, name
