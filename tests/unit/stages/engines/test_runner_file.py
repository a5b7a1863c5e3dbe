"""``infer.py`` as a device runs it: a program of its own, without the project."""

import os
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
        cwd=cwd, capture_output=True, text=True, check=False, timeout=60,
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
    use = "import infer, numpy; print(infer.threshold(), infer.load().network(numpy.zeros((1, 64, 64, 3), 'uint8'), numpy.ones((1, 4), 'float32'))[0].tolist())"
    script = tmp_path / "use.py"
    script.write_text(hide + use)

    done = python(script, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    inputs = np.zeros((1, 64, 64, 3), np.uint8), np.ones((1, 4), np.float32)
    assert done.stdout.strip() == "0.3 " + str(open_engine(engine).network(*inputs)[0].tolist())


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


def test_a_drawing_that_cannot_be_written_is_one_sentence(tmp_path: Path, picture: Path) -> None:
    engine = engine_folder(tmp_path)
    (tmp_path / "into").write_text("")

    done = python(engine / "infer.py", picture, "--into", "into", cwd=tmp_path)

    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert done.stderr.startswith("error: --save into: File exists\n  try: ")


@pytest.mark.parametrize(
    "put",
    [
        lambda drawn: drawn.symlink_to("precious.txt"),
        lambda drawn: drawn.symlink_to("absent.txt"),
        lambda drawn: drawn.symlink_to("/dev/null"),
        os.mkfifo,
        Path.mkdir,
    ],
    ids=["link", "link-to-nothing", "link-to-device", "pipe", "folder"],
)
def test_a_drawing_takes_the_place_of_nothing_but_a_file(
    tmp_path: Path, picture: Path, put: Callable[[Path], object]
) -> None:
    """Also where it is not the first: nothing is detected before."""
    engine = engine_folder(tmp_path)
    (tmp_path / "precious.txt").write_text("precious")
    (tmp_path / "first.png").write_bytes(picture.read_bytes())
    put(tmp_path / "balloon_detected.jpg")

    done = python(engine / "infer.py", "first.png", picture, cwd=tmp_path)

    expected = "error: balloon_detected.jpg is there, and is no ordinary file\n  try: "
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(expected)
    assert (tmp_path / "precious.txt").read_text() == "precious"
    assert not (tmp_path / "absent.txt").exists()


def test_a_drawing_replaces_one_of_before(tmp_path: Path, picture: Path) -> None:
    engine = engine_folder(tmp_path)
    drawn = tmp_path / "balloon_detected.jpg"
    drawn.write_text("of before")
    (tmp_path / "kept.jpg").hardlink_to(drawn)

    done = python(engine / "infer.py", picture, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert read_picture(drawn).shape[1] == 128
    assert (tmp_path / "kept.jpg").read_text() == "of before"


@pytest.mark.parametrize("score", ["nan", "1.5", "-1", "30%"])
def test_a_threshold_that_is_no_score_is_refused(tmp_path: Path, picture: Path, score: str) -> None:
    engine = engine_folder(tmp_path)

    done = python(engine / "infer.py", picture, "--threshold", score, cwd=tmp_path)

    assert done.returncode == 2
    expected = f"argument --threshold: {score!r} is no score: a number from 0 to 1"
    assert done.stderr.splitlines()[-1].endswith(expected)
    assert not list(tmp_path.glob("*_detected*"))


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
    engines = {name.rpartition(".")[2] for name in sources if ".stages.engines." in name}
    assert engines == {
        "detecting", "flow", "infer", "opening", "preflight", "saving", "sources", "streams",
        "telling", "threads", "thresholds", "window",
    }  # fmt: skip
    assert not any(name.endswith("evaluation") for name in sources)
