"""Export an untrained detector: ``python export_untrained.py <config of mmdet> <onnx folder> <input>``.

It runs in environment `train` (Python 3.8) and writes an `onnx` artifact with a fused graph.
"""

import io
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))


def main(base: str, folder: Path, mode: str) -> None:
    """Build the model with random weights, and hand it to the stage as a checkpoint."""
    import torch  # noqa: PLC0415
    from mmdet.registry import MODELS  # noqa: PLC0415
    from mmdet.utils import register_all_modules  # noqa: PLC0415
    from mmengine.hub import get_config  # noqa: PLC0415
    from mmengine.model import revert_sync_batchnorm  # noqa: PLC0415

    from mmdet_jetson.contract.parameters.export import ExportParameters, FusedParameters  # noqa: PLC0415
    from mmdet_jetson.stages import export  # noqa: PLC0415
    from mmdet_jetson.stages.job import StageJob  # noqa: PLC0415

    register_all_modules()
    torch.manual_seed(0)
    config = get_config(f"mmdet::{base}")
    config.model.backbone.pop("init_cfg", None)
    classes = tuple(f"class {number}" for number in range(config.model.bbox_head.num_classes))
    config.test_dataloader.dataset.metainfo = {"classes": classes}
    steps = config.test_dataloader.dataset.pipeline
    resize = next(step for step in steps if step["type"] == "Resize")
    checkpoint = folder.with_name("checkpoint")
    checkpoint.mkdir()
    folder.mkdir()
    config.dump(str(checkpoint / "config.py"))
    model = revert_sync_batchnorm(MODELS.build(config.model)).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    # Without having seen pictures, batch norms let values grow beyond all bounds.
    with torch.no_grad():
        model.bbox_head(model.extract_feat(255 * torch.rand(2, 3, 320, 320)))
    torch.save({"state_dict": model.state_dict(), "meta": {}}, str(checkpoint / "best.pth"))
    parameters = ExportParameters(
        backend="tensorrt_rtx",
        deploy_config="configs/deploy/detection_tensorrt_static.py",
        input_size=tuple(resize["scale"]),
        fused=FusedParameters(mode, 1, "model", candidates=512, rounds=16),
    )
    job = StageJob(
        parameters=parameters,
        inputs={"checkpoint": checkpoint, "config": ROOT},
        output=folder,
        work=folder,
        evidence="",
        artifacts=(),
        channel=io.StringIO(),
    )
    export.run(job)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
