import numpy as np
import pytest

from mmdet_jetson.stages.inference.detector import FusedDetector
from mmdet_jetson.stages.inference.feeding import Feeding
from mmdet_jetson.stages.inference.network import Arrays
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(
    input_size=(64, 64),
    keep_ratio=True,
    pad_value=(114.0, 114.0, 114.0),
    mean=(1.0, 2.0, 3.0),
    std=(2.0, 2.0, 2.0),
    to_rgb=False,
)
DETS = np.array([[[8, 8, 24, 24, 0.9], [1, 2, 3, 4, 0.5], [0, 0, 0, 0, 0]]], np.float32)
LABELS = np.array([[1, 0, -1]], np.int32)
PICTURE = np.full((48, 96, 3), 50, np.uint8)


class Network:
    """Remembers what it was fed."""

    def __init__(self, nms: tuple[int, int, int] = (2, 2, 0)) -> None:
        self.nms = np.array([nms], np.int32)
        self.fed: Arrays = ()

    def __call__(self, *inputs: np.ndarray) -> Arrays:
        self.fed = inputs
        return DETS, LABELS, self.nms


def detector(network: Network, mode: str = "letterboxed", batch: int = 1) -> FusedDetector:
    feeding = Feeding(PREPROCESSING, mode, batch)
    return FusedDetector(("a", "b"), feeding, network, None, keep=3, candidates=10)


def test_boxes_are_taken_as_they_are_and_filling_rows_dropped() -> None:
    found = detector(Network()).detect(PICTURE)

    assert [(each.box, each.label) for each in found] == [((8, 8, 24, 24), 1), ((1, 2, 3, 4), 0)]
    assert [each.score for each in found] == pytest.approx([0.9, 0.5])


def test_an_image_is_fed_as_it_is() -> None:
    network = Network()

    detector(network, "image").detect(PICTURE)

    (picture,) = network.fed
    assert np.array_equal(picture, PICTURE[None])


@pytest.mark.parametrize("batch", [1, 3])
def test_a_letterboxed_picture_comes_with_its_mapping(batch: int) -> None:
    network = Network()

    detector(network, batch=batch).detect(PICTURE)

    picture, mapping = network.fed
    assert picture.dtype == np.uint8
    assert picture.shape == (batch, 64, 64, 3)
    assert (picture[:, :32] == 50).all()
    assert (picture[:, 32:] == 114).all()
    assert mapping.dtype == np.float32
    assert mapping.tolist() == [[1.5, 1.5, 96, 48]] * batch


def test_a_tensor_is_normalised_first() -> None:
    network = Network()

    detector(network, "tensor").detect(PICTURE)

    values, mapping = network.fed
    assert values.dtype == np.float32
    assert values.shape == (1, 3, 64, 64)
    assert values[0, :, 0, 0].tolist() == [24.5, 24, 23.5]
    assert mapping.shape == (1, 4)


@pytest.mark.parametrize(
    ("nms", "complete"),
    [
        ((10, 2, 0), True),  # every candidate took part
        ((11, 2, 0), False),  # there were more, and rows are left for them
        ((11, 3, 0), True),  # there were more, but all rows are taken
        ((2, 2, 1), False),  # one might still have changed
    ],
)
def test_it_tells_when_detections_may_be_missing(nms: tuple[int, int, int], complete: bool) -> None:
    fused = detector(Network(nms))

    assert fused.is_complete(fused.outputs(PICTURE)) is complete
