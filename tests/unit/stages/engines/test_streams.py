"""Videos, cameras and addresses, as they come and as they end."""

import time
from pathlib import Path

import cv2
import pytest
from small_videos import HEIGHT, WIDTH, Played, served, video

from mmdet_jetson.stages.engines.streams import (
    Frame,
    Stream,
    camera,
    gstreamer,
    network_address,
    video_file,
)
from mmdet_jetson.stages.errors import StageError


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    stand_in = Played(5)
    monkeypatch.setattr(cv2, "VideoCapture", stand_in)
    return stand_in


@pytest.mark.parametrize("codec", ["MJPG", "mp4v"])
def test_a_video_gives_every_frame_and_where_it_is(tmp_path: Path, codec: str) -> None:
    stream = video_file(
        video(tmp_path / ("a.avi" if codec == "MJPG" else "a.mp4"), frames=12, codec=codec)
    )

    frames = list(stream.frames())

    assert [frame.number for frame in frames] == list(range(12))
    assert [frame.at for frame in frames] == pytest.approx([100 * n for n in range(12)])
    assert all(frame.picture is not None and frame.unix is None for frame in frames)
    assert frames[0].picture is not None
    assert frames[0].picture.shape == (HEIGHT, WIDTH, 3)
    assert (stream.live, stream.rate, stream.length) == (False, 10, 12)


def test_a_video_that_is_cut_off_says_where(tmp_path: Path) -> None:
    path = video(tmp_path / "a.avi", frames=50)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    read: list[Frame] = []
    with pytest.raises(StageError, match=r"a\.avi ends after \d\d of about 50 frames") as refused:
        read.extend(video_file(path).frames())

    assert f"after {len(read)} of" in refused.value.message
    assert 20 < len(read) < 30


@pytest.mark.parametrize("content", [b"", b"no video" * 100])
def test_what_is_no_video_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(StageError, match="OpenCV cannot open the video"):
        list(video_file(path).frames())


def test_a_camera_counts_time_and_is_let_go(played: Played) -> None:
    before = time.time() * 1000
    frames = camera(3, "/dev/video3").frames()
    first = next(frames)
    second = next(frames)
    frames.close()  # type: ignore[attr-defined]

    assert played.place == (3,)
    assert first.at == 0
    assert 5 < second.at < 5000
    assert second.unix is not None
    assert before <= second.unix <= time.time() * 1000
    assert played.released


def test_a_camera_that_stops_is_told(played: Played) -> None:
    with pytest.raises(StageError, match="the camera 0 stopped after 5 frames"):
        list(camera(0, "0").frames())


def test_a_camera_without_a_frame_is_told(played: Played) -> None:
    played.frames = 0
    with pytest.raises(StageError, match="the camera 0 has no frame"):
        list(camera(0, "0").frames())


def test_a_camera_that_is_not_there_is_one_sentence(played: Played) -> None:
    played.frames = -1
    with pytest.raises(StageError, match="OpenCV cannot open the camera /dev/video3") as refused:
        list(camera(3, "/dev/video3").frames())
    assert "v4l2-ctl" in refused.value.hint


def test_grey_frames_become_coloured(played: Played) -> None:
    played.grey, played.frames = True, 2
    frame = next(camera(0, "0").frames())
    assert frame.picture is not None
    assert frame.picture.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("rate", [0.0, float("nan"), float("inf"), 90000.0])
def test_a_rate_that_is_none_becomes_a_usual_one(played: Played, rate: float) -> None:
    stream = camera(0, "0")
    played.get = lambda what: rate  # type: ignore[method-assign]
    next(stream.frames())
    assert stream.rate == 25


def test_an_address_is_live_and_its_end_is_told() -> None:
    with served(frames=10) as address:
        stream = network_address(address)
        frames: list[Frame] = []
        with pytest.raises(StageError, match="stopped after 10 frames"):
            frames.extend(stream.frames())
    assert stream.live
    assert len(frames) == 10


def test_an_address_where_nobody_is_hides_the_password() -> None:
    stream = network_address("http://me:secret@127.0.0.1:9/x")
    with pytest.raises(StageError, match="cannot open the address http://127") as refused:
        list(stream.frames())
    assert "secret" not in refused.value.message


def test_a_pipeline_needs_an_opencv_with_gstreamer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "    GStreamer:      NO\n")
    with pytest.raises(StageError, match="built without GStreamer"):
        list(gstreamer("videotestsrc ! appsink").frames())


@pytest.mark.parametrize(
    ("pipeline", "live"),
    [
        ("v4l2src ! videoconvert ! appsink", True),
        ("filesrc location=a.mp4 ! qtdemux ! appsink", False),
        ("uridecodebin uri=file:///a.mp4 ! appsink", False),
        ("uridecodebin uri=rtsp://a/b ! appsink", True),
    ],
)
def test_a_pipeline_from_a_file_drops_nothing(
    played: Played, monkeypatch: pytest.MonkeyPatch, pipeline: str, live: bool
) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "    GStreamer:      YES (1.20)\n")
    stream: Stream = gstreamer(pipeline)
    assert len(list(stream.frames())) == 5  # and its end is no failure
    assert played.place == (pipeline, cv2.CAP_GSTREAMER)
    assert stream.live is live
