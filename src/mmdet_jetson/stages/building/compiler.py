"""What TensorRT and TensorRT for RTX have in common when they compile: log, parser and profile."""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Dict, List, Optional, Protocol, Sequence, TextIO, Tuple

import onnx

from mmdet_jetson.contract.parameters.engine import SMALLEST_SIDE
from mmdet_jetson.stages.building.request import BuildRequest
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.cuda_api import no_gpu

if TYPE_CHECKING:
    import tensorrt

LOG = "builder.log"
ENGINE = "engine.plan"


class Compiler:
    """A builder with its network and its config, which callers set up between parse and compile.

    Args:
        trt: the module ``tensorrt`` or ``tensorrt_rtx``.
        flags: the creation flags of the network.
        log: the file that everything the builder says goes to.
        logger: that of another compiler, to be used in place of one for ``log``: TensorRT has one
            for all builders that exist at a time.
    """

    def __init__(
        self, trt: ModuleType, flags: int, log: Path, logger: "Optional[FileLogger]" = None
    ) -> None:
        self.trt, self.flags, self.log = trt, flags, log
        self.logger = logger or file_logger(trt, log)
        try:
            self.builder = trt.Builder(self.logger)
        except TypeError as error:
            # So the bindings say that TensorRT made none: it cannot use the GPU.
            raise no_gpu(self.logger.last_error or error) from error
        self.network = self.builder.create_network(flags)
        self.config = self.builder.create_builder_config()
        self.profile = self.builder.create_optimization_profile()
        self.best: Dict[str, Tuple[int, ...]] = {}
        # What is told of an engine's layers afterwards; it changes nothing else of the engine.
        self.config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED

    def parse(self, model: onnx.ModelProto) -> None:
        """Read a graph.

        Raises:
            StageError: TensorRT does not know an operator, or not like this.
        """
        parser = self.trt.OnnxParser(self.network, self.logger)
        if not parser.parse(model.SerializeToString()):
            reason = self._reason(parser)
            raise StageError(
                f"TensorRT {self.trt.__version__} cannot read the graph: {reason}",
                'a graph = "fused" has plain operators only; a documented one needs MMDeploy\'s '
                "plugin library, which the target names",
            )

    def add_profile(self, request: BuildRequest) -> Dict[str, object]:
        """Say which sizes inputs of any size will have: the best is that of the network's input.

        Returns:
            What is worth a line in the passport: the largest side, where there is such an input.
        """
        best, largest = request.graph.input_size[::-1], request.settings.largest_picture
        for index in range(self.network.num_inputs):
            value = self.network.get_input(index)
            shape = list(value.shape)
            if -1 in shape:
                sizes = [(SMALLEST_SIDE, SMALLEST_SIDE), best, (largest, largest)]
                shapes = [_with_sides(shape, size) for size in sizes]
                self.profile.set_shape(value.name, *shapes)
                self.best[value.name] = shapes[1]
        if not self.best:
            return {}
        self.config.add_optimization_profile(self.profile)
        return {"largest_picture": largest}

    def compile(self) -> bytes:
        """Compile, which takes seconds to many minutes.

        Raises:
            StageError: TensorRT could not.
        """
        serialized = self.builder.build_serialized_network(self.network, self.config)
        if serialized is None:
            raise StageError(
                f"TensorRT {self.trt.__version__} could not compile the graph: "
                f"{self.logger.last_error or 'it did not say why'}",
                "read builder.log in the job's folder; too little memory is a usual cause",
            )
        return bytes(memoryview(serialized))

    def close_log(self) -> None:
        """Write no more: what is said after this would change a file of the passport."""
        self.logger.stream.close()

    def _reason(self, parser: "tensorrt.OnnxParser") -> str:
        """Give the first error without the dump of the graph that may follow it."""
        errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        lines = [line.strip() for line in "\n".join(errors).splitlines() if line.strip()]
        return lines[0] if lines else self.logger.last_error or "it did not say why"


class FileLogger(Protocol):
    """TensorRT's own kind of logger, which keeps what it is told in a file."""

    last_error: str
    stream: TextIO


def file_logger(trt: ModuleType, path: Path) -> FileLogger:
    """Give a logger that keeps everything from "info" on in a file, and the last error."""

    class Kept(trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = ""
            self.stream = path.open("w", encoding="utf-8")

        def log(self, severity: "tensorrt.ILogger.Severity", message: str) -> None:
            if severity in _serious(trt):
                self.last_error = message.splitlines()[0]
            if severity != trt.ILogger.Severity.VERBOSE and not self.stream.closed:
                self.stream.write(f"{severity.name.lower()}: {message}\n")
                self.stream.flush()

    return Kept()


def _serious(trt: ModuleType) -> Sequence["tensorrt.ILogger.Severity"]:
    return trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR


def _with_sides(shape: Sequence[int], size: Tuple[int, int]) -> Tuple[int, ...]:
    sides = iter(size)
    fixed: List[int] = [next(sides) if side == -1 else side for side in shape]
    return tuple(fixed)
