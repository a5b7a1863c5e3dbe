"""What the arguments of ``infer.py`` mean."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdet_jetson.stages.engines.sources import Pictures, pictures_of, source_of
from mmdet_jetson.stages.engines.streams import ADDRESS, CAMERA, FILE, GSTREAMER, Stream
from mmdet_jetson.stages.errors import StageError

PIPELINE = "v4l2src device=/dev/video0 ! videoconvert ! appsink"


def png(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 12, 3), value, np.uint8))
    return path


def paths_of(*texts: object, left_out: "Path | None" = None) -> list[Path]:
    source = source_of([str(text) for text in texts], left_out)
    assert isinstance(source, Pictures)
    return list(source.paths)


@pytest.mark.parametrize(
    ("text", "kind", "place", "name"),
    [
        ("0", CAMERA, 0, "0"),
        ("/dev/video12", CAMERA, 12, "/dev/video12"),
        ("rtsp://cam/1", ADDRESS, "rtsp://cam/1", "rtsp://cam/1"),
        ("rtsp://me:secret@cam/1", ADDRESS, "rtsp://me:secret@cam/1", "rtsp://cam/1"),
        ("HTTP://cam/a.jpg", ADDRESS, "HTTP://cam/a.jpg", "HTTP://cam/a.jpg"),
        (PIPELINE, GSTREAMER, PIPELINE, PIPELINE),
    ],
)
def test_streams_are_told_by_their_names(text: str, kind: str, place: object, name: str) -> None:
    stream = source_of([text])
    assert isinstance(stream, Stream)
    assert (stream.kind, stream.place, stream.name) == (kind, place, name)


def test_a_file_called_0_is_no_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    png(tmp_path / "a.png").rename(tmp_path / "0")
    assert paths_of("0") == [Path("0")]


def test_a_link_to_a_camera_is_the_camera(tmp_path: Path) -> None:
    (tmp_path / "usb-camera").symlink_to("/dev/video7")
    stream = source_of([str(tmp_path / "usb-camera")])
    assert isinstance(stream, Stream)
    assert (stream.kind, stream.place) == (CAMERA, 7)


def test_files_are_told_by_their_suffix_or_else_by_their_first_bytes(tmp_path: Path) -> None:
    png(tmp_path / "a.png").rename(tmp_path / "picture")
    (tmp_path / "unknown").write_bytes(b"\0\0\0\x20ftypisom")
    (tmp_path / "damaged.jpg").write_bytes(b"\0\0\0\x20ftypisom")
    (tmp_path / "VIDEO.MP4").write_bytes(b"")

    kinds = {path.name: source_of([str(path)]) for path in tmp_path.iterdir()}

    videos = {name for name, source in kinds.items() if isinstance(source, Stream)}
    assert videos == {"unknown", "VIDEO.MP4"}
    assert all(kinds[name].kind == FILE for name in videos)  # type: ignore[union-attr]


def test_a_folder_gives_its_pictures_at_any_depth_in_natural_order(tmp_path: Path) -> None:
    names = ["b/2.png", "b/10.PNG", "1.png", "a10/x.png", "a9/x.png"]
    for name in [*names, ".hidden.png", ".git/x.png"]:
        png(tmp_path / name)
    (tmp_path / "labels.txt").write_text("")
    (tmp_path / "._1.png").write_text("")

    source = source_of([str(tmp_path)])

    assert isinstance(source, Pictures)
    assert [path.relative_to(tmp_path).as_posix() for path in source.paths] == [
        "1.png", "a9/x.png", "a10/x.png", "b/2.png", "b/10.PNG"
    ]  # fmt: skip
    note = f"{tmp_path}: 1 file is no picture and left out, as labels.txt"
    assert source.notes == (note,)


def test_digits_of_all_kinds_can_be_sorted(tmp_path: Path) -> None:
    for name in ("m².png", "m2.png", "m٣.png", "②.png", "10.png"):
        png(tmp_path / name)
    names = [path.name for path in paths_of(tmp_path)]
    assert names == ["10.png", "m2.png", "m٣.png", "m².png", "②.png"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    elsewhere = png(tmp_path / "elsewhere/1.png").parent
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    (folder / "linked again").symlink_to(elsewhere)

    assert paths_of(folder) == [folder / "linked/1.png"]


def test_the_drawings_of_an_earlier_call_are_no_pictures(tmp_path: Path) -> None:
    png(tmp_path / "1.png")
    png(tmp_path / "detected/1_detected.png")

    assert len(paths_of(tmp_path)) == 2
    assert paths_of(tmp_path, left_out=tmp_path / "detected") == [tmp_path / "1.png"]


def test_several_folders_and_pictures_stay_in_the_order_of_the_call(tmp_path: Path) -> None:
    png(tmp_path / "z/1.png")
    png(tmp_path / "a/1.png")
    named = png(tmp_path / "m.png")

    found = paths_of(tmp_path / "z", named, tmp_path / "a")
    assert found == [tmp_path / "z/1.png", named, tmp_path / "a/1.png"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["absent.jpg"], "there is no absent.jpg"),
        (["-"], "there is no -"),
        (["there.png", "absent"], "there is no absent"),
        (["empty"], "there is no picture in empty"),
        (["others"], "there is no picture in others, only other files, as a.txt"),
        (["0", "there.png"], "0 is a stream, and one call takes one"),
        (["there.png", "v.mp4"], "v.mp4 is a stream"),
        (["0", "1"], "0 is a stream"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    png(tmp_path / "there.png")
    (tmp_path / "v.mp4").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "others/a.txt").write_text("")

    with pytest.raises(StageError, match=message):
        source_of(texts)


def test_a_pipe_is_no_video(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "v.mp4")
    with pytest.raises(StageError, match="a pipe, a socket or a device"):
        source_of([str(tmp_path / "v.mp4")])


def test_pictures_come_in_order_and_with_what_is_wrong(tmp_path: Path) -> None:
    paths = [png(tmp_path / f"{number}.png", number) for number in range(9)]
    paths[4].write_bytes(b"broken")
    paths[5].unlink()
    paths[6].unlink()
    os.mkfifo(paths[6])

    frames = list(pictures_of(Pictures(tuple(paths))))

    assert [frame.number for frame in frames] == list(range(9))
    problems = {f.number: f.problem.message for f in frames if f.problem}
    assert set(problems) == {4, 5, 6}
    assert problems[4] == "4.png cannot be decoded as a picture"
    read = [f.picture for f in frames if f.picture is not None]
    assert [picture[0, 0, 0] for picture in read] == [0, 1, 2, 3, 7, 8]


def test_a_picture_too_large_for_opencv_is_left_out_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = png(tmp_path / "1.png")

    def refuse(*_: object) -> None:
        raise cv2.error("too many pixels")

    monkeypatch.setattr(cv2, "imdecode", refuse)
    (frame,) = pictures_of(Pictures((path,)))

    assert frame.problem
    assert str(path) in frame.problem.message
