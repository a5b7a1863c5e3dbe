"""Which layers of a real parser's network are bound to FP32, where flags allow less everywhere."""

import json
import platform
from pathlib import Path

import pytest
from test_rtx import FAMILIES, python

from mmdet_jetson.processes import output_of

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="TensorRT for RTX exists for x86-64 only"
)


def test_no_layer_with_floats_outside_the_network_is_free(tmp_path: Path) -> None:
    here = Path(__file__).parent
    export, family = str(here / "export_untrained.py"), FAMILIES["rtmdet-tiny"]
    output_of([python("train"), export, family, str(tmp_path / "onnx"), "image"])

    script = str(here / "list_free_layers.py")
    said = output_of([python("deploy-rtx"), script, str(tmp_path / "onnx/end2end.onnx")])
    layers = json.loads(said)

    assert layers["free"] == []
    assert layers["lost"] == []  # each node of the network is a layer of that name
    assert any(name.startswith("nms/TopK") for name in layers["bound"])
    assert any(name.startswith("nms/Greater") for name in layers["bound"])
