"""Charts as parts of a page: nothing of a stand-alone file, nothing that two of them share."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from xml.etree import ElementTree

from mmdet_jetson.stages.reporting.chart_kinds import Chart
from mmdet_jetson.stages.reporting.charts import draw_chart

AP = Chart("AP", "epoch", ["AP", "AP50"], x_label="epoch", markers=True, unit_range=True)
RECORDS = [{"epoch": e, "AP": e / 30, "AP50": e / 20} for e in (5, 10, 15)]


def drawn(
    chart: Chart = AP, records: Sequence[Mapping[str, float | None]] = RECORDS
) -> ElementTree.Element:
    svg = draw_chart(chart, records)
    assert svg is not None
    # Inside a page xlink needs no declaration, as HTML knows it.
    return ElementTree.fromstring(str(svg).replace("<svg ", '<svg xmlns:xlink="xlink" ', 1))


def ids(element: ElementTree.Element) -> list[str]:
    return [each.attrib["id"] for each in element.iter() if "id" in each.attrib]


def styles(element: ElementTree.Element) -> str:
    return " ".join(each.attrib.get("style", "") for each in element.iter())


def test_nothing_of_a_stand_alone_file_is_left() -> None:
    svg = drawn()
    assert svg.tag == "svg"
    assert set(svg.attrib) == {"role", "aria-label", "viewBox"}
    assert {"metadata", "style"} & {each.tag for each in svg.iter()} == set()


def test_colours_and_font_are_those_of_the_page() -> None:
    text = styles(drawn())
    for variable in ("--soft", "--line", "--series-1", "--series-2"):
        assert f"var({variable})" in text
    assert "#" not in text
    assert "font-size: 11px" in text
    assert "font:" not in text
    assert "font-family" not in text


def test_every_link_has_its_target_and_no_two_charts_share_one() -> None:
    one, other = drawn(), drawn(replace(AP, title="AP again"))
    links = {each.attrib["{xlink}href"] for each in one.iter("use")}
    assert links
    assert links <= {f"#{name}" for name in ids(one)}
    together = ids(one) + ids(other)
    assert len(together) == len(set(together))


def test_equal_records_give_equal_text() -> None:
    assert draw_chart(AP, RECORDS) == draw_chart(AP, RECORDS)
    assert draw_chart(AP, RECORDS) != draw_chart(AP, RECORDS[1:])


def test_the_label_says_what_is_drawn_whatever_the_title() -> None:
    label = drawn(replace(AP, title='"<AP> & more"')).attrib["aria-label"]
    assert label == '"<AP> & more" by epoch: AP from 0.167 to 0.5, AP50 from 0.25 to 0.75'


def test_what_was_not_measured_is_not_drawn() -> None:
    assert draw_chart(AP, []) is None
    assert draw_chart(AP, [{"epoch": 5, "AP": None}, {"epoch": 10}]) is None
    assert draw_chart(AP, [{"epoch": 5, "AP": float("nan")}]) is None
    label = drawn(records=[*RECORDS, {"epoch": 20, "AP": float("inf"), "AP50": None}])
    assert label.attrib["aria-label"].startswith("AP by epoch: AP from 0.167 to 0.5,")


def test_a_long_curve_keeps_its_ends() -> None:
    chart = Chart("Loss", "step", ["loss"], x_label="iteration")
    svg = drawn(chart, [{"step": float(i), "loss": 2 / i} for i in range(1, 901)])
    assert svg.attrib["aria-label"] == "Loss by iteration: loss from 2 to 0.00222"
    longest = max(each.attrib["d"].count("L") for each in svg.iter("path"))
    assert longest < 400
