"""A config read from its file: the user's own modules imported, and its types by plain names."""

import importlib
import shutil
import sys
import traceback
import warnings
from pathlib import Path
from typing import List

from mmdet import registry as registries
from mmdet.utils import register_all_modules
from mmengine import Config, Registry

from mmdet_jetson.contract import custom_imports
from mmdet_jetson.stages.errors import StageError, reason_of

SCOPE = "mmdet"
# Python leaves it beside modules that it has imported.
COMPILED = shutil.ignore_patterns("__pycache__")


def read_config(path: Path, home: Path, name: str, advice: str) -> Config:
    """Read a config and import the modules that its ``custom_imports`` names.

    ``home`` is the folder that has the user's own modules below it, ``name`` what a sentence calls
    the config, ``advice`` what to try.

    Raises:
        StageError: the config is not valid Python, or a module cannot be imported.
    """
    register_all_modules()
    folder = home / custom_imports.FOLDER
    if folder.is_dir() and str(folder) not in sys.path:
        # First, as a PYTHONPATH would be; it has nothing but what the config asked for.
        sys.path.insert(0, str(folder))
    try:
        config = Config.fromfile(str(path), import_custom_modules=False)
    except Exception as error:  # the file is Python: it can raise anything
        raise StageError(f"{name} cannot be read: {reason_of(error)}", advice) from error
    _import_modules(config, name)
    return unscoped(config)


def copy_modules(home: Path, into: Path) -> None:
    """Copy the user's own modules below ``home``, where there are any, for a config in ``into``."""
    folder = home / custom_imports.FOLDER
    if folder.is_dir():
        shutil.copytree(folder, into / custom_imports.FOLDER, ignore=COMPILED)


def _import_modules(config: Config, name: str) -> None:
    wanted = config.get("custom_imports") or {}
    if not isinstance(wanted, dict):
        raise StageError(
            f"custom_imports of {name} is a {type(wanted).__name__}",
            "write it as custom_imports = dict(imports=['my_module'])",
        )
    modules = wanted.get("imports") or []
    for module in [modules] if isinstance(modules, str) else modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # a module is Python, too
            if isinstance(error, ImportError) and wanted.get("allow_failed_imports", False):
                warnings.warn(f"{module} is not imported: {reason_of(error)}", stacklevel=2)
                continue
            traceback.print_exc()
            raise _not_imported(module, name, error) from error


def _not_imported(module: str, name: str, error: Exception) -> StageError:
    absent = error.name if isinstance(error, ModuleNotFoundError) else None
    if absent and f"{module}.".startswith(f"{absent}."):
        return StageError(
            f"{name} imports the module {module} (custom_imports), which was found neither "
            "beside the config nor in the project's folder, and is no package of the environment",
            f"put {module.replace('.', '/')}.py beside the config or into the project's folder; if "
            f"it is there, write its name out: custom_imports = dict(imports=['{module}'])",
        )
    return StageError(
        f"the module {module}, which {name} imports (custom_imports), fails: {reason_of(error)}",
        "mend it; the log has the traceback",
    )


def unscoped(config: Config) -> Config:
    """Return the config with plain names: ``mmdet.Resize`` is ``Resize`` everywhere else.

    A name stays as it is where the plain one would be another class, or is in no registry.
    """
    if config.get("default_scope", SCOPE) != SCOPE:
        return config
    return Config(_plain(config.to_dict()), filename=config.filename)


def _plain(node: object) -> object:
    if isinstance(node, dict):
        items = {key: _plain(value) for key, value in node.items()}
        if items.get("_scope_") == SCOPE:
            del items["_scope_"]
        if "type" in items:
            items["type"] = _plain_name(items["type"])
        return items
    if isinstance(node, (list, tuple)):
        return type(node)(_plain(child) for child in node)
    return node


def _plain_name(kind: object) -> object:
    if isinstance(kind, str):
        scope, _, plain = kind.partition(".")
        # MMDetection's scope has all that MMEngine's and MMCV's have, though not by its own name.
        scoped = plain if scope == SCOPE else kind
        same = plain and any(_is_same(each, scoped, plain) for each in _registries())
        return plain if same else kind
    # A class itself: it has no place in a config that travels as text.
    name = getattr(kind, "__name__", "")
    return name if name and any(each.get(name) is kind for each in _registries()) else kind


def _is_same(registry: Registry, scoped: str, plain: str) -> bool:
    found = registry.get(scoped)
    return found is not None and registry.get(plain) is found


def _registries() -> List[Registry]:
    found = [each for each in vars(registries).values() if isinstance(each, Registry)]
    # MMEngine's own are there by other names.
    return [each for each in found if each.scope == SCOPE]
