"""Every backend of the table is a module with the functions of `Backend`."""

import ast
import inspect
import sys
from pathlib import Path

import pytest

import mmdet_jetson
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.stages import backends
from mmdet_jetson.stages.backends import Backend, load_backend
from mmdet_jetson.stages.errors import StageError

FOLDER = Path(backends.__file__).parent
ROOT = Path(mmdet_jetson.__file__).parents[1]
FUNCTIONS = {
    name: [*inspect.signature(value).parameters][1:]
    for name, value in vars(Backend).items()
    if not name.startswith("_") and callable(value)
}


def offered(module: Path) -> dict[str, list[str]]:
    """The functions that a module defines or imports from one of ours, with their arguments.

    Its library need not be installed for that.
    """
    found: dict[str, list[str]] = {}
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = [argument.arg for argument in node.args.args]
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("mmdet_jetson."):
            source = ROOT.joinpath(*str(node.module).split(".")).with_suffix(".py")
            names = {alias.name for alias in node.names} & set(FUNCTIONS)
            found.update({name: offered(source)[name] for name in names})
    return found


def test_there_are_functions_to_look_for() -> None:
    assert set(FUNCTIONS) >= {"build", "open_session", "versions"}
    assert FUNCTIONS["open_session"] == ["engine", "precision", "graph", "settings"]


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_has_all_functions(name: str) -> None:
    there = offered(FOLDER / f"{name}.py")
    assert {function: there.get(function) for function in FUNCTIONS} == FUNCTIONS


def test_every_module_is_in_the_table() -> None:
    modules = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}

    assert modules == set(BACKENDS)


def test_an_unknown_backend_is_one_sentence() -> None:
    with pytest.raises(StageError, match="no backend called 'tensorflow'") as caught:
        load_backend("tensorflow")

    assert "tensorrt, tensorrt_rtx" in caught.value.hint


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mmdet_jetson.stages.backends.tensorrt", raising=False)
    monkeypatch.setitem(sys.modules, "tensorrt", None)

    with pytest.raises(StageError, match="needs the library tensorrt, which is not installed"):
        load_backend("tensorrt")
