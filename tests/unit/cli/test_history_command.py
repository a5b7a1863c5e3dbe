"""`invoke history` and the pages of it and of `invoke show`, as a user types them."""

import json
import shutil
from pathlib import Path

import pytest
import small_history
from in_process import Commands
from small_history import SmallHistory
from small_releases import PC

from mmdet_jetson.cli import wrapping
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.store import Store


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> SmallHistory:
    past = small_history.small_history(tmp_path_factory.mktemp("past"), read_settings())
    past.write("production")
    return past


@pytest.fixture
def folder(whole: SmallHistory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the channels; the store is beside it."""
    assert whole.settings.channels
    shutil.copytree(whole.settings.channels, tmp_path / "channels")
    shutil.copytree(whole.store.root, tmp_path / "artifacts")
    monkeypatch.setenv("MMDET_JETSON_CHANNELS", str(tmp_path / "channels"))
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path / "channels"


def test_it_answers_first_what_is_there(folder: Path, invoke: Commands) -> None:
    code, said = invoke("history", "production")

    head = said.split("\n\n")[0].splitlines()
    assert code == 0
    assert head[0].startswith("channel production: 10 records, 7 promotions, 2 rollbacks")
    assert head[1].startswith("now: v2.1 (")
    assert "since 2026-07-01 10:00 UTC" in head[1]
    assert head[1].endswith("by Ada Lovelace <ada@example.com>")
    assert head[2] == "  why: v2.0 with mirrors"
    assert head[3].startswith("  evidence: 3 of 3 gates passed (verdict ")
    assert any(
        each.startswith(f"  {PC}: AP 0.657, AP50 0.977 (95%: 0.951 to 1.000); p50 10.7 ms")
        for each in head
    )


def test_then_every_record_the_newest_first(folder: Path, invoke: Commands) -> None:
    _, said = invoke("history", "production")

    blocks = said.split("\n\n")[1:]
    assert [int(each.split()[0]) for each in blocks] == list(range(10, 0, -1))
    assert "OVERRIDDEN: latency:pc-onnxruntime was inconclusive, and Ben Okri" in blocks[7]
    assert "Taken back by the rollback of record 4." in blocks[7]
    assert "rolled back to v1.1" in blocks[6]
    assert "ended the hold" in blocks[5]
    assert f"run: {small_history.RUN}" in blocks[4]


def test_a_terminal_is_told_letters_alone(folder: Path, invoke: Commands) -> None:
    _, said = invoke("history", "production")

    assert "\u202e" not in said
    assert "<script>" in said


def test_json_says_everything(folder: Path, whole: SmallHistory, invoke: Commands) -> None:
    code, said = invoke("history", "production", "--json")

    told = json.loads(said)
    assert code == 0
    assert told["channel"] == "production"
    assert told["flaws"] == []
    assert told["held_by"] is None
    assert told["now"]["outcome"] == "pass"
    assert [each["subject"] for each in told["now"]["figures"]] == ["checkpoint", PC]
    assert [each["gate"] for each in told["now"]["gates"]] == ["parts", "accuracy", "latency"]
    assert [each["digest"] for each in told["records"]] == [each.digest for each in whole.records]
    third = told["records"][2]
    assert third["overrides"][0]["because"].startswith("the Orin of the lab")
    assert third["undone_by"] == 4
    assert told["records"][3]["undoes"] == [3]
    assert told["records"][3]["hold_ended_by"] == 5
    assert told["records"][0]["overrides"] == []  # fields that say nothing are there, too


def test_a_page_goes_where_it_is_asked_for(folder: Path, tmp_path: Path, invoke: Commands) -> None:
    code, said = invoke("history", "production", "--page", str(tmp_path / "new/page.html"))

    assert (code, said.strip()) == (0, f"wrote {tmp_path / 'new/page.html'}")
    assert "v2.1" in (tmp_path / "new/page.html").read_text()


def test_a_page_has_a_place_of_its_own(folder: Path, tmp_path: Path, invoke: Commands) -> None:
    code, _ = invoke("history", "production", "--page")

    assert code == 0
    assert (tmp_path / "artifacts/reports/channel-production.html").exists()


def test_a_page_that_cannot_be_written_is_a_sentence(
    folder: Path, tmp_path: Path, invoke: Commands
) -> None:
    (tmp_path / "file").write_text("")

    for place in (tmp_path, tmp_path / "file/page.html"):
        code, said = invoke("history", "production", "--page", str(place))
        assert code == 1
        assert said.startswith("error: ")
        assert "Traceback" not in said


def test_an_unknown_channel_is_a_sentence(folder: Path, invoke: Commands) -> None:
    code, said = invoke("history", "productoin")

    assert code == 1
    assert "productoin has no history" in said
    assert "production" in said.split("try:")[1]


def test_what_is_no_channel_file_is_a_sentence(folder: Path, invoke: Commands) -> None:
    (folder / "production.toml").write_text("[[record]]\nsequence = 'one'\n")

    code, said = invoke("history", "production")

    assert code != 0
    assert said.startswith("error: ")
    assert "Traceback" not in said


def test_a_record_that_was_removed_is_told_of(folder: Path, invoke: Commands) -> None:
    path = folder / "production.toml"
    blocks = path.read_text().split("[[record]]")
    path.write_text("[[record]]".join([*blocks[:4], *blocks[5:]]))

    code, said = invoke("history", "production")
    as_json, document = invoke("history", "production", "--json")
    told, _ = json.JSONDecoder().raw_decode(document)

    assert (code, as_json) == (1, 1)  # it is shown all the same
    assert said.rstrip().endswith("try: invoke verify")
    assert "CANNOT BE TRUSTED: record 4 was removed" in said
    assert told["flaws"][0]["sequence"] == 4


def test_what_the_tags_tell_is_said_first(folder: Path, tmp_path: Path, invoke: Commands) -> None:
    store = Store(tmp_path / "artifacts")
    bundle, other = store.bundle("v2.1"), store.bundle("v1.0")
    assert bundle
    assert other
    store.tag(bundle, "channel-production", "channel-production-10")
    store.tag(other, "channel-production-11")

    code, said = invoke("history", "production")

    assert code == 0
    assert said.splitlines()[1].startswith("note: record 11 of here, with bundle ")
    store.tag(other, "channel-production-12")
    code, said = invoke("history", "production")
    assert code == 1
    assert said.splitlines()[1].startswith("CANNOT BE TRUSTED: record 11 was removed")
    assert said.splitlines()[2].startswith("CANNOT BE TRUSTED: record 12 was removed")


def test_an_empty_file_is_not_taken_for_another_name(folder: Path, invoke: Commands) -> None:
    (folder / "staging.toml").write_text("")

    code, said = invoke("history", "staging")

    assert (code, "did you mean" in said) == (1, False)
    assert "try: invoke promote BUNDLE --to staging" in said


def test_a_terminal_gets_lines_that_fit(
    folder: Path, invoke: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_file = invoke("history", "production")[1]
    assert max(map(len, as_file.splitlines())) > 80
    monkeypatch.setattr(wrapping, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")

    said = invoke("history", "production")[1]

    assert max(map(len, said.splitlines())) <= 80
    assert said.split() == as_file.split()


def test_what_goes_on_stands_under_its_sentence() -> None:
    gate = f"    {'pass':<13} size:pc: The engine has 3 MB, and 50 MB are allowed by the policy."
    assert wrapping.wrapped(gate, 60).splitlines() == [
        "    pass          size:pc: The engine has 3 MB, and 50 MB",
        "                  are allowed by the policy.",
    ]
    assert wrapping.wrapped("  why: one two three", 14) == "  why: one two\n    three"
    assert wrapping.wrapped("", 40) == ""


def test_a_clone_with_an_empty_store_has_its_history(
    folder: Path, tmp_path: Path, invoke: Commands
) -> None:
    shutil.rmtree(tmp_path / "artifacts")

    code, said = invoke("history", "production")

    assert code == 0
    assert "now: v2.1 (" in said
    assert "evidence: Every gate passed (verdict " in said
    assert "its figures are not known here: bundle " in said
    assert invoke("history", "production", "--page", str(tmp_path / "page.html"))[0] == 0
    assert invoke("history", "production", "--json")[0] == 0


def test_a_held_channel_says_how_it_is_released(
    folder: Path, whole: SmallHistory, invoke: Commands
) -> None:
    path = folder / "production.toml"
    path.write_text("[[record]]".join(path.read_text().split("[[record]]")[:10]))

    _, said = invoke("history", "production")

    assert "HELD by record 9 of Ben Okri <ben@example.com>" in said
    assert "`invoke rollback production --release`" in said


def test_a_release_as_a_page_says_which_channels_it_was_in(
    folder: Path, tmp_path: Path, invoke: Commands
) -> None:
    code, said = invoke("show", "v1.2", "--page", str(tmp_path / "page.html"))

    text = (tmp_path / "page.html").read_text()
    assert (code, said.strip()) == (0, f"wrote {tmp_path / 'page.html'}")
    assert "Record 3, 2026-04-02 17:45" in text
    assert "Taken back by the rollback of record 4." in text
    assert "overridden by" in text
    assert "0.892 to 0.942" in text
    assert "there now" not in text
    assert "<script" not in text


def test_the_page_of_what_is_there_says_so(folder: Path, tmp_path: Path, invoke: Commands) -> None:
    invoke("show", "v2.1", "--page", str(tmp_path / "page.html"))

    assert "there now" in (tmp_path / "page.html").read_text()


def test_a_release_that_no_channel_had_says_so(
    folder: Path, tmp_path: Path, invoke: Commands
) -> None:
    (folder / "production.toml").unlink()

    code, _ = invoke("show", "v2.1", "--page", str(tmp_path / "page.html"))

    assert code == 0
    assert "None that this project knows of." in (tmp_path / "page.html").read_text()


def test_a_broken_channel_does_not_keep_a_page_from_being_written(
    folder: Path, tmp_path: Path, invoke: Commands
) -> None:
    (folder / "staging.toml").write_text("no TOML")

    code, _ = invoke("show", "v2.1", "--page", str(tmp_path / "page.html"))

    assert code == 0
    assert "A channel cannot be read:" in (tmp_path / "page.html").read_text()
    assert "there now" in (tmp_path / "page.html").read_text()


def test_a_run_and_an_artifact_have_pages_too(
    folder: Path, tmp_path: Path, invoke: Commands
) -> None:
    for name, what in (("demo", "Run"), ("demo.train", "Artifact")):
        code, _ = invoke("show", name, "--page", str(tmp_path / f"{name}.html"))
        assert code == 0
        assert f"<h1>{what} <bdi>{name}</bdi></h1>" in (tmp_path / f"{name}.html").read_text()
        assert "Channels that it was in" not in (tmp_path / f"{name}.html").read_text()


def test_all_channels_share_a_page(folder: Path, tmp_path: Path, invoke: Commands) -> None:
    shutil.copy(folder / "production.toml", folder / "staging.toml")

    code, said = invoke("channels", "--page", str(tmp_path / "page.html"))

    text = (tmp_path / "page.html").read_text()
    assert (code, said.strip()) == (0, f"wrote {tmp_path / 'page.html'}")
    assert "record-1-10" in text
    assert "record-2-10" in text


def test_no_channel_is_no_page(folder: Path, tmp_path: Path, invoke: Commands) -> None:
    (folder / "production.toml").unlink()

    code, said = invoke("channels", "--page", str(tmp_path / "page.html"))

    assert code == 1
    assert "there is no channel yet" in said


def test_a_page_takes_no_check_away(folder: Path, tmp_path: Path, invoke: Commands) -> None:
    path = folder / "production.toml"
    path.write_text(path.read_text().replace("finds dark mugs", "finds all mugs"))

    code, said = invoke("channels", "--check", "--page", str(tmp_path / "page.html"))

    assert code != 0
    assert "record 3" in said
    assert "These records cannot be trusted." in (tmp_path / "page.html").read_text()
