"""Whatever is wrong with what a user brings: one sentence, a hint, a code, and nothing lost.

Every case runs the real commands. ``prepare`` spoils one thing and returns the words and the
environment to run it with; the store is compared before and after.
"""

import json
import os
import pickle
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, Commands, new_commands
from PIL import Image, ImageDraw

MINE = """
name = "mine"
input_size = [64, 64]
targets = ["pc-onnxruntime"]

[dataset]
source = "{source}"
format = "via"
classes = ["mug", "glass"]
train = {{ pictures = "train", annotations = "train/via_region_data.json" }}
val = {{ pictures = "val", annotations = "val/via_region_data.json" }}

[train]
config = "configs/train/rtmdet_tiny_demo.py"
epochs = 1
batch_size = 2
workers = 0
device = "cpu"
"""


@dataclass
class Mine:
    """A user's folder of pictures with VIA annotations, and the commands configured for it."""

    commands: Commands
    data: Path
    env: dict[str, str] = field(default_factory=dict)

    def via(self, split: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.file(split).read_text())
        return content

    def file(self, split: str) -> Path:
        return self.data / split / "via_region_data.json"

    def edit(self, split: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the annotations of the first picture of a split."""
        content = self.via(split)
        change(next(iter(content.values())))
        self.file(split).write_text(json.dumps(content))

    def configure(self, old: str, new: str) -> None:
        text = self.commands.config.read_text()
        assert old in text
        self.commands.config.write_text(text.replace(old, new))


def picture(path: Path, seed: int) -> None:
    image = Image.new("RGB", (96, 64), (40 * seed % 256, 90, 120))
    ImageDraw.Draw(image).rectangle((10 + seed, 10, 50, 40), fill=(200, 30 * seed % 256, 0))
    image.save(path)


def region(label: str = "mug", x: int = 10) -> dict[str, Any]:
    shape = {
        "name": "polygon",
        "all_points_x": [x, x + 40, x + 40, x],
        "all_points_y": [10, 10, 40, 40],
    }
    return {"shape_attributes": shape, "region_attributes": {"label": label}}


def make_data(data: Path) -> None:
    for split, seeds in (("train", (1, 2, 3, 4)), ("val", (5, 6))):
        (data / split).mkdir(parents=True)
        annotations = {}
        for seed in seeds:
            name = f"{seed}.png"
            picture(data / split / name, seed)
            label = "mug" if seed % 2 else "glass"
            annotations[name] = {"filename": name, "size": 1, "regions": [region(label)]}
        (data / split / "via_region_data.json").write_text(json.dumps(annotations))


@pytest.fixture
def mine(tmp_path: Path) -> Mine:
    data = tmp_path / "data"
    make_data(data)
    return Mine(new_commands(tmp_path / "project", MINE.format(source=data)), data)


# --- what is spoiled -------------------------------------------------------------------------


def configured(old: str, new: str) -> Callable[[Mine], None]:
    return lambda mine: mine.configure(old, new)


def edited(split: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Mine], None]:
    return lambda mine: mine.edit(split, change)


def written(name: str, content: bytes) -> Callable[[Mine], None]:
    def write(mine: Mine) -> None:
        (mine.data / name).write_bytes(content)

    return write


def shape(**attributes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda record: record["regions"][0]["shape_attributes"].update(attributes)


def missing_picture(mine: Mine) -> None:
    (mine.data / "train/1.png").unlink()


def truncated_picture(mine: Mine) -> None:
    path = mine.data / "train/1.png"
    path.write_bytes(path.read_bytes()[:100])


def portrait(mine: Mine) -> None:
    """One validation picture that stands, for a network that lies."""
    mine.configure("input_size = [64, 64]", "input_size = [96, 64]")
    path = mine.data / "val/5.png"
    with Image.open(path) as image:
        upright = image.resize((64, 96))
    upright.save(path)


def overlap(mine: Mine) -> None:
    shutil.copy(mine.data / "train/1.png", mine.data / "val/5.png")


def coco(mine: Mine, **changes: Any) -> None:
    """Describe both splits in COCO format, with the given keys of the training one replaced."""
    for split, seeds in (("train", (1, 2, 3, 4)), ("val", (5, 6))):
        content = {
            "categories": [{"id": 1, "name": "mug"}, {"id": 2, "name": "glass"}],
            "images": [
                {"id": seed, "file_name": f"{seed}.png", "width": 96, "height": 64}
                for seed in seeds
            ],
            "annotations": [
                {"id": seed, "image_id": seed, "category_id": 1 + seed % 2,
                 "bbox": [10, 10, 40, 30], "area": 1200, "iscrowd": 0}
                for seed in seeds
            ],
        }  # fmt: skip
        if split == "train":
            content.update(changes)
        (mine.data / split / "coco.json").write_text(json.dumps(content))
    mine.configure('format = "via"', 'format = "coco"')
    mine.configure("train/via_region_data.json", "train/coco.json")
    mine.configure("val/via_region_data.json", "val/coco.json")


def coco_dangling(mine: Mine) -> None:
    coco(mine, annotations=[{"id": 1, "image_id": 99, "category_id": 1, "bbox": [1, 1, 9, 9]}])


def coco_unknown_category(mine: Mine) -> None:
    coco(mine, categories=[{"id": 1, "name": "mug"}, {"id": 2, "name": "gless"}])


def coco_size(mine: Mine) -> None:
    coco(mine, images=[
        {"id": seed, "file_name": f"{seed}.png", "width": 95, "height": 64} for seed in (1, 2, 3, 4)
    ])  # fmt: skip


def archived(fill: Callable[[zipfile.ZipFile], object]) -> Callable[[Mine], None]:
    """Use an archive as the source: the whole data set, and one member more."""

    def pack(mine: Mine) -> None:
        archive = mine.data.parent / "data.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(mine.data.rglob("*.*")):
                packed.write(path, path.relative_to(mine.data))
            fill(packed)
        mine.configure(f'source = "{mine.data}"', f'source = "{archive}"')

    return pack


def link(packed: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("train/link")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    packed.writestr(info, "/etc/passwd")


def truncated_archive(mine: Mine) -> None:
    archived(lambda packed: None)(mine)
    archive = mine.data.parent / "data.zip"
    archive.write_bytes(archive.read_bytes()[:-200])


def not_an_archive(mine: Mine) -> None:
    archive = mine.data.parent / "data.zip"
    archive.write_text("<html>this domain is for sale</html>")
    mine.configure(f'source = "{mine.data}"', f'source = "{archive}"')


def source(content: bytes | None, more: str = "", name: str = "data.zip") -> Callable[[Mine], None]:
    """Use a named source whose file is in a mirror, with what ``sources.toml`` says of it."""

    def declare(mine: Mine) -> None:
        mirror = mine.data.parent / "mirror"
        mirror.mkdir()
        if content is not None:
            (mirror / name).write_bytes(content)
        with (mine.commands.config.parent / "sources.toml").open("a") as stream:
            stream.write(f'[sources.mine]\nurl = "https://models.invalid/{name}"\n{more}\n')
        mine.env.update(MMDET_JETSON_MIRRORS=str(mirror), MMDET_JETSON_OFFLINE="1")
        if name.endswith(".pth"):
            mine.configure("epochs = 1", 'epochs = 1\nweights = "mine"')
        else:
            mine.configure(f'source = "{mine.data}"', 'source = "mine"')

    return declare


def weights(content: bytes) -> Callable[[Mine], None]:
    def write(mine: Mine) -> None:
        path = mine.data.parent / "weights.pth"
        path.write_bytes(content)
        mine.configure("epochs = 1", f'epochs = 1\nweights = "{path}"')

    return write


class StartsAProgram:
    """Its pickle does so when PyTorch opens it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


def weights_of_something_else(mine: Mine) -> None:
    path = mine.data.parent / "weights.pth"
    mine.configure("epochs = 1", f'epochs = 1\nweights = "{path}"')
    code = (
        f"import torch; torch.save({{'state_dict': {{'fc.weight': torch.ones(3)}}}}, {str(path)!r})"
    )
    subprocess.run([train_python(), "-c", code], check=True)


def train_python() -> str:
    from mmdet_jetson.config.settings import read_settings  # noqa: PLC0415
    from mmdet_jetson.environments.packages import python_of, train_environment  # noqa: PLC0415

    settings = read_settings()
    return str(python_of(train_environment(ROOT, settings.variant), settings, print))


def no_python_38(mine: Mine) -> None:
    nothing = str(mine.data.parent / "nothing")
    mine.env.update(
        MMDET_JETSON_CACHE=str(mine.data.parent / "cache"),
        MMDET_JETSON_OFFLINE="1",
        MMDET_JETSON_TRAIN="cpu",
        PATH=nothing,
        PYENV_ROOT=nothing,
        UV_PYTHON_INSTALL_DIR=nothing,
    )


def environment(**variables: str) -> Callable[[Mine], None]:
    return lambda mine: mine.env.update(variables)


@dataclass(frozen=True)
class Case:
    name: str
    spoil: Callable[[Mine], None]
    says: str
    words: tuple[str, ...] = ("dataset",)


def nothing(_: Mine) -> None:
    """Spoil nothing: the words themselves are wrong."""


CASES = [
    # configuration
    Case("unknown-key", configured("epochs", "epohcs"), "did you mean 'epochs'?"),
    Case("wrong-type", configured("epochs = 1", 'epochs = "one"'), "train.epochs: expected a whole number, got text"),
    Case("broken-toml", configured("[train]", "[train"), "not valid TOML"),
    Case("unknown-target", configured("pc-onnx", "pc-onx"), "did you mean 'pc-onnxruntime'?"),
    Case("odd-input-size", configured("[64, 64]", "[100, 100]"), "multiple of 32", ("train",)),
    Case("absent-train-config", configured("tiny_demo", "tiny_dmeo"), "no such config"),
    Case("config-outside", configured("configs/train/rtmdet_tiny_demo.py", "/etc/hostname"), "outside the project"),
    Case("bad-assignment", nothing, "not an assignment", ("dataset", "--set", "train.epochs")),
    Case("unknown-source", configured('source = "', 'source = "nowhere'), "neither a name in sources.toml"),
    Case("absent-class", configured('classes = ["mug", "glass"]', 'classes = ["mug"]\ndefault_class = "jar"'), "dataset.default_class"),
    Case("unknown-override", configured('device = "cpu"', 'device = "cpu"\n[train.overrides]\n"optim_wraper.optimizer.lr" = 1.0'), "optim_wrapper", ("train",)),
    Case("unknown-step", nothing, "not a step of this pipeline", ("why", "trian")),
    Case("unbuildable-target", configured('"pc-onnxruntime"', '"agx-orin-jp501"'), "this machine does not fit target 'agx-orin-jp501'", ("engine",)),
    Case("unknown-setting", environment(MMDET_JETSON_TRAIN="cu999"), "MMDET_JETSON_TRAIN"),
    # annotations
    Case("via-not-json", written("train/via_region_data.json", b"{'a': 1}"), "via_region_data.json"),
    Case("via-other-json", written("train/via_region_data.json", b'{"a": 1}'), "via_region_data.json"),
    Case("via-not-utf8", written("train/via_region_data.json", b'{"\xff": 1}'), "via_region_data.json"),
    Case("via-empty", written("train/via_region_data.json", b"{}"), "train"),
    Case("two-points", edited("train", shape(all_points_x=[1, 2], all_points_y=[1, 2])), "1.png"),
    Case("x-without-y", edited("train", shape(all_points_x=[1, 2, 3])), "1.png"),
    Case("unknown-shape", edited("train", shape(name="spline")), "spline"),
    Case("unknown-class", edited("train", lambda r: r["regions"][0]["region_attributes"].update(label="mgu")), "mug"),
    Case("no-class", edited("train", lambda r: r["regions"][0]["region_attributes"].clear()), "label"),
    Case("duplicate-region", edited("train", lambda r: r["regions"].append(region("glass"))), "1.png"),
    Case("escaping-name", edited("train", lambda r: r.update(filename="../../etc/passwd")), "passwd"),
    Case("nan-coordinate", edited("train", shape(all_points_x=[float("nan"), 2, 3, 4])), "via_region_data.json"),
    Case("coco-dangling", coco_dangling, "99"),
    Case("coco-unknown-category", coco_unknown_category, "glass"),
    Case("coco-size-differs", coco_size, "95"),
    # pictures
    Case("missing-picture", missing_picture, "1.png"),
    Case("truncated-picture", truncated_picture, "1.png"),
    Case("picture-is-text", written("train/1.png", b"not a picture"), "1.png"),
    Case("train-val-overlap", overlap, "5.png"),
    # archives
    Case("traversal", archived(lambda z: z.writestr("../outside.txt", "x")), "outside.txt"),
    Case("absolute-member", archived(lambda z: z.writestr("/etc/cron.d/x", "x")), "/etc/cron.d/x"),
    Case("symlink-member", archived(link), "train/link"),
    Case("size-bomb", archived(lambda z: z.writestr("bomb", b"\0" * 300_000_000)), "bomb"),
    Case("case-collision", archived(lambda z: z.writestr("TRAIN/1.PNG", "x")), "1.PNG"),
    Case("truncated-archive", truncated_archive, "data.zip"),
    Case("html-for-archive", not_an_archive, "data.zip"),
    # sources
    Case("wrong-digest", source(b"x", f'sha256 = "{"0" * 64}"'), "SHA-256"),
    Case("wrong-digest-in-name", source(b"x", name="net-0123abcd.pth"), "0123abcd", ("train",)),
    Case("nowhere-offline", source(None), "offline"),
    Case("wrong-size", source(b"x", "size = 2"), "bytes"),
    # checkpoints
    Case("weights-are-html", weights(b"<html>for sale</html>"), "weights.pth", ("train",)),
    Case("weights-truncated", weights(b"PK\x03\x04" + b"\0" * 64), "weights.pth", ("train",)),
    Case("weights-that-start-a-program", weights(pickle.dumps(StartsAProgram())), "want to run posix.system", ("train",)),
    Case("weights-of-another-net", weights_of_something_else, "weights.pth", ("train",)),
    # training
    Case("loss-becomes-nan", configured('device = "cpu"', 'device = "cpu"\n[train.overrides]\n"optim_wrapper.optimizer.lr" = 1e30'), "iteration", ("train",)),
    # the machine and the store
    *(
        case
        for words in ("train", "pipeline")
        for case in (
            Case(f"soft-nms-{words}", configured('device = "cpu"', 'device = "cpu"\n[train.overrides]\n"model.test_cfg.nms.type" = "soft_nms"'), "check: an engine for pc-onnxruntime could not be made after this training", (words,)),
            Case(f"portrait-in-a-wide-network-{words}", portrait, "check: 1 of 2 pictures of the val split do not fit, 5.png first", (words,)),
        )
    ),
    Case("no-python-38", no_python_38, "Python 3.8 was not found"),
    Case("unknown-tag", nothing, "no artifact is tagged", ("checkout", "mine.nothing", "/tmp/never")),
]  # fmt: skip


LEFT_OUT = [
    Case("box-outside", edited("train", shape(all_points_x=[200, 240, 240], all_points_y=[10, 10, 40])), "lies wholly outside its picture"),
    Case("flat-polygon", edited("train", shape(all_points_x=[1, 2, 3, 4], all_points_y=[5, 5, 5, 5])), "has no area"),
]  # fmt: skip


def contents(store: Path) -> dict[str, bytes]:
    """Everything the store holds, beside the evidence that a failed job leaves."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and "jobs" not in path.relative_to(store).parts
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_sentence_and_nothing_lost(case: Case, mine: Mine, tiny_run: Commands) -> None:
    shutil.copytree(tiny_run.artifacts, mine.commands.artifacts)
    case.spoil(mine)
    before = contents(mine.commands.artifacts)
    done = mine.commands.run(*case.words, env=mine.env)
    assert done.returncode not in (0, None), done.stdout
    message = done.stderr[done.stderr.rindex("error: ") :]
    assert case.says in message
    assert "Traceback" not in done.stdout + done.stderr
    sentence, _, hint = message.partition("\n  try: ")
    assert sentence.strip().count("\n") <= 6, "more than a reader takes in"
    assert hint.strip() or "did you mean" in message or "expected" in message or "TOML" in message
    after = contents(mine.commands.artifacts)
    lost = {name: content for name, content in before.items() if after.get(name) != content}
    assert set(lost) <= {"index.json"}, "an artifact changed"
    if case.words[0] not in ("train", "pipeline"):
        assert not lost


@pytest.mark.parametrize("case", LEFT_OUT, ids=lambda case: case.name)
def test_what_no_training_learns_is_left_out_with_a_warning(case: Case, mine: Mine) -> None:
    case.spoil(mine)
    done = mine.commands.run(*case.words, env=mine.env)
    assert done.returncode == 0, done.stderr
    assert f"warning: left out, as it {case.says}" in done.stderr
    assert "train/via_region_data.json, 1.png, region 1" in " ".join(done.stderr.split())


def test_there_are_at_least_forty_cases() -> None:
    assert len({case.name for case in CASES}) >= 40


def test_a_good_folder_is_accepted(mine: Mine) -> None:
    """What the cases spoil is good before they do."""
    done = mine.commands.run("dataset")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a few megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root and CAP_SYS_ADMIN")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_one_sentence(mine: Mine, small_disk: Path) -> None:
    env = {"MMDET_JETSON_ARTIFACTS": str(small_disk / "artifacts")}
    assert mine.commands.run("dataset", env=env).returncode == 0
    before = contents(small_disk / "artifacts")
    done = mine.commands.run("train", env=env)
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(small_disk / "artifacts") == before


def test_a_damaged_artifact_is_found_and_made_again(tiny_run: Commands, tmp_path: Path) -> None:
    commands = new_commands(tmp_path, tiny_run.config.read_text())
    shutil.copytree(tiny_run.artifacts, commands.artifacts)
    largest = max(
        (commands.artifacts / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size
    )
    largest.chmod(0o644)
    with largest.open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"spoiled")
    found = commands.run("verify")
    assert found.returncode == 1
    assert "error: 1 problem in" in found.stderr
    assert commands.run("verify", "--mend").returncode == 1
    assert commands.run("pipeline").returncode == 0
    assert commands.run("verify").returncode == 0
