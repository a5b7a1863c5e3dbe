import pytest

from mmdet_jetson.stages.evaluation.evaluation import drawn_name


@pytest.mark.parametrize(
    ("file_name", "drawn"),
    [
        ("a.jpg", "a.jpg"),
        ("a.png", "a.png.jpg"),
        ("monday/a.jpg", "monday%2Fa.jpg"),
        ("monday_a.jpg", "monday_a.jpg"),
    ],
)
def test_every_picture_has_a_drawing_of_its_own(file_name: str, drawn: str) -> None:
    assert drawn_name(file_name) == drawn
