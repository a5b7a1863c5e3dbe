"""The gallery and the table of pictures: linked, complete, escaped, and small enough."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from made_analyses import made_analysis
from made_pages import Parts, analysed, page_of, section, subject

from mmdet_jetson.contract.analysis import PictureResult, WorstPicture
from mmdet_jetson.stages.reporting.album import Album
from mmdet_jetson.stages.reporting.pictures_section import (
    ROWS_SHOWN,
    json_data,
    pictures_section,
)

HOSTILE = '</script><script>alert(1)</script><!-- "\u2028&.jpg'
CHROMIUM = shutil.which("chromium")


def data_of(text: str) -> list[list[object]]:
    found = re.search(r'id="picture-data">(.*?)</script>', text, re.DOTALL)
    assert found
    rows: list[list[object]] = json.loads(found[1])["rows"]
    return rows


def test_rows_come_by_what_they_cost(tmp_path: Path) -> None:
    made = made_analysis(200)
    text = page_of(subject(made, tmp_path))
    rows = data_of(text)
    assert len(rows) == 200
    lost = [float(str(row[6])) for row in rows]
    assert lost == sorted(lost, reverse=True)
    known = {each.name: each for each in made.pictures}
    for name, objects, right, false_alarms, misses, wrong, *_ in rows:
        each = known[str(name)]
        assert (objects, right, false_alarms, misses, wrong) == (
            each.objects, each.right, each.false_alarms, each.misses, each.wrong_class,
        )  # fmt: skip


def test_every_link_leads_somewhere(tmp_path: Path) -> None:
    """Also without the script: rows that the gallery leads to are there, whatever they cost."""
    parts = Parts(page_of(subject(made_analysis(500), tmp_path)))
    assert len(parts.ids) == len(set(parts.ids))
    assert {link[1:] for link in parts.links} <= set(parts.ids)
    to_rows = [link for link in parts.links if link.startswith("#picture-")]
    to_drawings = [link for link in parts.links if link.startswith("#worst-")]
    assert len(to_rows) == 12
    # From the row, and from the enlarged picture back to the small one.
    assert len(to_drawings) == 24


def test_a_drawing_of_two_kinds_is_on_the_page_once(tmp_path: Path) -> None:
    made = made_analysis()
    name = made.pictures[0].name
    worst = (WorstPicture(name, "one.jpg", "misses"), WorstPicture(name, "one.jpg", "wrong class"))
    text = section(page_of(subject(replace(made, worst=worst), tmp_path)), "worst")
    assert text.count("<img") == 1
    assert f'And, drawn above: <a href="#worst-1"><bdi>{name}</bdi></a>.' in text
    assert '<a href="#worst-1">misses</a> <a href="#worst-1">wrong class</a>' in text


def test_a_picture_is_enlarged_without_a_script_or_a_second_copy(tmp_path: Path) -> None:
    """The link makes the element around it the page's target, which fills the screen."""
    made = made_analysis()
    text = section(page_of(subject(made, tmp_path)), "worst")
    for each in range(1, 1 + text.count("<img")):
        assert f'id="large-{each}"><a class="enlarge" href="#large-{each}"><img' in text
        assert f'<a class="close" href="#worst-{each}" aria-label="Close ' in text
    sources = re.findall(r'src="(data:[^"]+)"', text)
    assert len(sources) == len(set(sources)) == text.count("data:image")


def test_false_alarms_are_of_the_types_that_they_are(tmp_path: Path) -> None:
    """Duplicates are not said to be where nothing is."""
    made = made_analysis()
    result = replace(made.pictures[0], false_alarms=3)
    types = {"duplicate": 2, "localisation": 1}
    worst = (WorstPicture(result.name, made.worst[0].file, "false alarms", types),)
    made = replace(made, pictures=(result, *made.pictures[1:]), worst=worst)
    text = section(page_of(subject(made, tmp_path)), "worst")
    assert "3 false alarms (2 duplicate, 1 localisation)" in text
    assert "2 duplicate (of an object that was found already)" in text
    assert "where nothing is" not in text


def test_an_evaluation_that_has_no_types_is_shown_without(tmp_path: Path) -> None:
    text = section(page_of(subject(made_analysis(), tmp_path)), "worst")
    assert "False alarms: detections without an object of their own</h3>" in text
    assert "TIDE's types" not in text


def test_colours_are_told_once_beside_the_pictures(tmp_path: Path) -> None:
    text = section(page_of(subject(made_analysis(), tmp_path)), "worst")
    assert text.count('class="legend"') == 1


def test_a_cell_names_its_column_where_rows_are_blocks(tmp_path: Path) -> None:
    """On a phone there is no head above the cells; the script's cells are named by the heads."""
    text = section(page_of(subject(made_analysis(), tmp_path)), "worst")
    head, rows = text.split('id="picture-table" class="stack"')[1].split("</thead>")
    columns = re.findall(r"<th [^>]*>([^<]+)</th>", head)[1:]
    first = rows.split("</tr>")[0]
    assert re.findall(r'data-label="([^"]+)"', first) == columns


def test_a_file_outside_the_folder_is_not_read(tmp_path: Path) -> None:
    made = made_analysis()
    secret = WorstPicture(made.pictures[0].name, "../secret.jpg", "misses")
    folder = tmp_path / "evaluation"
    found = subject(made, folder)
    (folder / "worst" / made.worst[0].file).rename(folder / "secret.jpg")
    made = replace(made, worst=(secret,))
    assert "<img" not in page_of(replace(found, analysis=made))


def test_names_are_text_whatever_they_are(tmp_path: Path) -> None:
    made = made_analysis(classes=("mug", HOSTILE))
    first = replace(made.pictures[0], name=HOSTILE, lost=1.0)
    worst = (replace(made.worst[0], name=HOSTILE), *made.worst[1:])
    made = replace(made, pictures=(first, *made.pictures[1:]), worst=worst)
    text = page_of(subject(made, tmp_path))
    parts = Parts(text)
    assert parts.tags.count("script") == 2
    assert "alert(1)</script><" not in text
    assert data_of(text)[0][0] == HOSTILE
    assert parts.text.count(HOSTILE.replace("\u2028", "\u2028")) >= 3


def test_data_cannot_end_its_element() -> None:
    text = json_data(["</script>", "<!--", "&amp;", "\u2028"])
    assert not re.search("[<>&\u2028]", text)
    assert json.loads(text) == ["</script>", "<!--", "&amp;", "\u2028"]


def test_five_thousand_pictures_are_under_ten_megabytes(tmp_path: Path) -> None:
    names = tuple(f"class {at}" for at in range(80))
    text = page_of(subject(made_analysis(5000, names, worst=12), tmp_path))
    assert len(text.encode()) < 10_000_000
    assert text.count('<tr id="picture-') < 100
    assert "of 5,000 pictures: those that cost most" in text
    assert not re.search(r"(?:src|href)=\"https?:|url\(https?:", text)


def test_pictures_without_room_are_counted(tmp_path: Path) -> None:
    made = made_analysis()
    subject(made, tmp_path)
    room = Album(room=200_000)
    found = pictures_section(analysed(made, tmp_path), room)
    drawn = sum(len(new) for _, _, new, _ in found.galleries)
    assert 0 < drawn < 12
    assert found.left_out == 12 - drawn


def test_little_is_told_without_noughts() -> None:
    result = PictureResult("a.jpg", 3, 2, 0, 1, 0, 0.1)
    made = replace(made_analysis(), pictures=(result,), worst=())
    found = pictures_section(analysed(made), Album())
    assert found.galleries == ()
    assert [row.result for row in found.shown] == [result]


def test_few_pictures_need_no_sentence_about_more(tmp_path: Path) -> None:
    text = section(page_of(subject(made_analysis(ROWS_SHOWN), tmp_path)), "worst")
    assert "Here are" not in text


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open the page with")
def test_in_a_browser_a_link_finds_its_row(tmp_path: Path) -> None:
    """The page's own policy lets the script run, and a row far behind the first is shown."""
    path = tmp_path / "report.html"
    path.write_text(page_of(subject(made_analysis(3000), tmp_path / "evaluation")))
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
        f"--user-data-dir={tmp_path / 'profile'}", f"file://{path}#picture-2345",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    shown = re.findall(r'<tr id="picture-(\d+)"', done.stdout)
    assert shown == [str(at) for at in range(2300, 2350)]
    assert "2301 to 2350 of 3000" in done.stdout
    assert 'id="picture-controls">' in done.stdout
