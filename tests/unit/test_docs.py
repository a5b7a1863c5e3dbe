"""The pages name files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
NAMED = re.compile(r"(?<![\w./-])(?:tests|src|benchmarks|configs|docker|docs)/[\w./*-]*[\w*]")
# What commands write, what the tutorial has its reader write, and a name of one's own choice.
NOT_HERE = {
    "configs/images.lock",
    "configs/sources.lock",
    "configs/mugs.toml",
    "docker/ENVIRONMENT.lock",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_a_page_names_files_that_exist(page: Path) -> None:
    named = set(NAMED.findall(page.read_text())) - NOT_HERE

    assert sorted(path for path in named if not any(ROOT.glob(path))) == []


def test_names_are_found_in_the_pages() -> None:
    named = {path for page in PAGES for path in NAMED.findall(page.read_text())}

    assert {"tests/integration/test_inside.py", "configs/targets.toml", "docs/images.md"} <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_a_link_within_a_page_leads_to_a_heading(page: Path) -> None:
    text = page.read_text()
    headings = re.findall(r"(?m)^#+ (.*)$", text)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= anchors


def test_the_first_day_settles_rows_that_are_unverified() -> None:
    page = (ROOT / "docs/device-first-day.md").read_text()
    quoted = re.findall(r"(?<!\*)\*(?!\*)([^*\n]+)\*(?!\*)", page)
    table = (ROOT / "docs/verified.md").read_text().partition("## Unverified")[2]
    rows = {line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()}

    assert len(quoted) > 8
    assert set(quoted) <= rows
