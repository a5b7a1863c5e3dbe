"""Calls of ``infer.py`` from their arguments to what is printed, written and returned."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from built_engines import DETS, engine_folder
from small_videos import HEIGHT, WIDTH, Played, frames_of, picture, served, video

from mmdet_jetson.contract.analysis import THRESHOLDS, OperatingPoint, Thresholds
from mmdet_jetson.contract.records import write_record
from mmdet_jetson.stages.engines import window
from mmdet_jetson.stages.engines.detecting import Steps
from mmdet_jetson.stages.engines.infer import main
from mmdet_jetson.stages.inference import drawing
from mmdet_jetson.stages.inference.detector import Detector

KITE, BALLOON = DETS[0][4], DETS[1][4]


@dataclass(frozen=True)
class Call:
    """What came of a call."""

    code: object
    out: str
    err: str

    @property
    def records(self) -> "list[dict[str, object]]":
        return [json.loads(line) for line in self.out.splitlines()]


Infer = Callable[..., Call]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return engine_folder(tmp_path_factory.mktemp("built"))


@pytest.fixture
def infer(
    tmp_path: Path,
    built: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Infer:
    """Call it in ``tmp_path``, with the engine in folder ``engine`` there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "engine").mkdir()
    for path in built.iterdir():
        (tmp_path / "engine" / path.name).hardlink_to(path)

    def call(*words: object) -> Call:
        code: object = 0
        try:
            main(Path("engine"), [str(word) for word in words])
        except SystemExit as ended:
            code = ended.code
        out, err = capfd.readouterr()
        return Call(code, out, err)

    return call


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("photos/b/2.png", "photos/10.png", "photos/9.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), picture(0))
    return tmp_path / "photos"


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let every picture take the network so long."""
    prepared = Steps.infer

    def slowly(self, group):  # type: ignore[no-untyped-def]
        time.sleep(seconds)
        return prepared(self, group)

    monkeypatch.setattr(Steps, "infer", slowly)


def test_a_folder_is_drawn_and_told_in_order(infer: Infer, pictures: Path, tmp_path: Path) -> None:
    done = infer("photos", "--save", "drawn")

    assert done.code == 0
    told = [line for line in done.out.splitlines() if line.startswith("photos")]
    assert [line.partition(":")[0] for line in told] == [
        "photos/9.png", "photos/10.png", "photos/b/2.png"
    ]  # fmt: skip
    assert told[0].endswith("; drawn in drawn/9_detected.jpg")
    drawn = cv2.imread(str(tmp_path / "drawn/9_detected.jpg"))
    assert drawn is not None
    assert drawn.shape == (HEIGHT, WIDTH, 3)
    assert "threshold 0.3: there is no thresholds.json beside the engine" in done.err
    assert "3 pictures in " in done.err
    assert "detected: 3 balloon, 3 kite" in done.err


def test_json_is_a_line_for_each_picture_and_nothing_else(infer: Infer, pictures: Path) -> None:
    done = infer("photos", "--json")

    assert done.code == 0
    records = done.records
    assert [each["picture"] for each in records] == [
        "photos/9.png", "photos/10.png", "photos/b/2.png"
    ]  # fmt: skip
    milliseconds = records[0].pop("milliseconds")
    assert isinstance(milliseconds, float)
    assert milliseconds > 0
    assert records[0] == {
        "picture": "photos/9.png",
        "width": WIDTH,
        "height": HEIGHT,
        "boxes": [[64.0, 32.0, 96.0, 96.0], [16.0, 16.0, 48.0, 48.0]],
        "scores": [0.899999976, 0.5],
        "labels": [0, 1],
        "classes": ["balloon", "kite"],
    }
    assert not list(Path().rglob("*_detected*"))


def test_json_names_the_drawings_that_were_asked_for(infer: Infer, pictures: Path) -> None:
    done = infer("photos/9.png", "--json", "--save", "drawn")
    assert done.records[0]["drawing"] == "drawn/9_detected.jpg"
    assert Path("drawn/9_detected.jpg").exists()


def test_drawings_are_kept_out_of_the_folder_that_is_detected_on(
    infer: Infer, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = infer("photos", "--save", "photos")
    assert refused.code == 3
    assert "drawings would go into photos, the folder of the pictures" in refused.err

    within = [infer("photos", "--save", "photos/drawn", "--json").records for _ in range(2)]
    assert [len(records) for records in within] == [3, 3]

    monkeypatch.chdir(pictures)
    Path("engine").symlink_to("../engine")
    assert infer(".").code == 3


def test_what_cannot_be_read_is_warned_of_and_counted(infer: Infer, pictures: Path) -> None:
    (pictures / "1.jpg").write_bytes(b"broken")
    (pictures / "11.jpg").symlink_to("absent")

    done = infer("photos", "--json")

    assert done.code == 3
    assert len(done.records) == 3
    assert "warning: 1.jpg cannot be decoded as a picture; it is left out" in done.err
    assert "warning: there is no picture 11.jpg" in done.err
    assert "error: 2 of 5 pictures could not be read" in done.err
    assert done.err.index("3 pictures in") < done.err.index("error: ")


def test_a_single_picture_that_cannot_be_read_is_one_sentence(infer: Infer) -> None:
    Path("1.jpg").write_bytes(b"broken")
    done = infer("1.jpg")
    assert done.code == 3
    assert done.err.count("1.jpg") == 1
    assert "error: 1.jpg cannot be decoded as a picture\n  try: " in done.err


def test_a_video_gives_a_line_and_a_drawing_for_every_frame(infer: Infer, tmp_path: Path) -> None:
    video(tmp_path / "a.avi", frames=30, rate=10)

    done = infer("a.avi", "--json", "--save", "out.mp4")

    assert done.code == 0
    records = done.records
    assert [each["frame"] for each in records] == list(range(30))
    assert [each["at_ms"] for each in records] == pytest.approx([100 * n for n in range(30)])
    assert {
        (each["source"], each["width"], each["height"], each["drawing"]) for each in records
    } == {("a.avi", WIDTH, HEIGHT, "out.mp4")}
    assert "unix_ms" not in records[0]
    drawn = frames_of(tmp_path / "out.mp4")
    assert len(drawn) == 30
    assert drawn[0].shape == (HEIGHT, WIDTH, 3)
    assert "30 frames in out.mp4" in done.err
    assert "dropped" not in done.err


def test_a_video_is_never_dropped_of_however_slow_the_engine(
    infer: Infer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, 0.02)
    video(tmp_path / "a.avi", frames=20)
    assert [each["frame"] for each in infer("a.avi", "--json").records] == list(range(20))


def test_a_video_without_outputs_tells_how_fast_it_was(infer: Infer, tmp_path: Path) -> None:
    video(tmp_path / "a.avi")
    done = infer("a.avi")
    assert (done.code, done.out) == (0, "")
    assert "20 frames in " in done.err
    assert "a second; of this time the network took " in done.err
    assert list(tmp_path.glob("*detected*")) == []


def test_a_camera_gives_its_newest_frame_and_counts_the_others(
    infer: Infer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, 0.05)
    monkeypatch.setattr(cv2, "VideoCapture", Played(60, rate=100))

    done = infer("0", "--json")

    assert done.code == 3  # a camera does not end
    assert "the camera 0 stopped after 60 frames" in done.err
    numbers = [each["frame"] for each in done.records]
    assert all(isinstance(number, int) for number in numbers)
    assert numbers == sorted(numbers)  # type: ignore[type-var]
    assert 3 < len(numbers) < 30
    assert f"{60 - len(numbers)} frames came meanwhile and were dropped for newer ones" in done.err
    # What is looked at has just come: it is no older than the picture before took.
    late = [each["unix_ms"] for each in done.records]
    assert all(isinstance(each, int) for each in late)


def test_a_stream_over_http_is_read_to_its_end(infer: Infer) -> None:
    with served(frames=30) as address:
        done = infer(address, "--json", "--save", "out.avi")
    assert done.code == 3
    assert f"the address {address} stopped after 30 frames" in done.err
    assert done.records
    assert {each["source"] for each in done.records} == {address}
    assert frames_of(Path("out.avi"))


@contextmanager
def running(*words: object) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-I", "engine/infer.py", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_ends_with_a_sum_and_a_video_that_plays(
    infer: Infer, number: signal.Signals, code: int
) -> None:
    with (
        served(frames=10**6) as address,
        running(address, "--json", "--save", "out.mp4") as process,
    ):
        assert process.stdout
        for _ in range(10):
            assert process.stdout.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)

    assert process.returncode == code
    assert "Traceback" not in err
    assert "frames in out.mp4" in err
    assert [json.loads(line)["source"] for line in out.splitlines()] == [address] * out.count("\n")
    assert len(frames_of(Path("out.mp4"))) >= 2


def test_ctrl_c_ends_an_address_that_never_answers(infer: Infer) -> None:
    """OpenCV waits half a minute, and Python would abort where it ends meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with running(address, "--json") as process:
            assert process.stderr
            assert process.stderr.readline().startswith("threshold")
            connection, _ = server.accept()
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            connection.close()
            assert process.stderr.read() == ""


@pytest.mark.parametrize("live", [True, False])
def test_who_reads_no_further_ends_it_quietly(infer: Infer, tmp_path: Path, live: bool) -> None:
    """As ``| head`` does."""
    video(tmp_path / "a.avi", frames=500)
    with (
        served(frames=10**6) as address,
        running(address if live else "a.avi", "--json") as process,
    ):
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(30) == 128 + signal.SIGPIPE
    assert err.splitlines() == ["threshold 0.3: there is no thresholds.json beside the engine"]


def test_an_output_without_room_is_one_sentence(infer: Infer, tmp_path: Path) -> None:
    video(tmp_path / "a.avi")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-I", "engine/infer.py", "a.avi", "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 3
    assert "error: the output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_output_that_is_closed_is_one_sentence(infer: Infer, pictures: Path) -> None:
    """As of a service, or of ``>&-``."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -I engine/infer.py photos --json >&-', sys.executable],
        stderr=subprocess.PIPE, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3
    assert "nowhere to print results" in done.stderr


def test_a_full_disk_is_one_sentence(
    infer: Infer, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(drawing, "write_jpeg", full)
    done = infer("photos", "--save", "drawn")
    assert done.code == 3
    assert "error: --save drawn: No space left on device\n" in done.err


@pytest.mark.parametrize("place", ["read", "prepare", "infer", "finish"])
def test_a_defect_in_any_thread_keeps_its_traceback(
    infer: Infer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    video(tmp_path / "a.avi", frames=200)

    def broken(*_: object) -> None:
        raise KeyError(f"in {place}")

    if place == "read":
        monkeypatch.setattr(cv2, "VideoCapture", broken)
    else:
        monkeypatch.setattr(Steps, place, broken)
    with pytest.raises(KeyError, match=f"in {place}") as raised:
        infer("a.avi", "--json")
    assert any(entry.name == "broken" for entry in raised.traceback)


def named(folder: Path, kite: float = 0.6) -> None:
    together = OperatingPoint(BALLOON - 0.01, precision=0.9, recall=0.8, f1=0.847)
    per_class = {
        "kite": OperatingPoint(kite, precision=1.0, recall=0.5, f1=0.667),
        "balloon": together,
    }
    best = "the best F1 over 80 validation pictures"
    write_record(folder / THRESHOLDS, Thresholds(together, best, per_class))


def classes_of(call: Call) -> object:
    return call.records[0]["classes"]


def test_the_threshold_is_the_one_beside_the_engine(infer: Infer, pictures: Path) -> None:
    named(Path("engine"))

    done = infer("photos/9.png", "--json")

    assert classes_of(done) == ["balloon"]
    assert "threshold 0.89: the best F1 over 80 validation pictures (precision 0.900" in done.err
    chosen = infer("photos/9.png", "--json", "--threshold", 0.4)
    assert classes_of(chosen) == ["balloon", "kite"]
    assert chosen.err == ""


def test_each_class_may_have_its_own_threshold(infer: Infer, pictures: Path) -> None:
    named(Path("engine"), kite=KITE)

    done = infer("photos/9.png", "--json", "--per-class")

    assert classes_of(done) == ["balloon", "kite"]
    assert "thresholds balloon 0.89, kite 0.5: the best F1 over" in done.err
    assert infer("photos/9.png", "--per-class", "--threshold", 0.5).code == 2


def test_a_damaged_threshold_is_one_sentence(infer: Infer, pictures: Path) -> None:
    Path("engine", THRESHOLDS).write_text("{")
    done = infer("photos/9.png", "--json")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("error: engine/thresholds.json is damaged: ")
    assert infer("photos/9.png", "--json", "--threshold", 0.5).code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["photos", "--save", "out.mp4"], "pictures are drawn into a folder, and not into a video"),
        (["photos/9.png", "--save", "y.jpg"], "into a folder, and not into one file"),
        (["a.avi", "--save", "a.avi"], "a.avi is the video that is read"),
        (["a.avi", "--save", "out.wmv"], "no kind of video that is written"),
        (["a.avi", "photos"], "a.avi is a stream"),
        (["absent"], "there is no absent"),
        (["phone.HEIC"], "phone.HEIC is a picture in HEIC, which OpenCV does not read"),
        (["phones"], "heif-convert"),
        (["photos", "--show"], "--show: there is no display here"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_detected(
    infer: Infer,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    video(Path("a.avi"))
    Path("phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    Path("phones").mkdir()
    Path("phones/1.heic").write_bytes(b"\0\0\0\x18ftypheic")
    done = infer(*words)
    assert (done.code, done.out) == (3, "")
    assert message in done.err


def test_a_display_that_is_gone_is_one_sentence(
    infer: Infer, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one Qt ends the process, which is tried in another."""
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: os._exit(1))
    done = infer("photos", "--show")
    assert done.code == 3
    assert "--show: the display :99 cannot be reached" in done.err


def test_an_opencv_without_windows_is_one_sentence(
    infer: Infer, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":99")

    def headless(*_: object) -> None:
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(cv2, "namedWindow", headless)
    done = infer("photos", "--show")
    assert done.code == 3
    assert "cannot open a window, as none that is called headless can" in done.err


class Screen:
    """Stands in for OpenCV's windows; ``keys`` are pressed one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *keys: int) -> None:
        self.shown: list[np.ndarray] = []
        self.keys, self.open = list(keys), 1.0
        monkeypatch.setattr(window, "_check_display", lambda: None)
        monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "imshow", lambda _, drawn: self.shown.append(drawn))
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: self.open)
        monkeypatch.setattr(cv2, "waitKey", lambda _: self.keys.pop(0) if self.keys else -1)


def test_each_picture_is_shown_until_a_key_is_pressed(
    infer: Infer, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen(monkeypatch, -1, -1, ord(" "), -1, ord("q"))
    (pictures / "1.jpg").write_bytes(b"broken")  # is not waited for

    done = infer("photos", "--show")

    assert len(screen.shown) == 2
    assert screen.shown[0].shape == (HEIGHT, WIDTH, 3)
    assert not list(Path().glob("*detected*"))
    assert "1 of " in done.err


@pytest.mark.parametrize("by_key", [True, False])
def test_a_stream_is_shown_until_q_or_the_window_is_closed(
    infer: Infer, monkeypatch: pytest.MonkeyPatch, by_key: bool
) -> None:
    keys = [-1] * 5 + [ord("q")] if by_key else []
    screen = Screen(monkeypatch, *keys)
    screen.open = 1.0 if by_key else 0.0
    played = Played(10**6)
    monkeypatch.setattr(cv2, "VideoCapture", played)

    done = infer("0", "--show")

    assert done.code == 0
    assert played.released
    assert by_key is bool(len(screen.shown) >= 2)


def test_the_network_has_the_main_thread(
    infer: Infer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU's context is there."""
    import threading  # noqa: PLC0415

    seen: set[str] = set()
    mapped = Detector.postprocess
    prepared = Steps.infer

    def infer_here(self, group):  # type: ignore[no-untyped-def]
        seen.add(f"network {threading.current_thread() is threading.main_thread()}")
        return prepared(self, group)

    def map_here(self, outputs, size):  # type: ignore[no-untyped-def]
        seen.add(f"boxes {threading.current_thread() is threading.main_thread()}")
        return mapped(self, outputs, size)

    monkeypatch.setattr(Steps, "infer", infer_here)
    monkeypatch.setattr(Detector, "postprocess", map_here)
    video(tmp_path / "a.avi")
    infer("a.avi")
    assert seen == {"network True", "boxes False"}
