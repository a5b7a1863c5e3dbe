"""Write ``infer.py`` into an engine's folder: all that runs an engine, in one file.

The modules are put in as they are, so that a device runs the very code that was evaluated. They go
by another package name there, so that an installed mmdet_jetson is never mixed in.
"""

import ast
from pathlib import Path
from string import Template
from typing import Dict, List

from mmdet_jetson.stages import backends
from mmdet_jetson.stages.engines import infer, thresholds
from mmdet_jetson.stages.inference import drawing

RUNNER = "infer.py"
ROOT = Path(infer.__file__).resolve().parents[2]
PACKAGE, OWN_PACKAGE = "mmdet_jetson", "mmdet_jetson_infer"

TEMPLATE = Template('''"""Detect objects with the engine in this folder.

    python infer.py picture.jpg     # or a folder, a video, a camera (0), rtsp://...: see --help

Or in a program of your own, with pictures as BGR uint8 arrays [height, width, 3]:

    import infer
    detector = infer.load()
    for found in detector.detect(picture):
        if found.score >= infer.threshold():
            print(detector.classes[found.label], found.score, found.box)

It needs numpy and the engine's backend ($backend); OpenCV for picture files, and for scaling where
the engine does not do that itself. It refuses an engine that was built for another device.
This file is generated: the modules below are those of mmdet_jetson that evaluated the engine.
"""

import importlib.abc
import importlib.util
import sys
from pathlib import Path

SOURCES = {
$sources}


class _Sources(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports the modules below; a package is a name that others start with."""

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name in SOURCES else None

    def is_package(self, name):
        return any(other.startswith(name + ".") for other in SOURCES)

    def get_source(self, name):
        return SOURCES[name]

    def get_code(self, name):
        return compile(SOURCES[name], f"{__file__}:{name}", "exec")


if __name__ == "__main__" and not importlib.util.find_spec("numpy"):
    sys.stderr.write(
        "error: numpy is not installed for " + sys.executable + "\\n"
        "  try: install numpy, opencv-python-headless and the library of $backend there, "
        "or use another Python\\n"
    )
    sys.exit($failed)
sys.meta_path.insert(0, _Sources())

from $package.stages.engines.infer import main
from $package.stages.engines.opening import open_engine
from $package.stages.engines.thresholds import threshold_of
from $package.stages.inference.preprocessing import read_picture


def load():
    """Open the engine beside this file."""
    return open_engine(Path(__file__).resolve().parent)


def threshold():
    """Give the score from which on to believe: of thresholds.json beside this file, else $usual."""
    return threshold_of(Path(__file__).resolve().parent).score


if __name__ == "__main__":
    main(Path(__file__).resolve().parent)
''')


def write_runner(folder: Path, backend: str) -> None:
    """Write the runner for a backend's engines into ``folder``."""
    sources = "".join(f"    {name!r}: r'''{text}''',\n" for name, text in bundled(backend).items())
    text = TEMPLATE.substitute(
        backend=backend,
        package=OWN_PACKAGE,
        sources=sources,
        failed=infer.FAILED,
        usual=thresholds.USUAL,
    )
    (folder / RUNNER).write_text(text, encoding="utf-8")


def bundled(backend: str) -> Dict[str, str]:
    """Give the source of each module the runner needs, by its name there; packages come first.

    What it needs is what its program, its drawing, which waits until there is a picture, and the
    one backend import when they are imported themselves. What a function imports is for other
    uses, as for building.
    """
    names = _closure([infer.__name__, drawing.__name__, f"{backends.__name__}.{backend}"])
    sources = {_own(name): _own(_path(name).read_text(encoding="utf-8")) for name in names}
    return {OWN_PACKAGE: "", **dict(sorted(sources.items()))}


def _closure(todo: List[str]) -> List[str]:
    """Follow the imports inside the package."""
    seen: List[str] = []
    while todo:
        name = todo.pop()
        if name not in seen and name.startswith(f"{PACKAGE}.") and _path(name).exists():
            seen.append(name)
            todo += [name.rpartition(".")[0], *_imported(_path(name))]
    return seen


def _imported(path: Path) -> List[str]:
    """Name what a module imports at its top level, be it a module or something in one."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            found += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def _path(name: str) -> Path:
    base = ROOT.joinpath(*name.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _own(text: str) -> str:
    return text.replace(f"{PACKAGE}.", f"{OWN_PACKAGE}.")
