"""The pages name files that exist, and the translation of the first one keeps step."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("README.md", "README.zh.md", "CONTRIBUTING.md")
PAGES = [*(ROOT / name for name in NAMES), *sorted(ROOT.glob("docs/*.md"))]
NAMED = re.compile(r"(?<![\w./-])(?:tests|src|benchmarks|configs|docker|docs)/[\w./*-]*[\w*]")
# What commands write, what the tutorial has its reader write, and a name of one's own choice.
NOT_HERE = {
    "configs/images.lock",
    "configs/sources.lock",
    "configs/mugs.toml",
    "configs/mugs-taken.toml",
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
def test_a_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken_links(page) == []


def test_a_link_to_no_heading_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# Which *one*\n")
    page = tmp_path / "page.md"
    page.write_text("# A\n[a](#a) [b](#b) [c](other.md#which-one) [d](other.md#d) [e](none.md)\n")

    assert broken_links(page) == ["#b", "other.md#d", "none.md"]


def test_the_readme_names_every_page() -> None:
    linked = set(re.findall(r"\]\((docs/[^)#]*)", (ROOT / "README.md").read_text()))
    listed = re.search(r"(?s)\ndocs/ (.*?)\nchannels/", (ROOT / "README.md").read_text())
    assert listed

    assert {f"docs/{page.name}" for page in ROOT.glob("docs/*.md")} <= linked
    assert {page.stem for page in ROOT.glob("docs/*.md")} == set(re.findall(r"[\w-]+", listed[1]))


def broken_links(page: Path) -> list[str]:
    """Name the links of a page to files that are not there, or to headings that they lack."""
    found = re.findall(r"\]\(((?![a-z]+:)([^)#\s]*)(?:#([^)\s]*))?)\)", page.read_text())
    return [
        link
        for link, path, anchor in found
        if not (at := page.parent / path if path else page).exists()
        or (anchor and anchor not in anchors_of(at))
    ]


def anchors_of(page: Path) -> set[str]:
    """Give what links to the headings of a page end in, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text())
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_first_day_settles_rows_that_are_unverified() -> None:
    page = (ROOT / "docs/device-first-day.md").read_text()
    quoted = re.findall(r"(?<!\*)\*(?!\*)([^*\n]+)\*(?!\*)", page)
    table = (ROOT / "docs/verified.md").read_text().partition("## Unverified")[2]
    rows = {line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()}

    assert len(quoted) > 8
    assert set(quoted) <= rows


class Readme(NamedTuple):
    """What a translation has to have in common with the original."""

    headings: list[int]
    commands: list[str]
    """Lines of code blocks without their comments; the tree of folders by its names alone."""
    links: list[str]


COMMENT = re.compile(r"\s+#.*")
TREE = re.compile(r"^[\w./ ]*?[\w./]+(?=  )")


def readme_of(text: str) -> Readme:
    blocks = re.findall(r"(?ms)^```(\w*)\n(.*?)^```", text)
    commands = [
        COMMENT.sub("", line) for kind, block in blocks if kind for line in block.splitlines()
    ]
    trees = [
        found[0]
        for kind, block in blocks
        if not kind
        for line in block.splitlines()
        if (found := TREE.match(line))
    ]
    prose = re.sub(r"(?ms)^```.*?^```", "", text)
    links = re.findall(r"\]\(([^)]+)\)", prose)
    return Readme(
        headings=[len(marks) for marks in re.findall(r"(?m)^(#+) ", prose)],
        commands=[*commands, *trees],
        links=[link for link in links if not link.startswith(("#", "README"))],
    )


def test_the_chinese_readme_keeps_step() -> None:
    english, chinese = (
        readme_of((ROOT / name).read_text()) for name in ("README.md", "README.zh.md")
    )

    assert chinese.headings == english.headings
    assert chinese.commands == english.commands
    assert chinese.links == english.links


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("$ invoke status ", "$ invoke state "),
        ("\n## ", "\n### "),
        ("docs/ci.md)", "docs/training.md)"),
        ("  contract/  ", "  contracts/ "),
        ('checkpoint = "work_dirs', 'weights = "work_dirs'),
    ],
)
def test_a_translation_that_fell_behind_is_seen(old: str, new: str) -> None:
    text = (ROOT / "README.md").read_text()

    assert old in text
    assert readme_of(text.replace(old, new, 1)) != readme_of(text)
