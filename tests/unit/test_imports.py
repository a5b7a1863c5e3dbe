"""The import rules: stages know nothing of the host side, the host side no framework, and Docker's
SDK has one door.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src/mmdet_jetson"
STAGES = sorted((PACKAGE / "stages").rglob("*.py"))
HOST = sorted(set(PACKAGE.rglob("*.py")) - set(STAGES))
ONLY_IN_STAGES = {
    "cv2", "mmcv", "mmdeploy", "mmdet", "mmengine", "numpy", "onnx", "onnxruntime", "pycocotools",
    "pycuda", "shapely", "tensorrt", "torch", "torchvision",
}  # fmt: skip


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_there_is_something_to_check() -> None:
    assert len(STAGES) > 10
    assert len(HOST) > 10


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.name)
def test_a_stage_imports_nothing_from_the_host_side(path: Path) -> None:
    ours = {name for name in imported(path) if name.split(".")[0] == "mmdet_jetson"}
    assert {name for name in ours if not name.startswith("mmdet_jetson.stages")} == set()


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.name)
def test_a_stage_is_written_for_python_38(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))


@pytest.mark.parametrize("path", HOST, ids=lambda path: path.name)
def test_the_host_side_imports_no_framework_and_no_stage(path: Path) -> None:
    names = imported(path)
    assert {name for name in names if name.split(".")[0] in ONLY_IN_STAGES} == set()
    assert {name for name in names if name.startswith("mmdet_jetson.stages")} == set()


def test_one_module_imports_the_sdk_of_docker() -> None:
    doors = [
        path.relative_to(PACKAGE).as_posix()
        for path in HOST
        if any(name.split(".")[0] == "docker" for name in imported(path))
    ]
    assert doors == ["containers/connection.py"]


def test_the_menu_starts_without_the_sdk() -> None:
    """It takes half a second to import, which a run where nothing changed does not have."""
    code = "import sys, mmdet_jetson.cli.verbs, mmdet_jetson.cli.upkeep; sys.exit('docker' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, cwd=PACKAGE.parent).returncode
        == 0
    )
