"""What a configuration's files name in each other is told with its place: file, table, key."""

import shutil
from pathlib import Path

import pytest

from mmdet_jetson.config.pipeline import load_project
from mmdet_jetson.config.references import check_references
from mmdet_jetson.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("configs", "docker"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def check(root: Path, *overrides: str, config: str = "configs/pipeline.toml") -> None:
    check_references(load_project(root / config, overrides), root)


def test_the_shipped_files_agree(root: Path) -> None:
    check(root)
    check(root, config="configs/demo.toml")
    targets = load_project(root / "configs/pipeline.toml").targets
    check(root, f"targets={list(targets)}")


def test_a_path_is_taken_as_it_is_written(root: Path) -> None:
    """MMEngine follows no link for the "..", and the system would: there is no elsewhere/train."""
    (root / "elsewhere/deep").mkdir(parents=True)
    (root / "configs/link").symlink_to(root / "elsewhere/deep")
    config = load_project(root / "configs/demo.toml").pipeline.training.config
    check(root, f"train.config={config.replace('configs/', 'configs/link/../')}")


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        (
            "targets.toml", 'image = "jp501"', 'image = "jp5011"',
            "{configs}/targets.toml: jetson-onnxruntime.image: 'jp5011' is not in"
            " {configs}/images.toml\n  try: did you mean 'jp501'?",
        ),
        (
            "targets.toml", 'image = "pc"', 'image = "pcs"',
            "{configs}/targets.toml: pc-onnxruntime.image: 'pcs' is not in {configs}/images.toml",
        ),
        (
            "pipeline.toml", '"pc-onnxruntime"', '"pc-onxruntime"',
            "{configs}/pipeline.toml: targets: 'pc-onxruntime' is not in targets.toml",
        ),
        (
            "images.toml", 'stand_in = "amd64"', 'stand_in = "amd46"',
            "{configs}/images.toml: images.pc.stand_in: 'amd46' is not in stand_ins",
        ),
        (
            "images.toml", 'lock = "docker/deploy.lock"', 'lock = "docker/depoy.lock"',
            "{configs}/images.toml: images.pc.lock: 'docker/depoy.lock' is not a file",
        ),
        (
            "pipeline.toml", 'config = "configs/train/', 'config = "configs/trian/',
            "{configs}/pipeline.toml: train.config: {configs}/trian/",
        ),
    ],
)  # fmt: skip
def test_a_name_that_is_not_there_is_told_with_its_place(
    root: Path, file: str, old: str, new: str, *, told: str
) -> None:
    change(root / "configs" / file, old, new)
    targets = 'targets=["pc-onnxruntime", "jetson-onnxruntime"]'
    with pytest.raises(ConfigError) as caught:
        check(root, *([targets] if file != "pipeline.toml" else []))
    assert str(caught.value).startswith(told.replace("{configs}", str(root / "configs")))


def test_an_image_for_other_processors_than_the_devices_is_refused(root: Path) -> None:
    change(root / "configs/targets.toml", 'image = "jp62"', 'image = "train"')
    with pytest.raises(ConfigError, match=r"orin-jp62\.image: 'train' is an image for linux/amd64"):
        check(root, 'targets=["orin-jp62"]')
    change(root / "configs/targets.toml", 'image = "pc"', 'image = "pc"\npower_mode = "MAXN"')
    with pytest.raises(ConfigError, match=r"pc-onnxruntime\.power_mode: Jetsons have one"):
        check(root)
    change(root / "configs/targets.toml", 'image = "jp501"', 'image = "jp501"\npower_mode = "MAXN"')
    check(root, 'targets=["jetson-onnxruntime"]')


def test_a_deploy_config_is_needed_where_a_target_uses_it(root: Path) -> None:
    check(root, "export.tensorrt=configs/deploy/absent.py")
    with pytest.raises(ConfigError, match=r"pipeline.toml: export.onnxruntime: .*absent.py"):
        check(root, "export.onnxruntime=configs/deploy/absent.py")


def test_an_image_of_a_target_that_is_not_built_stops_nobody(root: Path) -> None:
    change(root / "configs/targets.toml", 'image = "jp62"', 'image = "jp26"')
    check(root)


def test_a_configuration_elsewhere_has_the_images_of_the_project(root: Path) -> None:
    (root / "mine").mkdir()
    for name in ("pipeline", "targets", "sources"):
        shutil.copy(root / f"configs/{name}.toml", root / "mine")
    change(root / "mine/targets.toml", 'image = "pc"', 'image = "cp"')
    with pytest.raises(ConfigError) as caught:
        check(root, config="mine/pipeline.toml")
    told = (
        f"{root}/mine/targets.toml: pc-onnxruntime.image: 'cp' is not in {root}/configs/images.toml"
    )
    assert told in str(caught.value)


@pytest.mark.parametrize("override", ["train.config", "model.config"])
def test_a_config_is_not_fetched(root: Path, override: str) -> None:
    model = ["model.checkpoint=model.pth"] if override == "model.config" else []
    told = f"{override}: https://host/a.py: a config is a file, and not fetched"
    with pytest.raises(ConfigError, match=told):
        check(root, *model, f"{override}=https://host/a.py")
