"""What ``configs/sources.toml`` says of the files that are fetched, and the README of their digests."""

import re
from pathlib import Path

import pytest

from mmdet_jetson.config.sources import Sources
from mmdet_jetson.config.toml import convert, read_toml

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "configs/sources.toml"
SOURCES = convert(read_toml(FILE, ""), Sources, FILE).sources


@pytest.mark.parametrize("name", SOURCES)
def test_a_name_that_promises_a_digest_has_it(name: str) -> None:
    promised = re.search(r"-([0-9a-f]{8})\.pth$", SOURCES[name].url)
    if promised:
        assert (SOURCES[name].sha256 or "").startswith(promised[1])


def test_the_readme_shows_digests_that_the_file_has() -> None:
    shown = re.findall(r"(?m)^([0-9a-f]{8})\.\.\.  (\S+)$", (ROOT / "README.md").read_text())
    assert len(shown) == 2
    for start, file in shown:
        assert re.search(rf"\b{start}[0-9a-f]{{56}}\b", FILE.read_text())
        assert any(source.filename == file for source in SOURCES.values())
