"""Which files are a stage's source, and that a key never speaks of an older one."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stage_source, stages
from mmdet_jetson.planning.stage_source import copy_source, source_digest, source_state

PACKAGE = {
    "contract/__init__.py": "",
    "contract/told.py": "",
    "contract/untold.py": "",
    "stages/__init__.py": "",
    "stages/one.py": "from mmdet_jetson.stages.two import x\nfrom mmdet_jetson.contract import told",
    "stages/two.py": "from mmdet_jetson.stages import three\nfrom mmdet_jetson.stages.kinds import load",
    "stages/three.py": "",
    "stages/other.py": "",
    "stages/one.html.j2": "",
    "stages/kinds/__init__.py": "from importlib import import_module",
    "stages/kinds/by_name.py": "",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(stage_source, "PACKAGE", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", PACKAGE)
def test_the_source_digest_follows_imports(package: Path, name: str) -> None:
    """Also into the contract, and to modules that a package loads by their names."""
    before = source_digest("one")
    (package / name).write_text(f"{PACKAGE[name]}\n# changed")
    is_of_another = name in ("contract/untold.py", "stages/other.py")
    assert (source_digest("one") == before) == is_of_another


def test_a_module_that_appears_later_belongs_to_it(package: Path) -> None:
    before = source_digest("one")
    (package / "stages/kinds/another.py").write_text("")
    assert source_digest("one") != before


def test_a_folder_of_modules_has_its_first_one_run(package: Path) -> None:
    """Python runs `__init__.py` whichever module of the folder is imported."""
    (package / "stages/deep").mkdir()
    (package / "stages/deep/__init__.py").write_text("")
    (package / "stages/deep/module.py").write_text("")
    (package / "stages/three.py").write_text("from mmdet_jetson.stages.deep.module import x")
    before = source_digest("one")
    (package / "stages/deep/__init__.py").write_text("x = 1")
    assert source_digest("one") != before


def test_files_that_stay_as_they_are_are_read_once(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with nothing to do looks at the source of a dozen steps."""
    source_digest("one")
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("read again"))
    source_digest("one")


def test_what_an_editor_leaves_half_done_is_a_sentence(package: Path) -> None:
    (package / "stages/two.py").write_text("def (")
    with pytest.raises(UserError, match=r"two\.py, line 1: this is not Python"):
        source_digest("one")


def test_a_copy_is_of_what_its_digest_says(package: Path, tmp_path: Path) -> None:
    copied = copy_source("one", tmp_path / "copy")
    assert copied == source_digest("one")
    state = source_state()
    (package / "stages/three.py").write_text("# changed")
    assert source_state() != state
    assert copy_source("one", tmp_path / "other") not in (copied, "")
    assert (tmp_path / "copy/mmdet_jetson/stages/three.py").read_text() == ""
    assert not (tmp_path / "copy/mmdet_jetson/stages/other.py").exists()


@pytest.mark.parametrize("stage", ["dataset", "report"])
def test_a_copy_is_all_that_a_stage_needs(stage: str, tmp_path: Path) -> None:
    """Of stages that this Python has the packages for; the demo runs the others."""
    copy_source(stage, tmp_path)
    code = f"import mmdet_jetson.stages.{stage} as stage; print(stage.__file__)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(tmp_path))


def test_every_stage_has_a_source() -> None:
    for stage in stages.STAGES:
        assert len(source_digest(stage.module)) == 64


def closure(stage: str) -> list[Path]:
    return list(stage_source._tree(source_state()).files(stage))


def test_a_stage_does_not_depend_on_what_others_are_told() -> None:
    """Else a new gate, or a new parameter of the profile, would train everything anew."""
    modules = {path.relative_to(stage_source.PACKAGE).as_posix() for path in closure("train")}
    assert "contract/parameters/train.py" in modules
    others = {"contract/gates.py", "contract/backends.py", "contract/parameters/profile.py"}
    assert modules & others == set()
    gates = {path.name for path in closure("report")}
    assert {"gates.py", "min_ap50.py"} <= gates


@pytest.mark.parametrize(
    ("stage", "others"),
    [
        ("train", {"conversion", "building", "backends", "engines", "gates", "reporting"}),
        ("export", {"annotations", "building", "backends", "engines", "gates", "reporting"}),
        ("engine", {"training", "checkpoints", "conversion", "gates", "proving", "reporting"}),
        ("evaluate_engine", {"training", "checkpoints", "conversion", "gates", "reporting"}),
        ("prove", {"training", "conversion", "building", "backends", "engines", "gates"}),
    ],
)
def test_a_stage_does_not_depend_on_the_source_of_others(stage: str, others: set[str]) -> None:
    """Else a word in the report would build every engine anew."""
    folders = {path.parent.name for path in closure(stage)}
    assert "contract" in folders
    assert folders & others == set()
