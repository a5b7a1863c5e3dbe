"""Modules of commands that are imported when somebody asks them for something.

Each command is a process of its own and needs a few of them; all take a sixth of a second.
"""

import sys
from importlib.util import LazyLoader, find_spec, module_from_spec
from types import ModuleType


def later(name: str) -> ModuleType:
    """The module of this folder with that name, imported at once or later."""
    full = f"{__package__}.{name}"
    if full in sys.modules:
        return sys.modules[full]
    spec = find_spec(full)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(full, name=full)
    spec.loader = LazyLoader(spec.loader)
    module = sys.modules[full] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
