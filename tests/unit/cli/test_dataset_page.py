"""The page of a dataset, as `invoke dataset` places it."""

from importlib import resources
from pathlib import Path

from small_artifacts import PROVENANCE

from mmdet_jetson.cli.summary import place_dataset_page
from mmdet_jetson.store import Artifact, Store


def stored(store: Store, folder: Path, **files: str) -> Artifact:
    folder.mkdir()
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    return store.put("dataset", folder, PROVENANCE, ())


def test_the_page_lies_beside_the_reports_and_is_written_anew(tmp_path: Path) -> None:
    store = Store(tmp_path / "artifacts")
    first = stored(store, tmp_path / "1", page_html="one")
    page = place_dataset_page(store, first, "mugs")
    assert page == store.root / "reports/mugs-dataset.html"
    assert page.read_text() == "one"
    page.unlink()
    assert place_dataset_page(store, first, "mugs") == page
    assert page.read_text() == "one"
    place_dataset_page(store, stored(store, tmp_path / "2", page_html="two"), "mugs")
    assert page.read_text() == "two"


def test_the_page_says_which_run_and_dataset_it_is_of(tmp_path: Path) -> None:
    store = Store(tmp_path / "artifacts")
    template = resources.files("mmdet_jetson.stages.reporting") / "dataset_page.html.j2"
    made = stored(store, tmp_path / "1", page_html=template.read_text())
    page = place_dataset_page(store, made, "mugs")
    assert page is not None
    heading = f"Dataset at a glance: mugs, {made.digest[7:19]}"
    assert f"<title>{heading}</title>" in page.read_text()
    assert f"<h1>{heading}</h1>" in page.read_text()


def test_a_dataset_of_an_earlier_release_has_no_page(tmp_path: Path) -> None:
    store = Store(tmp_path / "artifacts")
    old = stored(store, tmp_path / "old", summary_json="{}")
    assert place_dataset_page(store, old, "mugs") is None
    assert not (store.root / "reports").exists()
