import numpy as np
import pytest

from mmdet_jetson.stages.inference.detector import Feeding, FusedDetector
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(
    input_size=(64, 64),
    keep_ratio=True,
    pad_value=(114.0,) * 3,
    mean=(1.0, 2.0, 3.0),
    std=(2.0, 2.0, 2.0),
    to_rgb=False,
)
DETS = np.array([[[8, 8, 24, 24, 0.9], [1, 2, 3, 4, 0.5], [0, 0, 0, 0, 0]]], np.float32)
LABELS = np.array([[1, 0, -1]], np.int32)
PICTURE = np.full((48, 96, 3), 50, np.uint8)


class Network:
    """Remembers what it was fed."""

    def __init__(self, nms=(2, 2, 0)):
        self.nms, self.fed = np.array([nms], np.int32), None

    def __call__(self, *inputs):
        self.fed = inputs
        return DETS, LABELS, self.nms


def detector(network, mode="letterboxed", batch=1):
    fed = Feeding(mode, batch)
    return FusedDetector(("a", "b"), PREPROCESSING, network, {}, fed, keep=3, candidates=10)


def test_boxes_are_taken_as_they_are_and_filling_rows_dropped():
    found = detector(Network()).detect(PICTURE)

    assert [(each.box, each.label) for each in found] == [((8, 8, 24, 24), 1), ((1, 2, 3, 4), 0)]
    assert [each.score for each in found] == pytest.approx([0.9, 0.5])


def test_an_image_is_fed_as_it_is():
    network = Network()

    detector(network, "image").detect(PICTURE)

    (picture,) = network.fed
    assert np.array_equal(picture, PICTURE[None])


@pytest.mark.parametrize("batch", [1, 3])
def test_a_letterboxed_picture_comes_with_its_mapping(batch):
    network = Network()

    detector(network, batch=batch).detect(PICTURE)

    picture, mapping = network.fed
    assert (picture.dtype, picture.shape) == (np.uint8, (batch, 64, 64, 3))
    assert (picture[:, :32] == 50).all()
    assert (picture[:, 32:] == 114).all()
    assert mapping.dtype == np.float32
    assert mapping.tolist() == [[1.5, 1.5, 96, 48]] * batch


def test_a_tensor_is_normalised_first():
    network = Network()

    detector(network, "tensor").detect(PICTURE)

    values, mapping = network.fed
    assert (values.dtype, values.shape) == (np.float32, (1, 3, 64, 64))
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
def test_it_tells_when_detections_may_be_missing(nms, complete):
    fused = detector(Network(nms))

    assert fused.is_complete(fused.outputs(PICTURE)) is complete
