import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from labelled import HEIGHT, WIDTH, noise
from PIL import Image, ImageOps

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.pictures import inspect, upright, write

ORIENTATION = 0x0112


@dataclass(frozen=True)
class Kind:
    """A format and a mode of Pillow's, and what its writer is told."""

    form: str = "PNG"
    mode: str = "RGB"
    orientation: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)


def saved(path: Path, kind: Kind = Kind()) -> Path:
    """Write a picture whose four corners differ, in a mode and a format of Pillow's."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:12, :12] = (255, 0, 0)
    pixels[18:, :12] = (0, 255, 0)
    pixels[:12, 28:] = (0, 0, 255)
    exif = Image.Exif()
    if kind.orientation is not None:
        exif[ORIENTATION] = kind.orientation
    first = "L" if kind.mode == "I;16" else kind.mode
    picture = Image.fromarray(pixels).convert(first).convert(kind.mode)
    picture.save(path, kind.form, exif=exif, **kind.options)
    return path


def opencv(path: Path) -> np.ndarray:
    """What OpenCV reads."""
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.asarray(picture)


PLAIN = {
    "jpeg": Kind("JPEG"),
    "progressive-jpeg": Kind("JPEG", options={"progressive": True}),
    "gray-jpeg": Kind("JPEG", mode="L"),
    "upright-jpeg": Kind("JPEG", orientation=1),
    "jpeg-with-nonsense-orientation": Kind("JPEG", orientation=9),
    "png": Kind("PNG"),
    "gray-png": Kind("PNG", mode="L"),
}


@pytest.mark.parametrize("kind", PLAIN.values(), ids=PLAIN.keys())
def test_plain_picture_is_copied_byte_for_byte_and_seen_alike(tmp_path: Path, kind: Kind) -> None:
    path = saved(tmp_path / "a", kind)
    inspection = inspect(path)
    assert inspection.plain
    assert (inspection.width, inspection.height) == (WIDTH, HEIGHT)
    write(path, tmp_path / "sub/b", reencode=False)
    assert (tmp_path / "sub/b").read_bytes() == path.read_bytes()


SPECIAL = {
    "cmyk-jpeg": Kind("JPEG", mode="CMYK"),
    "palette-png": Kind("PNG", mode="P"),
    "transparent-png": Kind("PNG", mode="RGBA"),
    "gray-transparent-png": Kind("PNG", mode="LA"),
    "black-and-white-png": Kind("PNG", mode="1"),
    "16-bit-gray-png": Kind("PNG", mode="I;16"),
    "webp": Kind("WEBP", options={"lossless": True}),
    "tiff": Kind("TIFF"),
    "rotated-jpeg": Kind("JPEG", orientation=6),
    "rotated-png": Kind("PNG", orientation=3),
}


@pytest.mark.parametrize("kind", SPECIAL.values(), ids=SPECIAL.keys())
def test_special_picture_is_written_as_what_opencv_reads(tmp_path: Path, kind: Kind) -> None:
    path = saved(tmp_path / "a", kind)
    inspection = inspect(path)
    assert not inspection.plain
    write(path, tmp_path / "b.png", reencode=True)
    assert np.array_equal(opencv(tmp_path / "b.png"), opencv(path))
    again = inspect(tmp_path / "b.png")
    assert again.plain
    assert (again.width, again.height) == (inspection.width, inspection.height)
    assert again.digest == inspection.digest


def test_png_of_16_bits_a_channel_is_special(tmp_path: Path) -> None:
    # Pillow calls its mode RGB, as that of an ordinary PNG.
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), 40_000, np.uint16))
    assert not inspect(path).plain


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_what_exif_says(tmp_path: Path, orientation: int) -> None:
    path = saved(tmp_path / "a.jpg", Kind("JPEG", orientation=orientation))
    expected = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    inspection = inspect(path)
    assert (inspection.width, inspection.height) == expected.size
    difference = upright(path)[:, :, ::-1].astype(int) - np.asarray(expected)
    assert np.abs(difference).max() <= 3
    assert inspection.plain == (orientation == 1)


def test_orientation_in_xmp_alone_is_ignored_as_opencv_does(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    path = saved(tmp_path / "a.jpg", Kind("JPEG", options={"xmp": xmp}))
    inspection = inspect(path)
    assert inspection.plain
    assert (inspection.height, inspection.width) == opencv(path).shape[:2]


def test_digest_is_of_the_pixels_not_of_the_file(tmp_path: Path) -> None:
    noise(tmp_path / "a.png", 1)
    noise(tmp_path / "a.bmp", 1)
    noise(tmp_path / "b.png", 2)
    digests = [inspect(tmp_path / name).digest for name in ("a.png", "a.bmp", "b.png")]
    assert digests[0] == digests[1] != digests[2]


def cut(path: Path, form: str, mode: str = "L", orientation: int = 1) -> None:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.effect_noise((WIDTH, HEIGHT), 50).convert(mode).save(stream, form, exif=exif)
    path.write_bytes(stream.getvalue()[: stream.tell() // 2])


BROKEN: dict[str, Callable[[Path], object]] = {
    "truncated-jpeg": lambda path: cut(path, "JPEG"),
    "truncated-png": lambda path: cut(path, "PNG"),
    "truncated-rotated-jpeg": lambda path: cut(path, "JPEG", "RGB", 6),
    "truncated-cmyk-jpeg": lambda path: cut(path, "JPEG", "CMYK"),
    "truncated-transparent-png": lambda path: cut(path, "PNG", "RGBA"),
    "empty-file": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not a picture"),
    "html-error-page": lambda path: path.write_text("<html>404 not found</html>"),
    "header-alone": lambda path: path.write_bytes(b"\xff\xd8\xff\xe0"),
    "broken-png-chunk": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 50),
}


@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN.keys())
def test_unreadable_picture_is_a_defect_with_a_hint(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "a.jpg")
    with pytest.raises(Defect, match=r"the picture cannot be read \(.+\)") as caught:
        inspect(tmp_path / "a.jpg")
    assert str(tmp_path) not in caught.value.what
    assert caught.value.hint


def test_picture_of_absurd_size_is_a_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Defect, match="the picture cannot be read"):
        inspect(saved(tmp_path / "a.png"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid", "it is a Git LFS pointer"),
        (b"../elsewhere/p1.jpg", "it is the text of a symbolic link to ../elsewhere/p1.jpg"),
        (b"just text", "not a known picture format"),
    ],
)
def test_what_stands_in_for_a_picture_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "p1.jpg").write_bytes(content)
    with pytest.raises(Defect) as caught:
        inspect(tmp_path / "p1.jpg")
    assert reason in caught.value.what


def test_picture_of_a_phone_is_named_for_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    with pytest.raises(Defect, match="is HEIC, which is not read") as caught:
        inspect(tmp_path / "a.jpg")
    assert "JPEG" in caught.value.hint
