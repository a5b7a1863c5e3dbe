import os
from pathlib import Path

import pytest

from mmdet_jetson.config.pipeline import load_project
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.contract.parameters.check import CheckParameters
from mmdet_jetson.errors import ConfigError
from mmdet_jetson.planning.config_files import carried_folders, config_input, config_name
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.pipeline import plan


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "train").mkdir()
    (tmp_path / "train/mine.py").write_text("_base_ = ['./base.py', 'mmdet::rtmdet/tiny.py']")
    (tmp_path / "train/base.py").write_text("_base_ = '../root.py'\n")
    (tmp_path / "root.py").write_text("epochs = 1\n")
    (tmp_path / "train/other.py").write_text("")
    return tmp_path


def test_local_bases_travel_along(root: Path, tmp_path: Path) -> None:
    copied = config_input(root, "train/mine.py").place(tmp_path / "copied")
    files = {path.relative_to(copied).as_posix() for path in copied.rglob("*.py")}
    assert files == {"train/mine.py", "train/base.py", "root.py"}


def test_the_digest_follows_bases_and_nothing_else(root: Path) -> None:
    before = config_input(root, "train/mine.py").digest()
    (root / "train/other.py").write_text("changed = 1")
    assert config_input(root, "train/mine.py").digest() == before
    (root / "root.py").write_text("epochs = 2\n")
    assert config_input(root, "train/mine.py").digest() != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("_base_ = './absent.py'", "absent.py: no such config"),
        ("_base_ = '../../outside.py'", "outside the project"),
        ("this is no python", "not a Python config"),
        ("_base_ = ['a.py'] + ['b.py']", "_base_ is computed"),
        ("custom_imports = dict(imports=NAMES)", "custom_imports is computed"),
        ("custom_imports = {'imports': ['broken']}", "mine.py: imports a module that is no valid"),
        ("if True:\n    custom_imports = dict(imports=NAMES)", "custom_imports is computed"),
    ],
)
def test_a_broken_config_is_named(root: Path, content: str, message: str) -> None:
    (root / "train/mine.py").write_text(content)
    (root / "train/broken.py").write_text("def")
    with pytest.raises(ConfigError, match=message):
        config_input(root, "train/mine.py")


OWN = {
    "train/transforms.py": "import cv2\nfrom shared.levels import FACTOR\nimport torch, beside",
    "train/beside.py": "",
    "train/unused.py": "",
    "shared/levels.py": "def late():\n    from shared import more\n",
    "shared/more.py": "",
    "shared/unused.py": "",
    "nets/__init__.py": "from . import registered\nfrom .inner.head import Head",
    "nets/registered.py": "",
    "nets/inner/__init__.py": "",
    "nets/inner/head.py": "from ..registered import x",
    "nets/loaded_by_name.py": "",
}


@pytest.fixture
def own_modules(root: Path) -> Path:
    """A project whose config imports modules of its own, from its folder and from the project's."""
    for name, content in OWN.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content)
    (root / "train/mine.py").write_text(
        "_base_ = './base.py'\n"
        "custom_imports = dict(imports=['transforms', 'nets', 'mmdet.models', 'os.path'])\n"
    )
    return root


def test_own_modules_travel_along_with_what_they_import(own_modules: Path, tmp_path: Path) -> None:
    copied = config_input(own_modules, "train/mine.py").place(tmp_path / "copied")
    modules = copied / "custom_imports"
    files = {path.relative_to(modules).as_posix() for path in modules.rglob("*.py")}
    assert files == {
        *("transforms.py", "beside.py", "shared/levels.py", "shared/more.py"),
        # A package that is named comes whole: it may load its modules by names.
        *("nets/__init__.py", "nets/registered.py", "nets/loaded_by_name.py"),
        *("nets/inner/__init__.py", "nets/inner/head.py"),
    }
    assert carried_folders(own_modules, "train/mine.py") == ("custom_imports",)
    assert carried_folders(own_modules, "train/base.py") == ()


def test_the_digest_follows_own_modules(own_modules: Path) -> None:
    before = config_input(own_modules, "train/mine.py").digest()
    (own_modules / "shared/unused.py").write_text("changed = 1")
    assert config_input(own_modules, "train/mine.py").digest() == before
    (own_modules / "shared/more.py").write_text("changed = 1")
    assert config_input(own_modules, "train/mine.py").digest() != before


@pytest.mark.parametrize(
    "content",
    [
        "custom_imports = {'imports': 'transforms', 'allow_failed_imports': True}",
        "custom_imports = dict(imports=('transforms',))",
        "from transforms import size",
        "if True:\n    custom_imports = dict(imports=['transforms'])",
        "try:\n    pass\nfinally:\n    with x:\n        custom_imports = {'imports': 'transforms'}",
        "custom_imports: dict = dict(imports=['transforms'])",
        "custom_imports = dict()\ncustom_imports['imports'] = ['transforms']",
        "custom_imports = dict(imports=['os'])\ncustom_imports['imports'].append('transforms')",
        "custom_imports = dict(imports=['os'])\ncustom_imports['imports'] += ['transforms']",
        "custom_imports = dict(imports=['transforms']) if True else None",
        "custom_imports, size = dict(imports=['transforms']), 1",
    ],
)
def test_every_way_to_import_is_seen(own_modules: Path, tmp_path: Path, content: str) -> None:
    (own_modules / "train/base.py").write_text(content)
    copied = config_input(own_modules, "train/base.py").place(tmp_path / "copied")
    assert (copied / "custom_imports/transforms.py").is_file()


def test_a_module_beside_the_config_comes_before_the_project_s(
    own_modules: Path, tmp_path: Path
) -> None:
    (own_modules / "transforms.py").write_text("of_the_project = 1")
    copied = config_input(own_modules, "train/mine.py").place(tmp_path / "copied")
    assert (copied / "custom_imports/transforms.py").read_text() == OWN["train/transforms.py"]


@pytest.mark.parametrize("name", ["mine.py", "base.py"])
@pytest.mark.timeout(20)
def test_a_pipe_is_no_config(root: Path, name: str) -> None:
    (root / "train" / name).unlink()
    os.mkfifo(root / "train" / name)
    with pytest.raises(ConfigError, match=rf"{name}: not a Python config: .*it is a pipe"):
        config_input(root, "train/mine.py")


@pytest.mark.timeout(20)
def test_a_pipe_is_no_module(root: Path) -> None:
    (root / "own").mkdir()
    (root / "own/__init__.py").write_text("")
    os.mkfifo(root / "own/pipe.py")
    (root / "train/mine.py").write_text("custom_imports = dict(imports=['own'])")
    assert carried_folders(root, "train/mine.py") == ("custom_imports",)


def copied_files(root: Path, config: str, into: Path) -> dict[str, str]:
    """What is handed over, by its name."""
    copied = config_input(root, config).place(into)
    files = [path for path in copied.rglob("*") if not path.is_dir()]
    assert not any(path.is_symlink() for path in files)
    return {path.relative_to(copied).as_posix(): path.read_text() for path in files}


def test_a_link_goes_by_its_own_name(tmp_path: Path) -> None:
    """A base lies beside the path as it is written, as MMEngine has it: not beside a link's end."""
    root = tmp_path / "project"
    for name, content in {
        "kept/real.py": "_base_ = './base.py'",
        "kept/base.py": "of_kept = 1",
        "mine/base.py": "of_mine = 1",
        "shared/deep/folder/in_folder.py": "_base_ = '../mine/link.py'",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    (root / "mine/link.py").symlink_to("../kept/real.py")
    (root / "folder").symlink_to("shared/deep/folder")

    assert copied_files(root, "mine/link.py", tmp_path / "a") == {
        "mine/link.py": "_base_ = './base.py'",
        "mine/base.py": "of_mine = 1",
    }
    assert set(copied_files(root, "folder/in_folder.py", tmp_path / "b")) == {
        *("folder/in_folder.py", "mine/link.py", "mine/base.py")
    }


def test_the_digest_follows_what_a_link_leads_to(root: Path) -> None:
    (root / "train/link.py").symlink_to("mine.py")
    before = config_input(root, "train/link.py").digest()
    (root / "train/link.py").unlink()
    (root / "train/link.py").write_bytes((root / "train/mine.py").read_bytes())
    assert config_input(root, "train/link.py").digest() == before
    (root / "train/link.py").unlink()
    (root / "train/link.py").symlink_to("other.py")
    assert config_input(root, "train/link.py").digest() != before


@pytest.mark.parametrize(
    ("link", "target", "message"),
    [
        ("project/link.py", "../outside.py", "outside.py: outside the project"),
        ("project/link.py", "link.py", "link.py: cannot be read: Too many levels"),
        ("project/link.py", "absent.py", "link.py: no such config"),
    ],
)
@pytest.mark.parametrize("config", ["link.py", "with_link.py"])
def test_a_link_that_leads_to_no_config_is_refused(
    tmp_path: Path, link: str, target: str, message: str, config: str
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "outside.py").write_text("")
    (tmp_path / link).symlink_to(target)
    (tmp_path / "project/with_link.py").write_text("_base_ = 'link.py'")
    with pytest.raises(ConfigError, match=message):
        config_input(tmp_path / "project", config)


def test_a_stage_finds_a_config_however_its_path_is_written(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    to_root = tmp_path_factory.mktemp("elsewhere") / "to_root"
    to_root.symlink_to(root)
    (root / "folder").symlink_to("train")
    for written in ("folder/../train/mine.py", str(root / "train/mine.py"), "./train/mine.py"):
        assert config_name(root, written) == "train/mine.py"
    assert config_name(root, str(to_root / "train/mine.py")) == "train/mine.py"
    assert config_name(root, "folder/mine.py") == "folder/mine.py"


def test_a_plan_calls_its_configs_as_stages_find_them(settings: Settings) -> None:
    project = load_project(settings.root / "configs/demo.toml")
    train, deploy = project.pipeline.training.config, project.pipeline.export.onnxruntime
    written = [f"train.config={settings.root / train}", f"export.onnxruntime=absent/../{deploy}"]
    project = load_project(settings.root / "configs/demo.toml", written)
    steps = plan(project, Inputs(project, settings, lambda name, done, total: None))
    told = {step.name: step.parameters for step in steps}
    checked = told["check"]
    assert isinstance(checked, CheckParameters)
    assert checked.model
    assert checked.model.config == train
    assert {export.deploy_config for export in checked.exports.values()} == {deploy}
    assert getattr(told["train"], "config", "") == train


def test_modules_are_found_beside_a_link_and_beside_what_it_leads_to(
    own_modules: Path, tmp_path: Path
) -> None:
    (own_modules / "mine").mkdir()
    (own_modules / "mine/link.py").symlink_to("../train/mine.py")
    (own_modules / "mine/base.py").write_text("")
    (own_modules / "mine/transforms.py").symlink_to("../train/unused.py")
    (own_modules / "nets/linked").symlink_to("inner")
    (own_modules / "nets/round").symlink_to("../nets")
    copied = copied_files(own_modules, "mine/link.py", tmp_path / "copied")
    assert copied["custom_imports/transforms.py"] == OWN["train/unused.py"]
    assert "custom_imports/nets/linked/head.py" in copied
    assert not any("round" in name for name in copied)
    (own_modules / "mine/transforms.py").unlink()
    copied = copied_files(own_modules, "mine/link.py", tmp_path / "again")
    assert copied["custom_imports/transforms.py"] == OWN["train/transforms.py"]


def test_a_path_is_no_module(own_modules: Path, tmp_path: Path) -> None:
    """A text that leads out of the folders to import from would be copied out of the input."""
    names = [str(own_modules / "train/unused"), "../train/unused", "", ".", "nets//registered"]
    (own_modules / "train/mine.py").write_text(f"custom_imports = dict(imports={names})")
    assert set(copied_files(own_modules, "train/mine.py", tmp_path / "copied")) == {"train/mine.py"}
