"""A dataset without its pictures: it tells as much of evidence as the whole one would."""

import json

import msgspec
import pytest
from small_artifacts import blob_of
from small_releases import SmallRun, sha256

from mmdet_jetson.bundles.belonging import contradictions
from mmdet_jetson.bundles.contents import Contents, PartName
from mmdet_jetson.bundles.dataset_summary import content_of, original, summarize
from mmdet_jetson.bundles.ledger import ledger
from mmdet_jetson.errors import UserError
from mmdet_jetson.store import Artifact, cache_tag


def test_it_has_the_digest_of_every_picture(run: SmallRun) -> None:
    summary = summarize(run.store, run.made["dataset"])

    pictures = json.loads(run.store.read(summary, "pictures.json"))
    assert pictures == {
        "train": {"a.jpg": sha256(b"a picture")},
        "val": {"more/b.jpg": sha256(b"another picture")},
    }


@pytest.mark.parametrize(
    "titles", [None, ("val", "val.json"), ("train", "train.json"), ("summary.json", "val.json")]
)
def test_contents_are_those_of_the_whole(run: SmallRun, titles: tuple[str, ...] | None) -> None:
    dataset = run.made["dataset"]
    summary = summarize(run.store, dataset)

    assert content_of(run.store, summary, titles) == dataset.content_of(titles)
    assert content_of(run.store, dataset, titles) == dataset.content_of(titles)


def test_what_was_never_in_it_has_no_content(run: SmallRun) -> None:
    summary = summarize(run.store, run.made["dataset"])

    assert content_of(run.store, summary, ("test.json",)) is None
    assert content_of(run.store, run.made["dataset"], ("test.json",)) is None


def test_it_is_the_same_each_time(run: SmallRun) -> None:
    first = summarize(run.store, run.made["dataset"])

    assert summarize(run.store, run.made["dataset"]) == first
    assert summarize(run.store, first) == first


def test_it_is_never_found_instead_of_the_dataset(run: SmallRun) -> None:
    summary = summarize(run.store, run.made["dataset"])

    assert summary.provenance.key == ""
    assert cache_tag("") not in run.store.tags()


def test_one_of_other_annotations_contradicts_itself(run: SmallRun) -> None:
    dataset = run.made["dataset"]
    summary = summarize(run.store, dataset)
    folder = run.scratch / "forged"
    run.store.checkout(summary, folder)
    (folder / "val.json").unlink()
    (folder / "val.json").write_text('{"images": ["more"]}')
    forged = run.store.put("dataset", folder, summary.provenance, ["forged"])

    part = PartName("dataset")
    (only,) = contradictions(Contents("it", run.store, {part: forged}))

    assert "has other annotations than the dataset it is of" in only.sentence


def foreign(run: SmallRun, left_out: str) -> Artifact:
    """A summary that came from elsewhere, with what it says of itself."""
    folder = run.scratch / "foreign"
    folder.mkdir()
    (folder / "pictures.json").write_text("{}")
    (folder / "val.json").write_text('{"images": ["forged"]}')
    (folder / "left_out.json").write_text(left_out)
    provenance = msgspec.structs.replace(run.made["dataset"].provenance, key="")
    return run.store.put("dataset", folder, provenance, ["foreign.dataset"])


def test_one_from_elsewhere_is_not_taken_for_ours(run: SmallRun) -> None:
    dataset = run.made["dataset"]
    lies = {"digest": dataset.digest, "content": dataset.content, "entries": {}}
    theirs = foreign(run, json.dumps(lies))

    ours = summarize(run.store, dataset)

    assert ours != theirs
    assert json.loads(run.store.read(ours, "pictures.json"))["val"]


@pytest.mark.parametrize("left_out", ['{"version": 2}', '{"x": ' + "[" * 100_000])
def test_one_from_elsewhere_that_cannot_be_read_stops_nothing(run: SmallRun, left_out: str) -> None:
    foreign(run, left_out)

    assert content_of(run.store, summarize(run.store, run.made["dataset"]), None)
    assert [each.pictures for each in ledger(run.store)]


def test_what_it_says_of_entries_that_are_there_counts_for_nothing(run: SmallRun) -> None:
    dataset = run.made["dataset"]
    whole = {layer.title: {"content": layer.content, "size": 1} for layer in dataset.layers}
    lies = {"digest": dataset.digest, "content": dataset.content, "entries": whole}
    theirs = foreign(run, json.dumps(lies))

    assert original(run.store, theirs).content == dataset.content
    assert content_of(run.store, theirs, None) != dataset.content


def test_damaged_pictures_are_refused(run: SmallRun) -> None:
    (val,) = run.made["dataset"].parts(["val"])
    blob = blob_of(run.store, val.blob.digest)
    blob.chmod(0o644)
    blob.write_bytes(b"\0" * val.blob.size)

    with pytest.raises(UserError, match=r"the pictures val of dataset .* are damaged"):
        summarize(run.store, run.made["dataset"])
