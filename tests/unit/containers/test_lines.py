"""Output in pieces becomes lines."""

from mmdet_jetson.containers.lines import Lines


def test_pieces_become_lines_and_the_last_words_are_kept() -> None:
    seen: list[str] = []
    lines = Lines(seen.append)
    for piece in (b"on", b"e\ntwo\nKil", b"led"):
        lines.feed(piece)
    assert seen == ["one", "two"]
    lines.close()
    lines.close()
    assert seen == ["one", "two", "Killed"]
