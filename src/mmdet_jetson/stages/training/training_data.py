"""What a dataset means for a training, said before the training starts."""

import traceback
from pathlib import Path
from typing import List, Sequence

from mmengine import Config, ConfigDict
from mmengine.dataset import Compose

from mmdet_jetson.stages.annotations.coco_file import CocoFile, CocoImage, read_split
from mmdet_jetson.stages.errors import StageError, reason_of
from mmdet_jetson.stages.training.mmdet_config import innermost


def check_data(dataset: Path, classes: Sequence[str], config: Config) -> List[str]:
    """Compare a `dataset` artifact with what the training expects of it; return warnings.

    Raises:
        StageError: its classes are others, or no picture would be trained on.
    """
    training, validation = (_read(dataset, split, classes) for split in ("train", "val"))
    warnings = _check_training(training, config)
    if not validation["images"]:
        raise StageError(
            "the validation split has no pictures", "add pictures to the dataset's val split"
        )
    if not validation["annotations"]:
        warnings.append(
            "no validation picture has an annotation, so there is no AP to choose the best "
            "checkpoint by: best.pth is the last one"
        )
    for split in ("val", "test"):
        _try_pipeline(config[f"{split}_dataloader"], split, dataset / "val", validation["images"])
    return warnings


def _try_pipeline(
    dataloader: ConfigDict, split: str, folder: Path, images: Sequence[CocoImage]
) -> None:
    """Prepare one picture as a validation will, which comes only after the first epochs."""
    picture = {"img_path": str(folder / images[0]["file_name"]), "img_id": 0}
    try:
        Compose(innermost(dataloader.dataset).pipeline)(picture)
    except Exception as error:  # each transform raises its own
        traceback.print_exc()
        raise StageError(
            f"{split}_dataloader of the training config cannot prepare the validation picture "
            f"{images[0]['file_name']}: {reason_of(error)}",
            "compare its pipeline with that of one of MMDetection's own configs",
        ) from error


def _read(dataset: Path, split: str, classes: Sequence[str]) -> CocoFile:
    content = read_split(dataset / f"{split}.json")
    categories = sorted(content["categories"], key=lambda category: category["id"])
    names = [category["name"] for category in categories]
    if names != list(classes):
        raise StageError(
            f"the dataset's {split} split has the classes {', '.join(names)}, "
            f"but the training expects {', '.join(classes)}",
            "give dataset and training the same classes in the same order",
        )
    return content


def _check_training(content: CocoFile, config: Config) -> List[str]:
    """Count what MMDetection's CocoDataset leaves out without saying so."""
    rules = innermost(config.train_dataloader.dataset).get("filter_cfg") or {}
    smallest = rules.get("min_size", 0)
    annotated = {annotation["image_id"] for annotation in content["annotations"]}
    images = content["images"]
    large = [i for i in images if min(i["width"], i["height"]) >= smallest]
    used = [i for i in large if i["id"] in annotated or not rules.get("filter_empty_gt", False)]
    if not used:
        raise StageError(
            f"none of the {len(images)} training pictures can be trained on: they have no "
            f"annotation, or a side shorter than {smallest} px",
            "annotate pictures of the dataset's train split, or use larger ones",
        )
    _check_batch(len(used), config.train_dataloader)
    if len(used) < len(images):
        return [
            f"{len(images) - len(used)} of {len(images)} training pictures are left out: they have "
            f"no annotation, or a side shorter than {smallest} px (filter_cfg of the config)"
        ]
    return []


def _check_batch(pictures: int, dataloader: ConfigDict) -> None:
    if dataloader.get("drop_last", False) and pictures < dataloader.batch_size:
        raise StageError(
            f"a batch has {dataloader.batch_size} pictures, the training split {pictures}, and the "
            "config drops incomplete batches (drop_last): there is nothing to train on",
            f"set train.batch_size to {pictures} or less",
        )
