"""Which pictures calibrate an INT8 engine: some of the training split, none of the validation's."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple

from mmdet_jetson.stages.annotations.coco_file import read_split
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.passport import CalibrationPictures
from mmdet_jetson.stages.inference.preprocessing import read_picture


@dataclass(frozen=True)
class Calibration:
    """Pictures to calibrate with, and the digest of what each shows."""

    pictures: Tuple[Path, ...]
    digests: Tuple[str, ...]

    def described(self) -> CalibrationPictures:
        """Tell for the passport which pictures these were."""
        together = hashlib.sha256("\n".join(sorted(self.digests)).encode())
        return CalibrationPictures("train", len(self.pictures), together.hexdigest())


def choose(training: Path, validation: Path, count: int) -> Calibration:
    """Take ``count`` pictures, evenly spread over the training split in order of their names.

    ``training`` and ``validation`` are folders of a `dataset` artifact with train.json and train/,
    and with val.json and val/.

    Raises:
        StageError: the training split is empty, or a picture that was taken shows the same pixels
            as one of the validation split, whatever the two are called.
    """
    pictures = _pictures(training, "train")
    if not pictures:
        raise StageError(
            "the training split has no pictures, and int8 has to be calibrated with some",
            "add pictures to the dataset's training split",
        )
    count = min(count, len(pictures))
    chosen = [pictures[index * len(pictures) // count] for index in range(count)]
    known = {content_digest(path): path for path in _pictures(validation, "val")}
    digests = [content_digest(path) for path in chosen]
    for path, digest in zip(chosen, digests):
        if digest in known:
            raise StageError(
                f"the calibration picture {path.name} of the training split shows the same as "
                f"{known[digest].name} of the validation split",
                "remove it from one of the two splits: an engine that was calibrated with "
                "validation pictures cannot be judged by them",
            )
    return Calibration(tuple(chosen), tuple(digests))


def content_digest(path: Path) -> str:
    """Digest what a picture shows: its size and its decoded pixels."""
    pixels = read_picture(path)
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.tobytes())
    return digest.hexdigest()


def _pictures(dataset: Path, split: str) -> List[Path]:
    images = read_split(dataset / f"{split}.json")["images"]
    return [dataset / split / name for name in sorted(image["file_name"] for image in images)]
