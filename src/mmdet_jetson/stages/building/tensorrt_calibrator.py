"""INT8 calibration by TensorRT before 10.0: it asks for pictures and keeps what it learns.

It runs the network on them, as it is. Of one with an 8-bit input that is documented nowhere, so
such a network has a twin that takes the same numbers as floats. Its tensors have the same names,
and by these the cache that calibration leaves says how large each gets.
"""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from mmdet_jetson.stages.building.compiler import Compiler
from mmdet_jetson.stages.building.operators import custom_operators
from mmdet_jetson.stages.building.quantization import check_pictures, feeds
from mmdet_jetson.stages.building.request import BuildRequest
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.cuda import open_cuda

if TYPE_CHECKING:
    import tensorrt

CACHE = "calibration.cache"


def calibrated(
    compiler: Compiler, request: BuildRequest, model: onnx.ModelProto
) -> "tensorrt.IInt8EntropyCalibrator2":
    """Give the calibrator for the builder of ``model``; what is learnt is kept in the folder.

    Raises:
        StageError: there are no pictures, or the graph computes something infinite or NaN of one.
    """
    check_pictures(request)
    twin = floating(model, request)
    if not custom_operators(request.onnx):  # ONNX Runtime has no library of these
        check_finite(twin, feeds(request, twin, same_size=True))
    trt, cache = compiler.trt, request.folder / CACHE
    if not has_8_bit_input(model):
        return pictures_for(trt, request, twin, cache)
    # What this one builds is of no use but for the cache.
    learning = Compiler(trt, compiler.flags, compiler.log, compiler.logger)
    learning.parse(twin)
    learning.config.set_memory_pool_limit(
        trt.MemoryPoolType.WORKSPACE, request.settings.workspace << 20
    )
    learning.config.set_flag(trt.BuilderFlag.INT8)
    learning.config.int8_calibrator = pictures_for(trt, request, twin, cache)
    learning.compile()
    return learnt_from(trt, cache, request.graph.batch)


def has_8_bit_input(model: onnx.ModelProto) -> bool:
    """Whether the graph takes pictures as they are."""
    return any(value.type.tensor_type.elem_type == TensorProto.UINT8 for value in model.graph.input)


def floating(model: onnx.ModelProto, request: BuildRequest) -> onnx.ModelProto:
    """Give a graph's twin: it takes floats in place of 8-bit values, and pictures of one size.

    An 8-bit input meets a Cast to float before anything else, which leaves floats as they are.
    """
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    width, height = request.graph.input_size
    for value in twin.graph.input:
        if value.type.tensor_type.elem_type == TensorProto.UINT8:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
            sizes = iter((height, width))
            for side in value.type.tensor_type.shape.dim:
                if not side.dim_value:
                    side.dim_value = next(sizes)
    return twin


def check_finite(model: onnx.ModelProto, inputs: Iterator[Dict[str, np.ndarray]]) -> None:
    """Refuse a graph in which a value gets infinite or NaN: TensorRT ends in an assertion there.

    Raises:
        StageError: there is one; names it.
    """
    session, names = summing(model)
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    for values in inputs:
        floats = {n: v.astype(np.float32) if kinds[n] == TensorProto.FLOAT else v
                  for n, v in values.items()}  # fmt: skip
        sums = session.run(None, floats)
        wrong = [name for name, value in zip(names, sums) if not np.isfinite(value).all()]
        if wrong:
            raise StageError(
                f"int8 cannot be calibrated: {wrong[0]} in the graph gets infinite or NaN",
                "evaluate the fp32 engine; a training that diverged is the usual cause",
            )


def summing(model: onnx.ModelProto) -> Tuple[ort.InferenceSession, List[str]]:
    """Give a session that sums up each float of a graph, and their names: a sum shows any NaN."""
    inferred = onnx.shape_inference.infer_shapes(model)
    made = {name for node in model.graph.node for name in node.output}
    names = [
        value.name
        for value in (*inferred.graph.value_info, *inferred.graph.output)
        if value.name in made and value.type.tensor_type.elem_type == TensorProto.FLOAT
    ]
    summed = onnx.ModelProto()
    summed.CopyFrom(model)
    del summed.graph.output[:]
    for name in names:
        total = f"{name}/sum"
        summed.graph.node.append(helper.make_node("ReduceSum", [name], [total], keepdims=0))
        summed.graph.output.append(helper.make_tensor_value_info(total, TensorProto.FLOAT, []))
    session = ort.InferenceSession(summed.SerializeToString(), providers=["CPUExecutionProvider"])
    return session, names


def pictures_for(
    trt: ModuleType, request: BuildRequest, model: onnx.ModelProto, cache: Path
) -> "tensorrt.IInt8EntropyCalibrator2":
    """Give a calibrator that shows the request's pictures; what it learns goes to ``cache``."""
    cuda = open_cuda()
    inputs = feeds(request, model, same_size=True)
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}

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
            arrays = [
                values[name].astype(helper.tensor_dtype_to_np_dtype(types[name])) for name in names
            ]
            with cuda.active():
                if not self.addresses:
                    self.addresses = [cuda.allocate(array.nbytes) for array in arrays]
                for array, address in zip(arrays, self.addresses):
                    cuda.upload(address, array)
                cuda.synchronize()
            return self.addresses

        def read_calibration_cache(self) -> None:
            """Learn anew: the pictures may have changed."""

        def write_calibration_cache(self, learnt: bytes) -> None:
            cache.write_bytes(bytes(learnt))

    return Pictures()


def learnt_from(trt: ModuleType, cache: Path, batch: int) -> "tensorrt.IInt8EntropyCalibrator2":
    """Give a calibrator that has learnt already."""

    class Learnt(trt.IInt8EntropyCalibrator2):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)

        def get_batch_size(self) -> int:
            return batch

        def get_batch(self, names: Sequence[str]) -> None:
            """Show nothing: all is known."""

        def read_calibration_cache(self) -> bytes:
            return cache.read_bytes()

        def write_calibration_cache(self, learnt: bytes) -> None:
            """Keep the file as it is."""

    return Learnt()
