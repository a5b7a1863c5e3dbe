"""Where drawings go."""

import os
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from small_videos import HEIGHT, WIDTH, frames_of, picture, video

from mmdet_jetson.stages.engines import saving
from mmdet_jetson.stages.engines.saving import Video, drawings, video_name
from mmdet_jetson.stages.engines.streams import (
    FILE,
    Frame,
    Stream,
    camera,
    gstreamer,
    network_address,
    video_file,
)
from mmdet_jetson.stages.errors import StageError


def stream(rate: float = 10, live: bool = False) -> Stream:
    made = Stream(FILE, "a.mp4", "a.mp4")
    made.rate, made.live = rate, live
    return made


def save(into: Video, *times: float) -> None:
    into.check()
    for number, at in enumerate(times):
        frame = Frame(number, picture(number), at=at)
        into.save(frame, np.full((HEIGHT, WIDTH, 3), 20 * number % 256, np.uint8))
    into.close()


def levels(path: Path) -> list[int]:
    """Tell which frame each one of a video is."""
    return [round(frame.mean() / 20) for frame in frames_of(path)]


@pytest.mark.parametrize("name", ["o.mp4", "o.avi", "o.MKV"])
def test_a_video_has_every_frame_at_the_rate_of_its_source(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new/folder" / name
    save(Video(path, stream(rate=12)), *range(8))

    assert levels(path) == list(range(8))
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(12, abs=0.01)


def test_a_live_video_is_as_long_as_what_it_shows(tmp_path: Path) -> None:
    """The frame before stands in for what was dropped, and what comes in one burst is one frame."""
    path = tmp_path / "o.avi"
    save(Video(path, stream(rate=10, live=True)), 0, 100, 400, 401, 402, 500)

    assert levels(path) == [0, 1, 1, 1, 2, 5]


def test_frames_of_another_size_are_not_lost(tmp_path: Path) -> None:
    into = Video(tmp_path / "o.avi", stream())
    for number, side in enumerate((64, 96, 32)):
        into.save(Frame(number, picture(0)), np.full((side, side, 3), 20 * number, np.uint8))
    into.close()

    assert levels(tmp_path / "o.avi") == [0, 1, 2]


def test_a_video_never_takes_the_place_of_what_is_read(tmp_path: Path) -> None:
    path = video(tmp_path / "a.avi")
    (tmp_path / "same.avi").hardlink_to(path)
    for name in ("a.avi", "same.avi"):
        with pytest.raises(StageError, match="is the video that is read"):
            Video(tmp_path / name, video_file(path)).check()


@pytest.mark.parametrize(
    "put",
    [lambda path: path.symlink_to("precious"), os.mkfifo, Path.mkdir],
    ids=["link", "pipe", "folder"],
)
def test_a_video_takes_the_place_of_nothing_but_a_file(tmp_path: Path, put) -> None:  # type: ignore[no-untyped-def]
    put(tmp_path / "o.avi")
    with pytest.raises(StageError, match="is there, and is no ordinary file"):
        Video(tmp_path / "o.avi", stream()).check()


def test_a_video_replaces_one_of_before_and_no_other_name_of_it(tmp_path: Path) -> None:
    (tmp_path / "o.avi").write_text("of before")
    (tmp_path / "kept.avi").hardlink_to(tmp_path / "o.avi")
    save(Video(tmp_path / "o.avi", video_file(video(tmp_path / "a.avi"))), 0, 1)

    assert levels(tmp_path / "o.avi") == [0, 1]
    assert (tmp_path / "kept.avi").read_text() == "of before"


def test_a_video_that_cannot_be_opened_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2.VideoWriter, "isOpened", lambda self: False)
    with pytest.raises(StageError, match="cannot write the video"):
        save(Video(tmp_path / "o.mp4", stream()), 0)


def test_a_video_ends_before_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it can be finished, and be played."""
    free = [2**40, 2**40, 1000]
    monkeypatch.setattr(saving, "disk_usage", lambda _: SimpleNamespace(free=free.pop(0)))
    into = Video(tmp_path / "o.avi", stream())
    with pytest.raises(StageError, match="the disk is full after 100 frames"):
        save(into, *range(200))
    into.close()
    assert len(frames_of(tmp_path / "o.avi")) == 100


def test_a_video_that_lost_frames_is_told(tmp_path: Path) -> None:
    """As a full disk makes one, of which OpenCV says nothing."""
    into = Video(tmp_path / "o.avi", stream())
    for number in range(20):
        into.save(Frame(number, picture(number)), picture(number))
    into.written = 40
    with pytest.raises(StageError, match=r"holds 20 of 40 frames") as refused:
        into.close()
    assert "disk full" in refused.value.hint


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (video_file, "a_detected.mp4"),
        (lambda _: camera(0, "0"), "camera_detected.mp4"),
        (lambda _: network_address("rtsp://x/y"), "address_detected.mp4"),
        (lambda _: gstreamer("a ! b"), "GStreamer_detected.mp4"),
    ],
)
def test_a_folder_gets_a_video_named_after_its_source(tmp_path: Path, source, name: str) -> None:  # type: ignore[no-untyped-def]
    made = source(video(tmp_path / "a.avi"))
    assert video_name(tmp_path, made) == tmp_path / name
    assert video_name(tmp_path / "new", made) == tmp_path / "new" / name
    assert video_name(tmp_path / "new.avi", made) == tmp_path / "new.avi"


def test_other_kinds_of_videos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"no kind of video that is written"):
        video_name(tmp_path / "o.wmv", stream())


def test_a_drawing_never_takes_the_place_of_a_picture(tmp_path: Path) -> None:
    """An earlier drawing may be what is detected on, and a file system may not tell B from b."""
    pictures = [tmp_path / name for name in ("a.png", "a_detected.jpg", "B.png", "b.png")]
    names = [path.name for path in drawings(pictures, tmp_path)]
    assert names == [
        "a_detected-2.jpg", "a_detected_detected.jpg", "B_detected.jpg", "b_detected-2.jpg"
    ]  # fmt: skip


def test_a_circle_of_links_has_a_name_too(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("a.png")
    assert drawings([tmp_path / "a.png"], tmp_path) == [tmp_path / "a_detected.jpg"]


def test_many_pictures_of_one_name_are_named_at_once(tmp_path: Path) -> None:
    pictures = [tmp_path / str(number) / "frame.png" for number in range(20_000)]
    names = drawings(pictures, tmp_path / "detected")
    assert len(set(names)) == 20_000
    assert names[-1].name == "frame_detected-20000.jpg"
