"""``infer.py`` as a device runs it: a program of its own, without the project."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from built_engines import DETS, engine_folder, engine_job
from fused import fused_folder

from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.stages.engine import run
from mmdet_jetson.stages.engines.infer import drawings
from mmdet_jetson.stages.engines.opening import open_engine
from mmdet_jetson.stages.engines.runner_file import bundled, write_runner
from mmdet_jetson.stages.inference.preprocessing import read_picture

# What a device need not have, hidden from the program.
HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Hidden())
sys.path.insert(0, {folder!r})
"""


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "balloon.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8))
    return path


def python(*arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-I", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_it_draws_what_the_detector_finds(tmp_path: Path, picture: Path) -> None:
    engine = engine_folder(tmp_path)

    done = python(engine / "infer.py", picture, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "2 detected" in done.stdout
    assert f"balloon {DETS[1][4]:.3f}  64.0 32.0 96.0 96.0" in done.stdout
    assert read_picture(tmp_path / "balloon_detected.jpg").shape[1] == 128


def test_it_can_be_imported_without_anything_but_numpy_and_the_backend(tmp_path: Path) -> None:
    job = engine_job(tmp_path, fused_folder(tmp_path / "onnx"))
    run(job)
    engine = job.output
    hide = HIDE.format(hidden=("cv2", "onnx", "mmdet_jetson", "pycocotools"), folder=str(engine))
    use = "import infer, numpy; print(infer.load().network(numpy.zeros((1, 64, 64, 3), 'uint8'), numpy.ones((1, 4), 'float32'))[0].tolist())"
    script = tmp_path / "use.py"
    script.write_text(hide + use)

    done = python(script, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    inputs = np.zeros((1, 64, 64, 3), np.uint8), np.ones((1, 4), np.float32)
    assert done.stdout.strip() == str(open_engine(engine).network(*inputs)[0].tolist())


def test_a_picture_without_opencv_is_one_sentence(tmp_path: Path, picture: Path) -> None:
    engine = engine_folder(tmp_path)
    script = tmp_path / "use.py"
    use = f"import infer, pathlib; infer.main(pathlib.Path({str(engine)!r}), [{str(picture)!r}])"
    script.write_text(HIDE.format(hidden=("cv2",), folder=str(engine)) + use)

    done = python(script, cwd=tmp_path)

    assert done.returncode == 3
    assert "needs OpenCV" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_python_without_numpy_is_one_sentence(tmp_path: Path) -> None:
    write_runner(tmp_path, "onnxruntime")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "infer.py", "a.png"],  # -S: no installed packages
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.startswith(f"error: numpy is not installed for {sys.executable}\n  try: ")
    assert "the library of onnxruntime" in done.stderr


def test_pictures_of_one_name_have_a_drawing_each(tmp_path: Path, picture: Path) -> None:
    engine = engine_folder(tmp_path)
    for name in ("a/1.png", "b/1.png", "b/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(picture.read_bytes())

    done = python(engine / "infer.py", "a/1.png", "b/1.png", "b/1.jpg", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    drawn = [line.rpartition(" ")[2] for line in done.stdout.splitlines() if "drawn in" in line]
    assert drawn == ["1_detected.jpg", "1_detected-2.jpg", "1_detected-3.jpg"]
    assert {path.name for path in tmp_path.glob("*_detected*")} == set(drawn)


def test_a_drawing_never_takes_the_place_of_a_picture(tmp_path: Path) -> None:
    """An earlier drawing may be what is detected on, and a file system may not tell B from b."""
    pictures = [tmp_path / name for name in ("a.png", "a_detected.jpg", "B.png", "b.png")]
    names = [path.name for path in drawings(pictures, tmp_path)]
    assert names == [
        "a_detected-2.jpg", "a_detected_detected.jpg", "B_detected.jpg", "b_detected-2.jpg"
    ]  # fmt: skip


def test_a_drawing_that_cannot_be_written_is_one_sentence(tmp_path: Path, picture: Path) -> None:
    engine = engine_folder(tmp_path)
    (tmp_path / "into/balloon_detected.jpg").mkdir(parents=True)

    done = python(engine / "infer.py", picture, "--into", "into", cwd=tmp_path)

    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert done.stderr.startswith("error: --into into: Is a directory\n  try: ")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda engine: (engine / "engine.onnx").write_bytes(b"x"), "engine.onnx is not the file"),
        (lambda engine: (engine / "passport.json").unlink(), "holds no engine"),
    ],
)
def test_it_refuses_a_damaged_engine_in_a_sentence(
    tmp_path: Path, picture: Path, damage: Callable[[Path], object], message: str
) -> None:
    engine = engine_folder(tmp_path)
    damage(engine)

    done = python(engine / "infer.py", picture, cwd=tmp_path)

    assert done.returncode == 3
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_inside_tells_module_and_line(tmp_path: Path) -> None:
    engine = engine_folder(tmp_path)
    script = tmp_path / "use.py"
    hide = HIDE.format(hidden=(), folder=str(engine))
    script.write_text(hide + "import infer; infer.load().detect(None)")

    done = python(script, cwd=tmp_path)

    assert 'infer.py:mmdet_jetson_infer.stages.inference.detector", line ' in done.stderr


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_holds_one_backend_only_and_nothing_of_the_package(backend: str) -> None:
    sources = bundled(backend)

    assert next(iter(sources)) == "mmdet_jetson_infer"
    modules = [name.rpartition(".")[2] for name in sources]
    assert [name for name in modules if name in BACKENDS] == [backend]
    on_gpu = {"gpu", "letterbox_kernel"} & set(modules)
    assert len(on_gpu) == (2 if BACKENDS[backend].needs_gpu else 0)
    assert not any("mmdet_jetson." in text for text in sources.values())
    building = [name for name in sources if ".building." in name]
    assert building == ["mmdet_jetson_infer.stages.building.request"]
    assert not any(name.endswith("evaluation") for name in sources)
