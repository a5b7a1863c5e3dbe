import threading
from collections.abc import Callable

import pytest

from mmdet_jetson.store.behind import AHEAD, Behind


def hand_on(
    work: Callable[[bytes], None], *blocks: bytes, ends_with: type[BaseException] | None = None
) -> None:
    with Behind(work) as add:
        for block in blocks:
            add(block)
        if ends_with:
            raise ends_with


BLOCKS = [bytes([number]) for number in range(4 * AHEAD)]


def test_blocks_are_handed_on_in_their_order() -> None:
    seen: list[bytes] = []
    hand_on(seen.append, *BLOCKS)
    assert seen == BLOCKS


def test_what_fails_behind_is_raised_in_front() -> None:
    def work(block: bytes) -> None:
        if block == BLOCKS[1]:
            raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        hand_on(work, *BLOCKS)
    with pytest.raises(ValueError, match="no room"):
        hand_on(work, BLOCKS[1])  # the last one: seen at the end


def test_what_was_handed_over_is_done_whatever_ends_it() -> None:
    seen: list[bytes] = []
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        hand_on(seen.append, b"1", b"2", ends_with=KeyboardInterrupt)
    assert seen == [b"1", b"2"]
    assert threading.active_count() == before
