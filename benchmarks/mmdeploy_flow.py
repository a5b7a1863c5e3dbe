"""MMDeploy's own conversion, in the order and the processes of its ``tools/deploy.py``.

    python mmdeploy_flow.py DEPLOY_CONFIG MODEL_CONFIG CHECKPOINT PICTURE FOLDER

For the backend ``onnxruntime``, with ``--dump-info``. That script is not in MMDeploy's wheel, so
its steps are called here: the SDK's files in this process, then a process for the trace and one for
each of the two drawn pictures, each started anew (spawned), as there. Runs in environment ``train``
with ONNX Runtime beside it.
"""

import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path


def main(deploy_config: str, model_config: str, checkpoint: str, picture: str, folder: str) -> None:
    """Convert, and draw one picture with the backend and one with PyTorch."""
    from mmdeploy.apis.utils import to_backend  # noqa: PLC0415
    from mmdeploy.backend.sdk.export_info import export2SDK  # noqa: PLC0415
    from mmdeploy.utils import load_config  # noqa: PLC0415

    multiprocessing.set_start_method("spawn")
    configs = load_config(deploy_config, model_config)
    export2SDK(*configs, folder, checkpoint, "cpu")
    traced = (picture, folder, "end2end.onnx", deploy_config, model_config, checkpoint, "cpu")
    in_its_own_process(trace, *traced)
    onnx = str(Path(folder, "end2end.onnx"))
    files = to_backend("onnxruntime", [onnx], folder)
    drawn = (model_config, deploy_config)
    for backend, model in (("onnxruntime", files), ("pytorch", [checkpoint])):
        output = str(Path(folder, f"output_{backend}.jpg"))
        in_its_own_process(draw, *drawn, model, picture, backend, output)


def in_its_own_process(function: Callable[..., None], *arguments: object) -> None:
    """Call it in a new process, and stop where that fails."""
    process = multiprocessing.Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"{function.__name__} failed")


def trace(*arguments: object) -> None:
    """PyTorch to ONNX."""
    from mmdeploy.apis import torch2onnx  # noqa: PLC0415

    torch2onnx(*arguments)


def draw(*arguments: object) -> None:
    """Detect on a picture and draw the boxes."""
    from mmdeploy.apis import visualize_model  # noqa: PLC0415
    from mmdeploy.utils import Backend  # noqa: PLC0415

    *files, picture, backend, output = arguments
    visualize_model(*files, picture, "cpu", Backend.get(backend), output)


if __name__ == "__main__":
    main(*sys.argv[1:])
