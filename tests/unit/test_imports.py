"""The import rules that docs/architecture.md states: which folder may import which, what knows of
frameworks, and where the SDK of Docker is.
"""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmdet_jetson.planning import stages

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src/mmdet_jetson"
MODULES = sorted(PACKAGE.rglob("*.py"))
STAGES = [path for path in MODULES if path.is_relative_to(PACKAGE / "stages")]
CONTRACT = [path for path in MODULES if path.is_relative_to(PACKAGE / "contract")]
HOST = [path for path in MODULES if path not in STAGES]
ENTRY_POINTS = [
    PACKAGE / f"stages/{stage.module}.py"
    for stage in (*stages.STAGES, stages.PREFLIGHT, stages.EXPORT_FOR)
]
ONLY_IN_STAGES = {
    "cv2", "mmcv", "mmdeploy", "mmdet", "mmengine", "numpy", "onnx", "onnxruntime", "openvino",
    "pycocotools", "pycuda", "shapely", "tensorboard", "tensorrt", "torch", "torchvision",
}  # fmt: skip
OF_NUMBERS = (
    "promotion/accuracy.py", "promotion/precision.py", "promotion/resampling.py",
    "promotion/validation.py",
)  # fmt: skip
"""What of the host side counts with NumPy."""
FLAT = "*.py"
"""What architecture.md calls the modules that lie beside the folders."""
OF_DEVICES = {
    "cv2", "jinja2", "markupsafe", "numpy", "onnx", "onnxruntime", "pycocotools",
}  # fmt: skip
"""What environment `deploy` has (docker/deploy.in, and what that brings along)."""
ENTRIES = re.compile(
    r"^Imports (?:of the host side|inside `stages/`) point left: `(.+)`", re.MULTILINE
)


ON_DEVICES = [
    PACKAGE / f"stages/{stage.module}.py"
    for stage in (*stages.STAGES, stages.PREFLIGHT, stages.EXPORT_FOR)
    if stage.environment != stages.TRAIN or stage.runs_on_devices
]


def shown(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imported(path: Path) -> set[str]:
    names = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def imported_at_once(path: Path) -> set[str]:
    """What importing a module imports: what its functions import, or it only tries to, is later."""
    statements = ast.parse(path.read_text()).body
    top = [node for node in statements if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = set[str]()
    for node in top:
        of = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        names |= {f"{of}{alias.name}" for alias in node.names}
    return names


def packages_behind(entry: Path) -> dict[str, str]:
    """The packages of others that importing a module imports, each with the module that does."""
    found: dict[str, str] = {}
    waiting, seen = [entry], {entry}
    while waiting:
        path = waiting.pop()
        for name in imported_at_once(path):
            if name.split(".")[0] != "mmdet_jetson":
                found[name.split(".")[0]] = shown(path)
            places = [
                PACKAGE.parent / each.replace(".", "/") for each in (name, name.rpartition(".")[0])
            ]
            files = [file for at in places for file in (at.with_suffix(".py"), at / "__init__.py")]
            new = {file for file in files if file.is_file() and PACKAGE in file.parents} - seen
            seen |= new
            waiting += new
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names}


def newer_types(text: str) -> Iterator[str]:
    """The types that Python 3.8 fails to evaluate, though their syntax is old."""
    tree = ast.parse(text, feature_version=(3, 8))
    lines = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    generic = {"dict", "frozenset", "list", "set", "tuple", "type"}
    generic |= {a.name for node in lines if node.module == "collections.abc" for a in node.names}
    annotations = [each for node in ast.walk(tree) for each in annotations_of(node)]
    within = {id(each) for annotation in annotations for each in ast.walk(annotation)}
    is_lazy = any(node.module == "__future__" for node in lines)
    for node in ast.walk(tree):
        if is_lazy and id(node) in within:
            continue
        is_union = isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)
        is_generic = isinstance(node, ast.Subscript) and getattr(node.value, "id", "") in generic
        if is_generic or (is_union and id(node) in within):
            yield ast.unparse(node)


def annotations_of(node: ast.AST) -> Iterator[ast.expr]:
    for name in ("annotation", "returns"):
        found = getattr(node, name, None)
        if found is not None:
            yield found


def orders() -> tuple[list[str], list[str]]:
    """The folders of the host side and those of the stages, lowest first, as the document has them."""
    text = (ROOT / "docs/architecture.md").read_text()
    host, inside = (line.split(" < ") for line in ENTRIES.findall(text))
    return host, inside


def folder(parts: tuple[str, ...]) -> str:
    return FLAT if len(parts) < 2 else parts[0]


def upward(top: Path, order: list[str]) -> Iterator[str]:
    """The imports between the folders below ``top`` that point to a folder further up.

    The stages themselves lie beside the folders of ``stages/`` and stand on all of them.
    """
    prefix = ".".join(("mmdet_jetson", *top.relative_to(PACKAGE).parts)) + "."
    for path in sorted(top.rglob("*.py")):
        here = folder(path.relative_to(top).parts)
        if here not in order or path in ENTRY_POINTS:
            continue
        for name in imported(path):
            first = name.removeprefix(prefix).split(".")[0]
            there = first if (top / first).is_dir() else FLAT
            is_ours = name.startswith(prefix) and there in order
            if is_ours and order.index(there) > order.index(here):
                yield f"{shown(path)} imports {name}"


def test_the_document_names_every_folder() -> None:
    host, inside = orders()
    here = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert set(host) == (here - {"stages"}) | {FLAT}
    lying = (PACKAGE / "stages").iterdir()
    folders = {path.name for path in lying if (path / "__init__.py").exists()}
    assert set(inside) == folders | {FLAT}


def test_no_folder_imports_one_further_up() -> None:
    host, inside = orders()
    assert list(upward(PACKAGE, host)) == []
    assert list(upward(PACKAGE / "stages", inside)) == []


@pytest.mark.parametrize("path", ON_DEVICES, ids=shown)
def test_what_runs_on_devices_starts_with_what_they_have(path: Path) -> None:
    assert {name: by for name, by in packages_behind(path).items() if name not in OF_DEVICES} == {}


def test_a_package_that_devices_lack_is_seen() -> None:
    assert "PIL" in packages_behind(PACKAGE / "stages/dataset.py")


def test_nothing_imports_a_stage() -> None:
    names = {f"mmdet_jetson.stages.{path.stem}" for path in ENTRY_POINTS}
    for path in MODULES:
        modules = {name.rpartition(".")[0] for name in imported(path)} | imported(path)
        assert modules & names == set(), shown(path)


def test_an_import_that_points_up_is_seen() -> None:
    host, inside = orders()
    assert any("running/run_step.py" in line for line in upward(PACKAGE, host[::-1]))
    assert list(upward(PACKAGE / "stages", inside[::-1]))


def test_few_modules_lie_beside_the_folders() -> None:
    assert len([path for path in PACKAGE.glob("*.py") if path.name != "__init__.py"]) <= 6


@pytest.mark.parametrize("path", STAGES, ids=shown)
def test_a_stage_imports_of_ours_only_stages_and_the_contract(path: Path) -> None:
    ours = {name for name in imported(path) if name.split(".")[0] == "mmdet_jetson"}
    allowed = ("mmdet_jetson.stages", "mmdet_jetson.contract")
    assert {name for name in ours if not name.startswith(allowed)} == set()


@pytest.mark.parametrize("path", CONTRACT, ids=shown)
def test_the_contract_imports_the_standard_library_only(path: Path) -> None:
    others = {name for name in imported(path) if not name.startswith("mmdet_jetson.contract.")}
    assert {name for name in others if name.split(".")[0] not in sys.stdlib_module_names} == set()


@pytest.mark.parametrize("path", [*STAGES, *CONTRACT], ids=shown)
def test_what_runs_in_an_environment_is_written_for_python_38(path: Path) -> None:
    assert list(newer_types(path.read_text())) == []


@pytest.mark.parametrize(
    "line",
    [
        "a: list[int]",
        "def f(a: int | None) -> None: ...",
        "def f() -> int | str: ...",
        "from collections.abc import Callable\ndef f(a: Callable[[], int]) -> None: ...",
    ],
)
def test_a_type_that_python_38_cannot_evaluate_is_seen(line: str) -> None:
    assert list(newer_types(line))
    assert list(newer_types(f"from __future__ import annotations\n{line}")) == []


def test_a_newer_type_outside_of_annotations_is_always_seen() -> None:
    assert list(newer_types("from __future__ import annotations\nA = dict[str, int]"))


def test_a_type_that_python_38_never_evaluates_is_none() -> None:
    assert (
        list(newer_types('def f(a: "list[int] | None", b: List[int]) -> int: return a[0] | b[0]'))
        == []
    )


@pytest.mark.parametrize("path", HOST, ids=shown)
def test_the_host_side_imports_no_framework_and_no_stage(path: Path) -> None:
    names = imported(path)
    allowed = {"numpy"} if shown(path) in OF_NUMBERS else set()
    assert {name for name in names if name.split(".")[0] in ONLY_IN_STAGES} <= allowed
    assert {name for name in names if name.startswith("mmdet_jetson.stages")} == set()


def test_one_module_imports_the_sdk_of_docker() -> None:
    """Another reads Docker's configuration with it, and talks to nobody."""
    doors = {shown(p): {n for n in imported(p) if n.split(".")[0] == "docker"} for p in HOST}
    doors.pop("containers/connection.py")
    assert doors.pop("registry/credentials.py") == {"docker.auth", "docker.errors"}
    assert [path for path, names in doors.items() if names] == []


def test_commands_start_without_the_sdk() -> None:
    """It takes half a second to import, which a run where nothing changed does not have."""
    modules = "mmdet_jetson.cli.verbs, mmdet_jetson.cli.upkeep, mmdet_jetson.registry.repository"
    code = f"import sys, {modules}; sys.exit('docker' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=PACKAGE.parent)
    assert done.returncode == 0


def test_tasks_start_without_what_few_of_them_need() -> None:
    """`invoke --list` reads all of them."""
    unwanted = {"docker", "jinja2", "numpy", "pygal", "mmdet_jetson.bundles.comparison"}
    code = f"import sys, tasks; sys.exit(', '.join({unwanted} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT)
    assert done.returncode == 0


def test_no_two_files_of_tests_have_one_name() -> None:
    """pytest imports them by it, and a run of all of them ends before the first test."""
    parts = ("unit", "integration", "gpu")
    files = [path for part in parts for path in (ROOT / "tests" / part).rglob("test_*.py")]
    names = Counter(path.name for path in files)
    assert len(files) > 100
    assert [name for name, count in names.items() if count > 1] == []
