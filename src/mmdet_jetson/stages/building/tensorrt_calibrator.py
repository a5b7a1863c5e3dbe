"""INT8 calibration by TensorRT before 10.1: it asks for pictures and keeps what it learns."""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, List, Optional, Sequence

import onnx

from mmdet_jetson.stages.building.quantization import feeds
from mmdet_jetson.stages.building.request import BuildRequest
from mmdet_jetson.stages.inference.cuda import open_cuda

if TYPE_CHECKING:
    import tensorrt


def calibrator(
    trt: ModuleType, request: BuildRequest, model: onnx.ModelProto, cache: Path
) -> "tensorrt.IInt8EntropyCalibrator2":
    """Give the calibrator for a request; it writes what it learns to ``cache``."""
    cuda = open_cuda()
    inputs = feeds(request, model, same_size=True)

    class Pictures(trt.IInt8EntropyCalibrator2):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)
            self.addresses: List[int] = []

        def get_batch_size(self) -> int:
            return request.graph.batch

        def get_batch(self, names: Sequence[str]) -> Optional[List[int]]:
            values = next(inputs, None)
            if values is None:
                return None
            with cuda.active():
                if not self.addresses:
                    self.addresses = [cuda.allocate(values[name].nbytes) for name in names]
                for name, address in zip(names, self.addresses):
                    cuda.upload(address, values[name])
                cuda.synchronize()
            return self.addresses

        def read_calibration_cache(self) -> None:
            """Learn anew: the pictures may have changed."""

        def write_calibration_cache(self, learnt: bytes) -> None:
            cache.write_bytes(bytes(learnt))

    return Pictures()
