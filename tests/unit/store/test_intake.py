"""Blobs that come into a layout from elsewhere, and who else writes there."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from msgspec.structs import replace

from mmdet_jetson.errors import UserError
from mmdet_jetson.store import Descriptor
from mmdet_jetson.store.intake import Intake, taking_in
from mmdet_jetson.store.layers import Damaged
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import digest_of

CONTENT = b"0123456789"
BLOB = Descriptor(media_type="x", digest=digest_of(CONTENT), size=len(CONTENT))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "artifacts")


def receive(intake: Intake, content: bytes = CONTENT) -> None:
    intake.receive(BLOB, lambda start: nullcontext(iter([content[start:]])))


def test_what_another_transfer_changed_is_not_counted_among_the_blobs(layout: Layout) -> None:
    """Somebody's manifest gives the same blob a larger size, and more of it comes."""
    with taking_in(layout) as ours, taking_in(layout) as theirs:
        receive(ours)

        def more() -> Iterator[bytes]:
            yield b"more"
            with pytest.raises(Damaged, match="another transfer changed it"):
                ours.read(BLOB)
            with pytest.raises(UserError, match=f"{BLOB.digest[7:]} was changed meanwhile") as told:
                ours.settle()
            assert told.value.hint == "run again"
            yield b"."

        with pytest.raises(Damaged):
            theirs.receive(replace(BLOB, size=15), lambda _: nullcontext(more()))
    assert not layout.has(BLOB)
    with taking_in(layout) as again:
        receive(again)
        again.settle()
    assert layout.read(BLOB) == CONTENT


def test_a_link_is_not_written_through(layout: Layout, tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("a long letter to somebody dear")
    layout.create()
    layout.partial.mkdir()
    (layout.partial / BLOB.digest[7:]).symlink_to(letter)
    with pytest.raises(UserError, match=r"[0-9a-f]{64} is a link"), taking_in(layout) as intake:
        receive(intake)
    assert letter.read_text() == "a long letter to somebody dear"
