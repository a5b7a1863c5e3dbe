"""Pages of made-up analyses, and what is in them."""

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

from made_analyses import write_analysis

from mmdet_jetson.contract.analysis import Analysis
from mmdet_jetson.contract.job import ArtifactSummary
from mmdet_jetson.contract.report import CHECKPOINT
from mmdet_jetson.stages.reporting.analysed import Analysed
from mmdet_jetson.stages.reporting.compared import Side
from mmdet_jetson.stages.reporting.report_page import render
from mmdet_jetson.stages.reporting.subjects import Subject


def subject(analysis: Analysis | None, folder: Path, name: str = CHECKPOINT) -> Subject:
    """A subject of which nothing but the analysis is known; its drawings are in the folder."""
    if analysis:
        write_analysis(folder, analysis)
    return Subject(name, folder, None, None, None, None, analysis)


def analysed(
    analysis: Analysis, folder: Path = Path("nowhere"), name: str = CHECKPOINT
) -> Analysed:
    """The same without drawings."""
    return Analysed(Subject(name, folder, None, None, None, None, analysis), analysis, folder)


def page_of(
    *subjects: Subject,
    compared: Sequence[Side] = (),
    artifacts: Sequence[ArtifactSummary] = (),
    name: str = "cups",
) -> str:
    """The page of these subjects; the checkpoint has to be one of them."""
    return render(
        name=name,
        verdict="pass",
        gates=[],
        subjects=subjects,
        summary=None,
        training=None,
        artifacts=artifacts,
        compared=compared,
    )


class Parts(HTMLParser):
    """Ids, links, elements by name, and text, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag == "a" else []

    def handle_data(self, data: str) -> None:
        self.text += data


def section(text: str, anchor: str) -> str:
    """The section under a heading."""
    return text.split(f'<section aria-labelledby="{anchor}">')[1].split("</section>", maxsplit=1)[0]
