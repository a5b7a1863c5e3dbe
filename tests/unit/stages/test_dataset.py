import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from labelled import (
    HEIGHT,
    PARAMETERS,
    WIDTH,
    Json,
    coco,
    entry,
    job,
    noise,
    polygon,
    rect,
    region,
    save,
    source,
    via,
)
from PIL import Image

from mmdet_jetson.contract.formats import DRAWN
from mmdet_jetson.contract.job import (
    Job,
    Progress,
    Result,
    parse_progress,
    read_failure,
    read_result,
    write_job,
)
from mmdet_jetson.contract.parameters.dataset import DatasetParameters, DrawnPictures, SplitLocation
from mmdet_jetson.contract.records import encode, read_record
from mmdet_jetson.stages import dataset
from mmdet_jetson.stages.annotations.coco_file import CocoFile, read_split
from mmdet_jetson.stages.annotations.summary import DatasetSummary, SplitSummary
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.reporting import dataset_glance

ROOT = Path(__file__).resolve().parents[3]
MIRROR = Path(os.environ.get("MMDET_JETSON_TEST_MIRROR", ROOT.parent / "shared/mirror"))
BALLOONS = MIRROR / "balloon_dataset.zip"


@pytest.fixture(autouse=True)
def _no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts take longer than all the rest, and are tested with the page."""
    monkeypatch.setattr(dataset_glance, "glance_charts", lambda _: [])


def made(output: Path, split: str = "train") -> CocoFile:
    return read_split(output / f"{split}.json")


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def relabel(folder: Path, *entries: Json, split: str = "train") -> None:
    save(folder / split / "via.json", via(*entries))


def convert(
    tmp_path: Path, folder: Path | None, parameters: DatasetParameters = PARAMETERS
) -> tuple[Result, Path]:
    task = job(tmp_path / "job", folder, parameters)
    return dataset.run(task), task.output


def test_artifact_has_exactly_its_files(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    result, output = convert(tmp_path, folder)
    assert set(digests(output)) == {
        "train.json", "val.json", "summary.json", "glance.json", "page.html",
        "train/a.png", "val/b.png",
    }  # fmt: skip
    assert (output / "train/a.png").read_bytes() == (folder / "train/a.png").read_bytes()
    expected: CocoFile = {
        "info": {},
        "images": [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [4, 6, 10, 8],
                "area": 80,
                "segmentation": [[4, 6, 14, 6, 14, 14, 4, 14]],
                "iscrowd": 0,
            }
        ],
        "categories": [{"id": 1, "name": "balloon"}, {"id": 2, "name": "kite"}],
    }
    assert made(output) == expected
    summary = read_record(output / "summary.json", DatasetSummary)
    counted = SplitSummary(pictures=1, annotations=1, per_class={"balloon": 1, "kite": 0})
    assert summary.classes == ("balloon", "kite")
    assert summary.splits == {"train": counted, "val": counted}
    assert result.metrics == {"train": encode(counted), "val": encode(counted)}
    assert summary.warnings == result.warnings
    assert result.warnings == ("a class has no annotations: kite",)


def test_picture_without_regions_is_kept(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    noise(folder / "train/empty.png", 9)
    relabel(folder, entry("empty.png"), entry("a.png", region()))
    _, output = convert(tmp_path, folder)
    assert [image["file_name"] for image in made(output)["images"]] == ["a.png", "empty.png"]
    assert (output / "train/empty.png").is_file()


def test_names_of_all_sorts_and_subfolders_survive(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    names = ["-rf .png", "a.png", "sub/deep/a.png", "sub/ä b.png"]
    for seed, name in enumerate(names):
        noise(folder / "train" / name, 20 + seed)
    relabel(folder, *(entry(name, region()) for name in reversed(names)))
    _, output = convert(tmp_path, folder)
    assert [image["file_name"] for image in made(output)["images"]] == names
    assert all((output / "train" / name).is_file() for name in names)


def test_rotated_picture_is_written_upright_and_its_boxes_fit(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    upright = np.zeros((WIDTH, HEIGHT, 3), np.uint8)
    upright[20:36, 4:14] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    stored.save(folder / "train/phone.jpg", exif=exif)
    relabel(folder, entry("phone.jpg", region(rect(4, 20, 10, 16))))
    result, output = convert(tmp_path, folder)
    (image,) = made(output)["images"]
    assert image == {"id": 1, "file_name": "phone.jpg.png", "width": HEIGHT, "height": WIDTH}
    written = cv2.imread(str(output / "train/phone.jpg.png"), cv2.IMREAD_COLOR)
    ignoring = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    unrotated = cv2.imread(str(output / "train/phone.jpg.png"), ignoring)
    assert written is not None
    assert unrotated is not None
    assert np.array_equal(written, unrotated)
    ys, xs = np.nonzero(written[:, :, 0] > 127)
    (annotation,) = made(output)["annotations"]
    assert annotation["bbox"] == [4, 20, 10, 16]
    assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (4, 20, 14, 36)
    assert any("turned upright" in warning for warning in result.warnings)


def test_png_written_for_a_special_picture_takes_no_other_name(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    Image.new("RGBA", (WIDTH, HEIGHT), "red").save(folder / "train/c.png")
    noise(folder / "train/c.png.png", 5)
    relabel(folder, entry("c.png", region()), entry("c.png.png", region()))
    _, output = convert(tmp_path, folder)
    names = [image["file_name"] for image in made(output)["images"]]
    assert names == ["c.png.png", "c.png.png.png"]


WARNINGS = {
    "over-the-edge": (
        [entry("a.png", region(rect(-4, 6)))],
        "cut off at the picture's edge, which it reaches past: train/via.json, a.png, region 1",
    ),
    "crosses-itself": (
        [entry("a.png", region(polygon((0, 0), (10, 10), (10, 0), (0, 10))))],
        "made valid, as its outline crosses itself: train/via.json, a.png, region 1",
    ),
    "same-region-twice": (
        [entry("a.png", region(), region())],
        "left out, as it repeats another region: train/via.json, a.png, region 2",
    ),
    "same-pixels-twice-in-a-split": (
        [entry("a.png", region()), entry("copy.bmp", region())],
        "show the same pixels: train, a.png and copy.bmp",
    ),
    "unlisted-picture": (
        [entry("a.png", region())],
        "left out, as no annotation file lists it: train, copy.bmp",
    ),
}


@pytest.mark.parametrize(("entries", "sentence"), WARNINGS.values(), ids=WARNINGS.keys())
def test_what_can_be_mended_is_mended_with_a_warning(
    tmp_path: Path, entries: list[Json], sentence: str
) -> None:
    folder = source(tmp_path / "source")
    noise(folder / "train/copy.bmp", 0)
    relabel(folder, *entries)
    result, output = convert(tmp_path, folder)
    assert sentence in result.warnings
    assert len(made(output)["annotations"]) == len(made(output)["images"])


def test_splits_may_share_a_folder_of_pictures(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    shutil.copy(folder / "val/b.png", folder / "train/b.png")
    location = SplitLocation("train", "val/via.json")
    parameters = replace(PARAMETERS, val=location, classes=("balloon",))
    result, output = convert(tmp_path, folder, parameters)
    assert (output / "val/b.png").is_file()
    assert result.warnings == ()


def test_folders_that_are_links_make_no_difference(tmp_path: Path) -> None:
    """Pictures may lie on another disk, all of them or some."""
    folder = source(tmp_path / "source")
    _, plain = convert(tmp_path / "plain", folder)

    real = (folder / "train").rename(tmp_path / "elsewhere")
    (folder / "train").mkdir()
    (folder / "train/via.json").write_bytes((real / "via.json").read_bytes())
    (folder / "train/part").symlink_to(real)
    named = json.loads((real / "via.json").read_text())
    for each in named.values():
        each["filename"] = f"part/{each['filename']}"
    (folder / "train/via.json").write_text(json.dumps(named))
    (folder / "val").rename(tmp_path / "val")
    (folder / "val").symlink_to(tmp_path / "val")
    _, linked = convert(tmp_path / "linked", folder)

    assert digests(linked / "val") == digests(plain / "val")
    moved = {name.rpartition("/")[2]: sha for name, sha in digests(linked / "train").items()}
    assert moved == digests(plain / "train")


def test_read_only_input_gives_a_writable_artifact(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    for path in folder.rglob("*.*"):
        path.chmod(0o444)
    _, output = convert(tmp_path, folder)
    assert (output / "train/a.png").stat().st_mode & stat.S_IWUSR


def test_classes_that_are_all_ignored_are_told_how_to_be_meant(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    relabel(folder, entry("a.png", region(label="balloon")))
    parameters = replace(PARAMETERS, classes=("zebra",), default_class="zebra", others="ignore")
    with pytest.raises(StageError) as caught:
        convert(tmp_path, folder, parameters)
    assert "left out, as their classes are none of the dataset's" in caught.value.message
    assert "the classes are zebra: rename says which" in str(caught.value.hint)


def test_pictures_labelled_in_two_ways_are_told(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    shutil.copy(folder / "train/a.png", folder / "train/again.png")
    relabel(folder, entry("a.png", region(label="balloon")), entry("again.png"))
    result, _ = convert(tmp_path, folder)
    said = "show the same pixels, but are labelled otherwise: train, a.png and again.png"
    assert said in result.warnings


def second_entry(folder: Path) -> None:
    noise(folder / "train/c.png", 7)
    save(
        folder / "train/via.json",
        {"1": entry("a.png", region()), "2": entry("./a.png", region(rect(20, 6)))},
    )


def in_both_splits(folder: Path) -> None:
    shutil.copy(folder / "val/b.png", folder / "train/b-again.png")
    relabel(folder, entry("a.png", region()), entry("b-again.png"))


def truncated(folder: Path) -> None:
    path = folder / "train/a.png"
    path.write_bytes(path.read_bytes()[:500])


BAD_DATA: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing-picture": (
        lambda folder: (folder / "train/a.png").unlink(),
        "train/via.json, a.png: the picture is missing",
    ),
    "truncated-picture": (truncated, "train/via.json, a.png: the picture cannot be read ("),
    "empty-picture": (
        lambda folder: (folder / "val/b.png").write_bytes(b""),
        "val/via.json, b.png: the picture cannot be read (the file is empty)",
    ),
    "name-out-of-the-folder": (
        lambda folder: relabel(folder, entry("../val/b.png", region())),
        "train/via.json, ../val/b.png: the name points out of the pictures folder",
    ),
    "picture-listed-twice": (second_entry, "train/via.json, ./a.png: the picture is listed twice"),
    "boxes-outside": (
        lambda folder: relabel(
            folder, entry("a.png", region(), region(rect(100, 100)), region(rect(-90, 3)))
        ),
        "train/via.json: 2 of the 3 objects of the train split lie wholly outside their pictures",
    ),
    "no-area": (
        lambda folder: relabel(folder, entry("a.png", region(polygon((1, 1), (5, 5), (9, 9))))),
        "train/via.json: all objects of the train split are left out: left out, as it has no area",
    ),
    "two-classes-for-one-outline": (
        lambda folder: relabel(folder, entry("a.png", region(), region(label="kite"))),
        'train/via.json, a.png, region 2: it repeats region 1, which has the class "balloon"',
    ),
    "unknown-class": (
        lambda folder: relabel(folder, entry("a.png", region(label="kiet"))),
        'train/via.json, a.png, region 1: unknown class "kiet"',
    ),
    "in-both-splits": (
        in_both_splits,
        "val, b.png: shows the same pixels as b-again.png of the training split",
    ),
    "no-pictures": (
        lambda folder: save(folder / "val/via.json", {}),
        "val/via.json: the val split has no pictures",
    ),
    "no-annotations": (
        lambda folder: relabel(folder, entry("a.png")),
        "train/via.json: the train split has no annotations",
    ),
    "not-json": (lambda folder: save(folder / "val/via.json", "{"), "val/via.json: is not JSON"),
    "no-pictures-folder": (
        lambda folder: shutil.rmtree(folder / "val"),
        "the val split's pictures folder val does not exist",
    ),
    "no-annotation-file": (
        lambda folder: (folder / "val/via.json").unlink(),
        "the val split's annotation file val/via.json does not exist",
    ),
}


@pytest.mark.parametrize(("spoil", "sentence"), BAD_DATA.values(), ids=BAD_DATA.keys())
def test_bad_data_is_one_sentence_with_a_hint_and_nothing_is_written(
    tmp_path: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    folder = source(tmp_path / "source")
    spoil(folder)
    task = job(tmp_path / "job", folder)
    with pytest.raises(StageError) as caught:
        dataset.run(task)
    assert caught.value.message.startswith(sentence)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert list(task.output.iterdir()) == []


SMALL = DatasetParameters(
    format=DRAWN,
    classes=("ellipse", "rectangle"),
    default_class=None,
    label_attribute="label",
    train=None,
    val=None,
    drawn=DrawnPictures(train=12, val=4, size=(96, 64), seed=5),
    input_size=(96, 64),
)

BAD_SETTINGS = {
    "no-classes": (replace(PARAMETERS, classes=()), "the list of classes is empty"),
    "class-twice": (replace(PARAMETERS, classes=("balloon",) * 2), "names one twice"),
    "default-not-a-class": (
        replace(PARAMETERS, default_class="x"),
        'the default class "x" is not a class',
    ),
    "others-neither": (replace(PARAMETERS, others="drop"), 'others is "drop"'),
    "renamed-to-no-class": (
        replace(PARAMETERS, rename={"a": "b"}),
        '"a" is renamed to "b", which is not a class',
    ),
    "unknown-format": (
        replace(PARAMETERS, format="vai"),
        "there is no annotation format 'vai'",
    ),
    "no-split": (replace(PARAMETERS, val=None), "nothing says where the val split is"),
    "drawn-with-other-classes": (
        replace(SMALL, classes=("balloon", "kite")),
        "the drawn dataset shows ellipse and rectangle, but the classes are balloon, kite",
    ),
    "nothing-to-draw": (replace(SMALL, drawn=None), "nothing says which pictures to draw"),
}


@pytest.mark.parametrize(("parameters", "sentence"), BAD_SETTINGS.values(), ids=BAD_SETTINGS.keys())
def test_bad_setting_is_one_sentence_with_a_hint(
    tmp_path: Path, parameters: DatasetParameters, sentence: str
) -> None:
    with pytest.raises(StageError) as caught:
        convert(tmp_path, source(tmp_path / "source"), parameters)
    assert sentence in caught.value.message
    assert caught.value.hint


def test_many_defects_are_named_in_one_run(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    relabel(folder, entry("a.png", region(label="x"), region(rect(width="x"))), entry("c.png"))
    relabel(folder, entry("b.png", region(label="x")), split="val")
    with pytest.raises(StageError) as caught:
        convert(tmp_path, folder)
    first, *lines = caught.value.message.split("\n  - ")
    assert first == "the dataset has 4 defects"
    assert lines[0].startswith('2 times: unknown class "x": train/via.json, a.png, region 1; val/')
    assert len(lines) == 3
    assert "c.png: the picture is missing" in caught.value.message


def test_many_pictures_missing_are_one_sentence(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    missing = (entry(f"{number}.png") for number in range(300))
    relabel(folder, entry("a.png", region()), *missing)
    with pytest.raises(StageError, match=r"^300 times: the picture is missing: train/via\.json, 0"):
        convert(tmp_path, folder)


def as_coco(folder: Path, **changes: object) -> DatasetParameters:
    save(folder / "train/coco.json", coco(**changes))
    image = {"id": 1, "file_name": "b.png"}
    save(folder / "val/coco.json", coco(images=[image]))
    return coco_parameters("train/coco.json", "val/coco.json")


def coco_parameters(train: str, val: str) -> DatasetParameters:
    return replace(
        PARAMETERS,
        format="coco",
        default_class=None,
        train=SplitLocation("train", train),
        val=SplitLocation("val", val),
    )


def test_classes_may_be_renamed_and_others_left_out(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    relabel(
        folder,
        entry("a.png", region(label="Drachen "), region(rect(20, 6), label="cup")),
    )
    parameters = replace(PARAMETERS, rename={"Drachen": "kite"}, others="ignore")
    result, output = convert(tmp_path, folder, parameters)
    assert [each["category_id"] for each in made(output)["annotations"]] == [2]
    (warning,) = [each for each in result.warnings if "none of the dataset's" in each]
    assert "1 in all (cup 1), such as train/via.json, a.png, region 2" in warning


def test_folder_that_was_a_link_is_named_for_what_it_is(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    (folder / "val").rename(tmp_path / "elsewhere")
    shutil.copy(tmp_path / "elsewhere/via.json", folder / "via.json")
    (folder / "val").write_text("../elsewhere\n")
    parameters = replace(PARAMETERS, val=SplitLocation("val", "via.json"))
    with pytest.raises(
        StageError, match=r"is a file with the text \.\./elsewhere: a symbolic"
    ) as caught:
        convert(tmp_path, folder, parameters)
    assert caught.value.hint == "make it a link again, such as by: ln -sfn ../elsewhere val"
    (folder / "val").unlink()
    (folder / "val").symlink_to("../elsewhere")
    _, output = convert(tmp_path / "again", folder, parameters)
    assert len(made(output, "val")["annotations"]) == 1


@pytest.mark.parametrize(("upright", "box"), [(True, [5, 32, 10, 6]), (False, [32, 5, 6, 10])])
def test_size_as_stored_says_nothing_of_where_regions_were_drawn(
    tmp_path: Path, upright: bool, box: list[int]
) -> None:
    """Of 30 by 40 pixels upright, the first box fits that alone, the second what is stored alone."""
    folder = source(tmp_path / "source")
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(folder / "train/a.png") as picture:
        picture.save(folder / "train/a.jpg", exif=exif)
    image = {"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}
    annotation = {"id": 1, "image_id": 1, "category_id": 7, "bbox": box}
    parameters = as_coco(folder, images=[image], annotations=[annotation])
    result, output = convert(tmp_path, folder, parameters)
    (made_of_it,) = made(output)["annotations"]
    assert made_of_it["bbox"] == (box if upright else [15, 32, 10, 6])
    assert any("EXIF" in warning for warning in result.warnings)


def test_coco_and_via_give_the_same_artifact(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    _, from_via = convert(tmp_path / "1", folder)
    _, from_coco = convert(tmp_path / "2", folder, as_coco(folder))
    assert digests(from_via) == digests(from_coco)


def test_artifact_converts_to_itself(tmp_path: Path) -> None:
    _, first = convert(tmp_path / "1", source(tmp_path / "source"))
    _, second = convert(tmp_path / "2", first, coco_parameters("train.json", "val.json"))
    assert digests(first) == digests(second)


def test_coco_size_that_is_not_the_pictures_is_a_defect(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    images = [{"id": 1, "file_name": "a.png", "width": HEIGHT, "height": WIDTH}]
    with pytest.raises(StageError) as caught:
        convert(tmp_path, folder, as_coco(folder, images=images))
    assert caught.value.message == (
        "train/coco.json, a.png: "
        "the annotations say 30 × 40 pixels, the upright picture has 40 × 30"
    )


def test_progress_goes_up_to_the_end(tmp_path: Path) -> None:
    task = job(tmp_path / "job", source(tmp_path / "source"))
    dataset.run(task)
    task.channel.seek(0)
    assert [parse_progress(line) for line in task.channel] == [
        Progress(1, 4, "checking"),
        Progress(2, 4, "checking"),
        Progress(3, 4, "writing"),
        Progress(4, 4, "writing"),
    ]


def test_drawn_dataset_is_the_same_bytes_every_time_even_after_a_killed_run(tmp_path: Path) -> None:
    result, first = convert(tmp_path / "1", None, SMALL)
    task = job(tmp_path / "2", None, SMALL)
    (task.work / "drawn/train").mkdir(parents=True)
    (task.work / "drawn/train/half.jpg").write_bytes(b"half")
    dataset.run(task)
    assert digests(first) == digests(task.output)
    splits = read_record(first / "summary.json", DatasetSummary).splits
    assert (splits["train"].pictures, splits["val"].pictures) == (12, 4)
    assert min(splits["train"].per_class.values()) > 0
    assert not [warning for warning in result.warnings if "no annotations" not in warning]


def test_stage_runs_as_a_program(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    task = job(tmp_path / "job", folder)
    write_job(tmp_path / "job", Job("dataset", encode(PARAMETERS), {"source": str(folder)}))
    command = [sys.executable, "-m", "mmdet_jetson.stages.dataset", str(tmp_path / "job")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    result = read_result(tmp_path / "job")
    assert result is not None
    assert result.metrics["train"] == {
        "pictures": 1,
        "annotations": 1,
        "per_class": {"balloon": 1, "kite": 0},
    }
    assert (task.output / "train.json").is_file()
    (folder / "train/a.png").unlink()
    failed = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert failed.returncode == 3
    failure = read_failure(tmp_path / "job")
    assert failure is not None
    assert failure.message == "train/via.json, a.png: the picture is missing"
    assert "Traceback" not in failed.stderr


@pytest.mark.skipif(not BALLOONS.is_file(), reason=f"{BALLOONS} is not here")
def test_real_balloons(tmp_path: Path) -> None:
    with zipfile.ZipFile(BALLOONS) as archive:
        archive.extractall(tmp_path / "source")
    parameters = replace(
        PARAMETERS,
        classes=("balloon",),
        train=SplitLocation("balloon/train", "balloon/train/via_region_data.json"),
        val=SplitLocation("balloon/val", "balloon/val/via_region_data.json"),
    )
    result, output = convert(tmp_path, tmp_path / "source", parameters)
    splits = read_record(output / "summary.json", DatasetSummary).splits
    counts = {name: (split.pictures, split.annotations) for name, split in splits.items()}
    assert counts == {"train": (61, 255), "val": (13, 50)}
    assert result.warnings == (
        "made valid, as its outline crosses itself: "
        "balloon/train/via_region_data.json, 120853323_d4788431b9_b.jpg, region 5",
        "boxes of less than 8 × 8 pixels at the network's input of 640 × 640 are smaller than one "
        "cell of its finest map and hardly learned (0.3% of 305): "
        "val, 4838031651_3e7b5ea5c7_b.jpg, balloon of 6.2 × 7.5",
    )
    sizes = {image["id"]: (image["width"], image["height"]) for image in made(output)["images"]}
    for annotation in made(output)["annotations"]:
        x, y, width, height = annotation["bbox"]
        assert min(x, y) >= 0
        assert x + width <= sizes[annotation["image_id"]][0]
        assert y + height <= sizes[annotation["image_id"]][1]
