import threading

import pytest

from mmdet_jetson.store.behind import AHEAD, Behind

BLOCKS = [bytes([number]) for number in range(4 * AHEAD)]


def test_blocks_are_handed_on_in_their_order() -> None:
    seen: list[bytes] = []
    with Behind(seen.append) as add:
        for block in BLOCKS:
            add(block)
    assert seen == BLOCKS


def test_what_fails_behind_is_raised_in_front() -> None:
    def work(block: bytes) -> None:
        if block == BLOCKS[1]:
            raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"), Behind(work) as add:
        for block in BLOCKS:
            add(block)
    with pytest.raises(ValueError, match="no room"), Behind(work) as add:
        add(BLOCKS[1])  # the last one: seen at the end


def test_what_was_handed_over_is_done_whatever_ends_it() -> None:
    seen: list[bytes] = []
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), Behind(seen.append) as add:
        add(b"1")
        add(b"2")
        raise KeyboardInterrupt
    assert seen == [b"1", b"2"]
    assert threading.active_count() == before
