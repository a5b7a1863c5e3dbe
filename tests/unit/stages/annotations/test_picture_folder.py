from pathlib import Path

import pytest
from labelled import noise

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.picture_folder import PictureFolder, lost_link


@pytest.mark.parametrize(
    "name", ["a b.png", "ä.png", "sub/c.png", "-rf.png", "#%&'.png", "$(x).png"]
)
def test_any_name_below_the_folder_is_found(tmp_path: Path, name: str) -> None:
    noise(tmp_path / name, 1)
    folder = PictureFolder(tmp_path)
    assert folder.path(folder.find("./" + name).name) == tmp_path / name


def test_letters_and_accents_stored_apart_are_the_same_name(tmp_path: Path) -> None:
    noise(tmp_path / "a\u0308.png", 1)
    folder = PictureFolder(tmp_path)
    assert folder.find("\u00e4.png") == folder.find("a\u0308.png") == ("\u00e4.png", True)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("../secret.png", "points out of the pictures folder"),
        ("/etc/passwd", "points out of the pictures folder"),
        ("sub/../../secret.png", "points out of the pictures folder"),
        ("no.png", "the picture is missing"),
        ("", "the picture is missing"),
        ("a\0.png", "the picture is missing"),
        ("a" * 5000, "the picture is missing"),
        ("https://example.org/b.png", "the picture is missing"),
        ("..\\secret.png", "the picture is missing"),
        ("https://[::1/b.png", "the picture is missing"),
        ("..", "points out of the pictures folder"),
    ],
)
def test_name_without_a_file_is_a_defect(tmp_path: Path, name: str, sentence: str) -> None:
    noise(tmp_path / "secret.png", 1)
    noise(tmp_path / "pictures/a.png", 2)
    with pytest.raises(Defect, match=sentence) as caught:
        PictureFolder(tmp_path / "pictures").find(name)
    assert caught.value.hint


def test_missing_picture_names_one_that_differs_in_case_or_suffix(tmp_path: Path) -> None:
    noise(tmp_path / "IMG_1.png", 1)
    with pytest.raises(Defect) as caught:
        PictureFolder(tmp_path).find("img_1.jpg")
    assert caught.value.hint == 'there is "IMG_1.png"; rename one of them'


TREE = (
    "p1.jpg",
    "cam1/0001.jpg",
    "cam2/0001.jpg",
    "cam1/7.PNG",
    "ab12-p1.jpg",
    "a b.jpg",
    "x%20y.jpg",
)

FOUND = {
    "folder-in-front": ("images/p1.jpg", "p1.jpg"),
    "windows": ("images\\ab12-p1.jpg", "ab12-p1.jpg"),
    "windows-drive": ("C:\\Users\\me\\p1.jpg", "p1.jpg"),
    "absolute": ("/home/me/data/cam2/0001.jpg", "cam2/0001.jpg"),
    "up": ("../images/p1.jpg", "p1.jpg"),
    "file-address": ("file:///home/me/p1.jpg", "p1.jpg"),
    "address": ("https://example.org/x/p1.jpg?d=1", "p1.jpg"),
    "address-with-a-fragment": ("https://example.org/x/p1.jpg#t=3", "p1.jpg"),
    "bucket": ("s3://bucket/run 3/cam1/0001.jpg", "cam1/0001.jpg"),
    "percent": ("https://example.org/a%20b.jpg", "a b.jpg"),
    "percent-in-the-name": ("images/x%20y.jpg", "x%20y.jpg"),
    "uploaded": ("/data/upload/3/ab12-p1.jpg", "ab12-p1.jpg"),
    "uploaded-with-a-prefix": ("/data/upload/3/0f3b9c2d-p1.jpg", "p1.jpg"),
    "local-files": ("/data/local-files/?d=pics/cam2/0001.jpg", "cam2/0001.jpg"),
    "local-files-percent": ("/data/local-files/?d=pics%5Ccam2%5C0001.jpg", "cam2/0001.jpg"),
    "case": ("CAM1/7.png", "cam1/7.PNG"),
    "no-folder": ("7.png", "cam1/7.PNG"),
    "spaces-around": (" p1.jpg ", "p1.jpg"),
    "no-suffix": ("x/p1", "p1.jpg"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> PictureFolder:
    folder = tmp_path_factory.mktemp("tree")
    for seed, name in enumerate(TREE):
        noise(folder / name, seed)
    return PictureFolder(folder)


@pytest.mark.parametrize(("name", "file"), FOUND.values(), ids=FOUND.keys())
def test_name_from_another_machine_is_found_by_its_end(
    tree: PictureFolder, name: str, file: str
) -> None:
    assert tree.find(name) == (file, False)


def test_name_without_a_suffix_is_that_of_the_picture(tree: PictureFolder) -> None:
    assert tree.find("cam2/0001") == ("cam2/0001.jpg", True)


@pytest.mark.parametrize("name", ["0001.jpg", "cam3/0001.jpg", "C:\\0001.jpg", "0001"])
def test_name_that_may_be_several_is_refused_with_them(tree: PictureFolder, name: str) -> None:
    with pytest.raises(Defect) as caught:
        tree.find(name)
    assert caught.value.what == 'the picture may be "cam1/0001.jpg" or "cam2/0001.jpg"'
    assert caught.value.hint


def test_link_that_became_text_is_known(tmp_path: Path) -> None:
    (tmp_path / "link").write_text("../elsewhere")
    (tmp_path / "notes").write_text("see the wiki")
    (tmp_path / "picture").write_bytes(b"\xff\xd8/\x00")
    (tmp_path / "page").write_text("<html>404</html>")
    names = ("link", "notes", "picture", "none", ".", "page")
    assert [lost_link(tmp_path / name) for name in names] == [
        "../elsewhere",
        None,
        None,
        None,
        None,
        None,
    ]


def test_picture_that_label_studio_has_renamed_is_found(tmp_path: Path) -> None:
    for name in ("Tasse 00 (grün).JPG", "a b.png", "a_b.png"):
        (tmp_path / name).touch()
    folder = PictureFolder(tmp_path)
    for name in ("/data/upload/3/1a2b3c4d-Tasse_00_grün.JPG", "images\\1a2b3c4d-Tasse_00_grün.JPG"):
        assert folder.find(name) == ("Tasse 00 (grün).JPG", False)
    assert folder.find("1a2b3c4d-a_b.png") == ("a_b.png", False)
    with pytest.raises(Defect, match="missing"):
        folder.find("Tasse_00_grün.JPG")


def test_renamed_picture_that_may_be_several_is_refused(tmp_path: Path) -> None:
    for name in ("a b.png", "a (b).png"):
        (tmp_path / name).touch()
    with pytest.raises(Defect, match=r'may be "a \(b\)\.png" or "a b\.png"'):
        PictureFolder(tmp_path).find("1a2b3c4d-a_b.png")
