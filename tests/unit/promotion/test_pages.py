"""The pages: what a stranger reads, whoever wrote it, with nothing beside the file."""

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
import small_history
from small_artifacts import blob_of
from small_history import HOSTILE, SmallHistory
from small_releases import PC

from mmdet_jetson.cli.history import verdict_in
from mmdet_jetson.cli.part_lines import printable
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.promotion.channel_page import render_channels
from mmdet_jetson.promotion.history import History, day, history_of
from mmdet_jetson.promotion.page import between, tone
from mmdet_jetson.promotion.page_charts import CHARTS, draw
from mmdet_jetson.promotion.records import Flaw
from mmdet_jetson.promotion.release_figures import (
    Figure,
    Measured,
    Release,
    measured_in,
    releases_of,
)

NOW = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)
VOID = {"meta", "br", "rect", "circle", "path", "line"}


class Page(HTMLParser):
    """A page as a browser reads it: what opens must close, ids are there once."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.append((name, value or ""))
            if name == "id":
                self.ids.append(value or "")
            elif name == "href":
                self.links.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += f" {data}"

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", self.text)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> SmallHistory:
    return small_history.small_history(tmp_path_factory.mktemp("past"), read_settings())


def html(past: SmallHistory, *histories: History) -> str:
    told = histories or (history_of("production", past.records),)
    return render_channels(
        told, partial(releases_of, past.store), partial(verdict_in, past.store), NOW, printable
    )


def rounded(figure: Figure | None) -> tuple[float | None, ...]:
    ends = (figure.value, figure.low, figure.high) if figure else ()
    return tuple(None if each is None else round(each, 6) for each in ends)


@pytest.fixture(scope="module")
def page(past: SmallHistory) -> Page:
    return Page(html(past))


def test_it_says_what_is_there_since_when_why_and_on_what_evidence(page: Page) -> None:
    said = page.words
    assert "v2.1 is in production since 2026-07-01 10:00 , for 5 months." in said
    assert "Ada Lovelace <ada@example.com> promoted it with record 10" in said
    assert "Why: v2.0 with mirrors" in said
    assert "On what evidence: 3 of 3 gates passed" in said
    assert "have judged 2 releases by then" in said


def test_it_says_what_was_overridden_and_rolled_back(page: Page) -> None:
    said = page.words
    assert (
        f"latency:{PC} (inconclusive), overridden by Ben Okri <ben@example.com> , because: the Orin of the lab"
        in said
    )
    assert "3. Promoted v1.2 overridden rolled back" in said
    assert "Restores record 7, takes back 8." in said
    assert "Ends the hold of record 9." in said
    assert "Inconclusive, overridden." in said


def test_it_needs_nothing_and_runs_nothing(page: Page, past: SmallHistory) -> None:
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert {each for each in page.links if not each.startswith("#")} == {small_history.RUN}
    assert "url(" not in html(past)
    assert "@import" not in html(past)


def test_what_others_wrote_is_text_and_nothing_else(page: Page) -> None:
    assert "<script>alert('why')</script>" in page.words  # as text
    assert "\u202e" in HOSTILE
    assert "\u202e" not in page.text
    assert "javascript:alert(1)" in page.words
    assert not [each for each in page.links if each.startswith("javascript")]


def test_its_links_lead_somewhere_and_its_ids_are_there_once(page: Page) -> None:
    inner = {each[1:] for each in page.links if each.startswith("#")}
    assert inner <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    labels = {value for name, value in page.attributes if name == "aria-labelledby"}
    assert labels <= set(page.ids)


def test_it_is_the_same_text_for_the_same_history(past: SmallHistory) -> None:
    assert html(past) == html(past)


def test_other_validation_pictures_are_pointed_out(page: Page) -> None:
    assert "Other validation pictures were used from v2.0 on" in page.words


def test_a_held_channel_says_by_whom_and_how_it_is_released(past: SmallHistory) -> None:
    held = Page(html(past, history_of("production", past.records[:9])))

    assert "Held. The rollback of record 9 by Ben Okri" in held.words
    assert "invoke rollback production --release" in held.words
    assert "v1.4 is in production since 2026-06-15 22:05" in held.words
    assert "Ben Okri <ben@example.com> rolled back to it" in held.words
    assert "Held." not in Page(html(past)).words


def test_a_release_that_was_overridden_is_marked_while_it_is_there(past: SmallHistory) -> None:
    there = html(past, history_of("production", past.records[:3]))

    assert '<div class="card fail">' in there
    assert (
        Page(there).words.count("Overridden. A gate did not pass") == 2
    )  # above, and in its record
    assert Page(html(past)).words.count("Overridden. A gate did not pass") == 1
    assert "2 of 3 gates passed (verdict" in Page(there).words
    assert "latency:pc-onnxruntime was " in Page(there).words
    assert '<div class="card pass">' in html(past)


def test_a_broken_chain_is_said_before_anything_else(past: SmallHistory) -> None:
    flawed = html(past, history_of("production", past.records, [Flaw(4, "record 4 was removed")]))

    said = Page(flawed).words
    assert said.index("These records cannot be trusted.") < said.index("is in production since")
    assert "record 4: record 4 was removed" in said
    assert '<div class="card fail">' in flawed


def test_several_channels_share_a_page(past: SmallHistory) -> None:
    both = Page(html(past, *(history_of(name, past.records) for name in ("production", "staging"))))

    assert "production : v2.1 since 2026-07-01 10:00" in both.words
    assert {"record-1-10", "record-2-10"} <= set(both.ids)
    assert len(both.ids) == len(set(both.ids))


def test_a_clone_without_bundles_still_has_its_history(past: SmallHistory, tmp_path: Path) -> None:
    empty = msgspec.structs.replace(past.settings, artifacts=tmp_path / "none")
    elsewhere = SmallHistory(empty, type(past.store)(empty.artifacts), {}, {}, past.records)

    said = Page(html(elsewhere)).words
    assert "v2.1 is in production since" in said
    assert "is not in this store" in said
    assert "Every gate passed (verdict" in said
    assert "Figures over releases" not in said


def test_a_damaged_profile_takes_nothing_else_along(past: SmallHistory, tmp_path: Path) -> None:
    copy = small_history.small_history(tmp_path / "own", read_settings())
    bundle = copy.bundles["v1.0"]
    profile = next(
        each for part in bundle.parts if (each := copy.store.part(part)) and each.kind == "profile"
    )
    blob = blob_of(copy.store, profile.layers[0].blob.digest)
    blob.chmod(0o644)
    blob.write_bytes(b"x" * blob.stat().st_size)

    measured, why = measured_in(copy.store, bundle.digest)

    assert "damaged" in why
    assert [each.subject for each in measured] == ["checkpoint", PC]
    assert rounded(measured[1].ap) == (0.567, None, None)
    assert measured[1].p99 is None


def test_figures_come_with_their_intervals(past: SmallHistory) -> None:
    (checkpoint, engine), why = measured_in(past.store, past.bundles["v1.2"].digest)

    assert why == ""
    assert rounded(checkpoint.ap50) == (0.922, 0.892, 0.942)
    assert rounded(engine.p99) == (29.6, 28.8, 31.0)
    assert checkpoint.p99 is None
    assert engine.pictures == 200


def test_a_percentile_that_is_not_claimed_says_why(past: SmallHistory) -> None:
    (_, engine), _ = measured_in(past.store, past.bundles["v1.4"].digest)

    assert engine.p99 is None
    there = Page(html(past, history_of("production", past.records[:9])))
    assert f"{PC} : no p99: there are 200 samples, and it asks for 459." in there.words


def test_an_interval_may_be_open_at_an_end() -> None:
    assert between(Figure(2.0, 1.5, 2.5), 1) == "1.5 to 2.5"
    assert between(Figure(2.0, 1.5, None), 1) == "at least 1.5"
    assert between(Figure(2.0, None, 2.5), 1) == "at most 2.5"


def test_releases_stand_once_in_the_order_in_which_they_came(past: SmallHistory) -> None:
    releases = releases_of(past.store, history_of("production", past.records))

    assert [each.title for each in releases] == [
        "v1.0",
        "v1.1",
        "v1.2",
        "v1.3",
        "v1.4",
        "v2.0",
        "v2.1",
    ]
    assert [each.others for each in releases] == [False] * 5 + [True, False]
    assert [each.sequence for each in releases] == [1, 2, 3, 6, 7, 8, 10]


def test_times_in_another_unit_are_not_taken_for_milliseconds(tmp_path: Path) -> None:
    own = small_history.small_history(tmp_path, read_settings(), unit="s")

    (_, engine), _ = measured_in(own.store, own.bundles["v1.0"].digest)

    assert (engine.p50, engine.p99) == (None, None)
    assert engine.ap


def test_what_was_taken_back_is_seen_in_the_picture_of_times(past: SmallHistory) -> None:
    drawn = re.findall(r'<rect class="(now|undone|replaced)"', html(past))

    assert drawn == [
        "now",
        "replaced",
        "replaced",
        "undone",
        "replaced",
        "replaced",
        "replaced",
        "undone",
        "replaced",
    ]


def test_the_picture_of_times_begins_where_its_label_says(past: SmallHistory) -> None:
    """Though the release that was there first came back later."""
    back = html(past, history_of("production", past.records[:4]))

    assert past.records[3].restores == 2
    assert re.findall(r'<div class="ends"[^>]*><span>([^<]*)', back) == [day(past.records[0].at)]
    swapped = (past.records[1], msgspec.structs.replace(past.records[2], bundle="x"))
    twice = (*swapped, msgspec.structs.replace(past.records[3], sequence=4))
    again = html(past, history_of("production", twice))
    assert re.findall(r'<div class="ends"[^>]*><span>([^<]*)', again) == [day(twice[0].at)]
    assert 'class="replaced" x="0"' in again


def test_an_outcome_that_is_none_of_ours_proves_nothing() -> None:
    assert [tone(each) for each in ("pass", "fail", "inconclusive", 'x" onclick="')] == [
        "pass",
        "fail",
        "inconclusive",
        "inconclusive",
    ]


def releases(*values: float | None) -> Iterator[Release]:
    for number, value in enumerate(values, start=1):
        figure = None if value is None else Figure(value, value - 0.1, value + 0.1)
        yield Release(
            f"sha256:{number}", f"v{number}", number, (Measured("checkpoint", ap50=figure),)
        )


def test_a_chart_tells_who_cannot_see_it_what_it_shows() -> None:
    drawn = draw(CHARTS[1], list(releases(0.5, None, 0.75)), ["checkpoint"], 1)

    assert drawn
    assert 'aria-label="AP50 by release: checkpoint from 0.5 in v1 to 0.75 in v3"' in drawn.svg
    assert drawn.title == "AP50, 95% interval over resampled pictures"
    assert drawn.svg.count("<circle") == 2
    assert drawn.svg.count('class="ci"') == 2


def test_one_release_is_no_chart() -> None:
    assert draw(CHARTS[1], list(releases(0.5, None)), ["checkpoint"], 1) is None
    assert draw(CHARTS[1], [], ["checkpoint"], 1) is None


def test_a_subject_has_its_colour_in_every_chart() -> None:
    slow = Release("sha256:1", "v1", 1, (Measured("orin", p99=Figure(3.0)),))

    drawn = draw(CHARTS[3], [slow, slow], ["checkpoint", "orin"], 1)

    assert drawn
    assert "color-1" in drawn.svg
    assert "color-0" not in drawn.svg


def test_whiskers_stay_inside_the_chart() -> None:
    wide = Release("sha256:1", "v1", 1, (Measured("checkpoint", ap50=Figure(0.5, 0.1, 0.9)),))

    drawn = draw(CHARTS[1], [wide, wide], ["checkpoint"], 1)

    assert drawn
    (whisker, _) = re.findall(r'class="ci"><path d="([^"]*)"', drawn.svg)
    heights = [float(each) for each in re.findall(r"[ML][\d.]+ ([\d.]+)", whisker)]
    assert all(0 <= each <= 280 for each in heights)


@pytest.mark.parametrize("count", [2, 5, 30])
def test_whiskers_of_series_that_stand_aside_stay_inside_the_chart(count: int) -> None:
    names = ["a", "b", "c", "d", "e"]
    figure = Figure(0.5, 0.1, 0.9)
    parts = tuple(Measured(each, ap50=figure) for each in names)
    drawn = draw(CHARTS[1], [Release("sha256:1", "v1", 1, parts)] * count, names, 1)

    assert drawn
    (left,) = set(
        re.findall(r'<g transform="translate\((\d+), \d+\)" class="plot overlay"', drawn.svg)
    )
    for aside, series in re.findall(
        r'class="series[^>]*translate\((\S+) 0\)">(.*?)(?=<g class="series|$)', drawn.svg
    ):
        places = [float(each) for each in re.findall(r"[ML]([\d.]+) ", series)]
        assert min(places) + float(aside) >= 0, "it hides no label"
        assert max(places) + float(aside) + float(left) <= 440


def test_a_table_that_scrolls_shows_that_it_does(past: SmallHistory) -> None:
    (style,) = re.findall(r"\.scroll \{(.*?)\}", html(past).partition("@media (max")[0], re.DOTALL)

    assert style.count(" local") == 2  # these travel with the table, and hide
    assert style.count(" scroll") == 2  # what stays at the edges


def test_names_of_targets_are_text_in_charts() -> None:
    odd = Release("sha256:1", "<b>v1", 1, (Measured("<i>a", ap=Figure(0.5)),))

    drawn = draw(CHARTS[0], [odd, odd], ["<i>a"], 1)

    assert drawn
    assert "<i>" not in drawn.svg
    assert "<b>" not in drawn.svg
