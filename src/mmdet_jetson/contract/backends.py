"""The backends: a line each, and the module of that name in ``stages/backends`` does the rest.

The host side plans by this table before anything starts.
"""

from dataclasses import dataclass
from typing import Mapping, Tuple


@dataclass(frozen=True)
class BackendTraits:
    """What plans need to know of a backend."""

    precisions: Tuple[str, ...]
    environment: str = "deploy"
    """The environment that its library is in: ``docker/ENVIRONMENT.lock``."""
    deploy_config: str = "onnxruntime"
    """Whose deploy config of ``[export]`` its graphs are exported with."""
    documented: Tuple[str, ...] = ("fp32",)
    """The precisions in which it runs a documented graph.

    Such a graph does not tell its network from its post-processing, so only TensorRT can lower it;
    and MMDeploy's for TensorRT needs a plugin.
    """
    needs_gpu: bool = False
    """Whether its engines run on an NVIDIA GPU only."""
    builds_on_its_device: bool = False
    """Whether it compiles for the machine that it runs on; else it can compile anywhere."""
    lists_gpus: bool = False
    """Whether a target lists the GPUs to compile for (``compute_capabilities``)."""
    reuses: str = ""
    """A file of the last engine that makes the next build faster and changes nothing else."""
    settings: Tuple[str, ...] = ()
    """Which settings its builder has, of `contract.parameters.engine.BuilderSettings`."""


BACKENDS: Mapping[str, BackendTraits] = {
    # On a CPU it computes fp16 by way of fp32, which is slower than fp32 alone.
    "onnxruntime": BackendTraits(("fp32", "int8")),
    "openvino": BackendTraits(("fp32", "bf16", "int8"), environment="deploy-openvino"),
    "tensorrt": BackendTraits(
        ("fp32", "fp16", "int8"),
        deploy_config="tensorrt",
        documented=("fp32", "fp16", "int8"),
        needs_gpu=True,
        builds_on_its_device=True,
        reuses="timing.cache",
        settings=("workspace", "largest_picture", "dla", "optimization_level"),
    ),
    "tensorrt_rtx": BackendTraits(
        ("fp32", "fp16", "int8"),
        environment="deploy-rtx",
        deploy_config="tensorrt",
        documented=(),
        needs_gpu=True,
        lists_gpus=True,
        settings=("largest_picture",),
    ),
}
