"""The GPU by pycuda or by cuda-python, whichever is installed."""

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.cuda_api import Cuda
from mmdet_jetson.stages.inference.cuda_python import CudaPython
from mmdet_jetson.stages.inference.pycuda_gpu import PyCuda


def open_cuda() -> Cuda:
    """Open the first GPU.

    Raises:
        StageError: neither package can be imported, or there is no GPU.
    """
    try:
        return PyCuda()
    except ImportError as error:
        pycuda = error
    try:
        return CudaPython()
    except ImportError as error:
        raise StageError(
            "running an engine needs the Python package pycuda or cuda-python, and neither can be "
            f"imported: {pycuda}; {error}",
            "pip install pycuda, which needs the CUDA toolkit, or pip install cuda-python; "
            "libcuda.so.1 is the driver's, and in a container it needs the nvidia runtime",
        ) from error
