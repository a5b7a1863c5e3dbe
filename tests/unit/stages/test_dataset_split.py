import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from labelled import PARAMETERS, Json, coco, entry, job, noise, region, save, source, via

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.dataset import DatasetParameters, SplitLocation
from mmdet_jetson.contract.records import read_record
from mmdet_jetson.stages import dataset
from mmdet_jetson.stages.annotations.coco_file import read_split
from mmdet_jetson.stages.annotations.glance_file import Glance
from mmdet_jetson.stages.annotations.splitting import SplitRecord
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.reporting import dataset_glance

SPLIT = replace(
    PARAMETERS,
    train=SplitLocation("all", "all/via.json"),
    val=None,
    split=0.25,
    input_size=(40, 30),
)


@pytest.fixture(autouse=True)
def _no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts take a second each, and say nothing about splits."""
    monkeypatch.setattr(dataset_glance, "glance_charts", lambda _: [])


def convert(
    tmp_path: Path, folder: Path, parameters: DatasetParameters = SPLIT
) -> tuple[Result, Path]:
    task = job(tmp_path, folder, parameters)
    return dataset.run(task), task.output


def one_folder(folder: Path, names: list[str], shuffled: int | None = None) -> Path:
    """Pictures of noise with an object each; a kite in every fourth."""
    entries: list[Json] = []
    for seed, name in enumerate(names):
        noise(folder / "all" / name, seed)
        label = "kite" if seed % 4 == 0 else "balloon"
        entries.append(entry(name, region(label=label)))
    if shuffled is not None:
        random.Random(shuffled).shuffle(entries)
    save(folder / "all/via.json", via(*entries))
    return folder


def names_of(output: Path, split: str) -> list[str]:
    return [image["file_name"] for image in read_split(output / f"{split}.json")["images"]]


PHOTOS = [f"IMG_{number:04d}.png" for number in range(40)]
FRAMES = [f"cam{video}_frame_{number:06d}.png" for video in range(8) for number in range(5)]


def test_photos_are_split_by_class(tmp_path: Path) -> None:
    result, output = convert(tmp_path / "job", one_folder(tmp_path / "source", PHOTOS))
    train, val = names_of(output, "train"), names_of(output, "val")
    assert sorted(train + val) == PHOTOS
    assert len(val) == 10
    assert result.metrics["val"] == {
        "pictures": 10, "annotations": 10, "per_class": {"balloon": 8, "kite": 2},
    } or result.metrics["val"] == {
        "pictures": 10, "annotations": 10, "per_class": {"balloon": 7, "kite": 3},
    }  # fmt: skip
    assert {path.name for path in (output / "val").iterdir()} == set(val)
    record = read_record(output / "split.json", SplitRecord)
    assert (record.seed, record.asked, record.reached, record.group) == (0, 0.25, 0.25, "names")
    placed = {name: group for group in record.groups.values() for name in group.pictures}
    assert sorted(placed) == PHOTOS
    assert {name for name, group in placed.items() if group.split == "val"} == set(val)
    assert {group.why for group in record.groups.values()} == {"alone"}
    assert result.warnings == ()


def test_frames_of_a_video_stay_together_over_seeds(tmp_path: Path) -> None:
    folder = one_folder(tmp_path / "source", FRAMES)
    seen = set()
    for seed in range(5):
        result, output = convert(tmp_path / f"{seed}", folder, replace(SPLIT, split_seed=seed))
        videos = {split: {name[:5] for name in names_of(output, split)} for split in dataset.SPLITS}
        assert not videos["train"] & videos["val"]
        assert len(videos["val"]) == 2
        seen.add(frozenset(videos["val"]))
    assert len(seen) > 1
    (warning,) = result.warnings
    assert warning.startswith(
        "kept together in one split, 8 times: cam0_frame_* (5 pictures, frames "
    )
    assert warning.endswith("and 5 more")


def test_order_of_the_file_does_not_matter(tmp_path: Path) -> None:
    outputs = [
        convert(tmp_path / f"job{seed}", one_folder(tmp_path / f"{seed}", PHOTOS[:12], seed))[1]
        for seed in range(3)
    ]
    assert len({(output / "split.json").read_bytes() for output in outputs}) == 1
    assert len({(output / "train.json").read_bytes() for output in outputs}) == 1


CODE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_dataset_split as own
own.dataset_glance.glance_charts = lambda _: []
own.convert(Path(sys.argv[3]), Path(sys.argv[2]))
"""


def test_another_process_gives_the_same_files(tmp_path: Path) -> None:
    folder = one_folder(tmp_path / "source", [*FRAMES, *PHOTOS[:10]])
    _, output = convert(tmp_path / "here", folder)
    there = tmp_path / "there"
    subprocess.run(
        [sys.executable, "-c", CODE, str(Path(__file__).parent), str(folder), str(there)],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        check=True,
    )
    for name in ("split.json", "train.json", "val.json", "glance.json", "page.html"):
        assert (output / name).read_bytes() == (there / "output" / name).read_bytes(), name


def test_copies_of_one_picture_never_part(tmp_path: Path) -> None:
    """Half as large, compressed again: each of ten pictures four times."""
    folder, entries = tmp_path / "source", []
    for seed in range(10):
        cells = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
        picture = cv2.resize(cells, (160, 120), interpolation=cv2.INTER_CUBIC)
        for copy, (scale, quality) in enumerate(((1, 95), (0.5, 90), (0.75, 40), (1.5, 60))):
            name = f"{'abcdefghij'[seed]}{'wxyz'[copy]}.jpg"
            (folder / "all").mkdir(parents=True, exist_ok=True)
            scaled = cv2.resize(picture, None, fx=scale, fy=scale)
            cv2.imwrite(str(folder / "all" / name), scaled, [cv2.IMWRITE_JPEG_QUALITY, quality])
            entries.append(entry(name, region()))
    save(folder / "all/via.json", via(*entries))
    for seed in range(5):
        wanted = replace(SPLIT, split_seed=seed, group="none", input_size=(160, 120))
        result, output = convert(tmp_path / f"{seed}", folder, wanted)
        sides = [{name[0] for name in names_of(output, split)} for split in dataset.SPLITS]
        assert not sides[0] & sides[1]
        glance = read_record(output / "glance.json", Glance)
        assert (glance.duplicates.across, glance.duplicates.within) == (0, 60)
    assert any("(4 pictures, near-duplicates)" in warning for warning in result.warnings)
    assert any(
        warning.startswith("look nearly the same, 60 times: ") for warning in result.warnings
    )


def test_near_duplicates_across_given_splits_are_warned_of(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    cells = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    for name, size in (("train/a.png", (40, 30)), ("val/b.png", (80, 60))):
        picture = cv2.resize(cells, size, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / name), picture)
    save(folder / "val/via.json", via(entry("b.png", region())))
    result, output = convert(tmp_path / "job", folder, PARAMETERS)
    assert (
        "near-duplicates in both splits make the figures of the evaluation too good: "
        "train, a.png and val, b.png"
    ) in result.warnings
    page = (output / "page.html").read_text()
    assert "1 pair of pictures looks nearly the same in training and validation" in page


def test_a_key_of_the_file_groups(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    images, annotations = [], []
    for number, name in enumerate("abcdefghijkl"):
        noise(folder / "all" / f"{name}.png", number)
        images.append({"id": number, "file_name": f"{name}.png", "video_id": number // 3})
        annotations.append(
            {"id": number, "image_id": number, "category_id": 7, "bbox": [4, 6, 10, 8]}
        )
    save(folder / "all/coco.json", coco(images=images, annotations=annotations))
    wanted = replace(
        SPLIT, format="coco", train=SplitLocation("all", "all/coco.json"), group="video_id"
    )
    _, output = convert(tmp_path / "job", folder, wanted)
    val = {name[0] for name in names_of(output, "val")}
    assert val in ({*"abc"}, {*"def"}, {*"ghi"}, {*"jkl"})
    groups = read_record(output / "split.json", SplitRecord).groups
    assert {group.why for group in groups.values()} == {f"video_id {video}" for video in range(4)}


def test_one_video_is_refused(tmp_path: Path) -> None:
    folder = one_folder(tmp_path / "source", FRAMES[:5])
    with pytest.raises(StageError, match="all pictures belong to one group") as caught:
        convert(tmp_path / "job", folder)
    assert 'dataset.group = "none"' in caught.value.hint
    _, output = convert(tmp_path / "again", folder, replace(SPLIT, group="none"))
    assert 1 <= len(names_of(output, "val")) <= 2


def test_a_share_that_empties_a_split_is_refused_before_pictures_are_read(tmp_path: Path) -> None:
    folder = one_folder(tmp_path / "source", PHOTOS[:5])
    (folder / "all" / PHOTOS[0]).write_bytes(b"no picture")
    with pytest.raises(StageError, match=r"split = 0\.05 of 5 pictures leaves the val split empty"):
        convert(tmp_path / "job", folder, replace(SPLIT, split=0.05))


def test_an_expression_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = one_folder(tmp_path / "source", PHOTOS[:5])
    with pytest.raises(StageError, match=r'dataset.group is "\(": it is no regular expression'):
        convert(tmp_path / "job", folder, replace(SPLIT, group="("))


def test_a_share_that_groups_do_not_reach_is_said(tmp_path: Path) -> None:
    folder = one_folder(tmp_path / "source", [*FRAMES[:5], *FRAMES[5:9]])
    result, _ = convert(tmp_path / "job", folder, replace(SPLIT, split=0.1))
    assert any(
        warning.startswith("the validation split has another share of the pictures")
        and warning.endswith("0.444 instead of 0.1, of 9 pictures in 2 groups")
        for warning in result.warnings
    )


def test_split_artifact_is_sound_json(tmp_path: Path) -> None:
    _, output = convert(tmp_path / "job", one_folder(tmp_path / "source", PHOTOS[:8]))
    record = json.loads((output / "split.json").read_text())
    assert sorted(record) == ["asked", "group", "groups", "reached", "seed"]
