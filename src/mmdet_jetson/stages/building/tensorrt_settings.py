"""The settings of a target's builder, and the deep learning accelerator (DLA) of a Jetson.

A DLA computes in half precision and in 8 bits only, and knows some kinds of layers only, so it gets
what it can of the nodes that may be lowered. TensorRT has none between 10.8 and 11.4.0.
"""

from typing import Dict

import onnx

from mmdet_jetson.contract.parameters.engine import BuilderSettings
from mmdet_jetson.stages.building.compiler import Compiler
from mmdet_jetson.stages.building.lower_precision import lowered_nodes
from mmdet_jetson.stages.errors import StageError


def apply_settings(compiler: Compiler, settings: BuilderSettings) -> Dict[str, object]:
    """Set what does not depend on the network; return what is worth a line in the passport.

    Raises:
        StageError: this TensorRT or this device does not have what is asked for.
    """
    trt, config = compiler.trt, compiler.config
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace << 20)
    said: Dict[str, object] = {"workspace": settings.workspace}
    if settings.optimization_level is not None:
        if not hasattr(config, "builder_optimization_level"):
            raise StageError(
                f"TensorRT {trt.__version__} has no optimization levels, which came with 8.6",
                "take optimization_level out of the target in targets.toml",
            )
        config.builder_optimization_level = settings.optimization_level
        said["optimization_level"] = settings.optimization_level
    if settings.dla is not None:
        _check_dla(compiler, settings.dla)
    return said


def _check_dla(compiler: Compiler, core: int) -> None:
    """Refuse an accelerator that this device does not have, as an Orin Nano or a Thor."""
    cores = compiler.builder.num_DLA_cores
    if core >= cores:
        has = f"has {cores} of them, counted from 0" if cores > 0 else "has none"
        raise StageError(
            f"the target asks for DLA {core}, and TensorRT {compiler.trt.__version__} says that "
            f"this device {has}",
            "take dla out of the target in targets.toml",
        )


def use_dla(compiler: Compiler, core: int, model: onnx.ModelProto) -> Dict[str, object]:
    """Give the accelerator what it can compute of the lowered nodes; the GPU computes the rest.

    Returns:
        The accelerator and how many layers it gets, for the passport.

    Raises:
        StageError: it can compute none of them.
    """
    trt, config, network = compiler.trt, compiler.config, compiler.network
    lowered = lowered_nodes(model)
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    given = 0
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.name in lowered and config.can_run_on_DLA(layer):
            config.set_device_type(layer, trt.DeviceType.DLA)
            given += 1
    if not given:
        raise StageError(
            f"DLA {core} can compute no layer of this network in TensorRT {trt.__version__}",
            'take dla out of the target in targets.toml, or set its precision to "fp16"',
        )
    return {"dla": core, "dla_layers": given}
