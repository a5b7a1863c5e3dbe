"""Output in pieces becomes lines, and lines become fit for a log."""

import pytest

from mmdet_jetson.containers.answers import Message
from mmdet_jetson.containers.lines import Lines, plain
from mmdet_jetson.containers.objects import DockerHostError
from mmdet_jetson.containers.streams import pass_on


def test_pieces_become_lines_and_the_last_words_are_kept() -> None:
    seen: list[str] = []
    lines = Lines(seen.append)
    for piece in (b"on", b"e\ntwo\nKil", b"led"):
        lines.feed(piece)
    assert seen == ["one", "two"]
    lines.close()
    lines.close()
    assert seen == ["one", "two", "Killed"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("\x1b[91mWARNING: root\x1b[0m", "WARNING: root"),
        ("\x1b[1;38;5;208mbold\x1b[m \x1b[2Kand\x1b(B plain", "bold and plain"),
        ("\x1b]8;;https://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (" 10%\r 50%\r100%\r", "100%"),
        ("\ta tab, [91m and ü stay", "\ta tab, [91m and ü stay"),
        ("a bell\x07", "a bell"),
    ],
)
def test_a_log_gets_no_control_characters(line: str, told: str) -> None:
    assert plain(line) == told


def test_a_build_is_told_in_whole_plain_lines() -> None:
    messages: list[Message] = [
        {"stream": "Step 1/2 : RUN make\n"},
        {"stream": " ---> Running in 91dfbcaae0e1\n"},
        {"stream": "\x1b[91mcc: warn"},
        {"stream": "\x1b[0m\x1b[91ming\n\x1b[0m"},
        {"stream": "\x1b[91m\x1b[0m"},
        {"stream": "\n"},
        {"stream": " 10%\r100%\n"},
        {"stream": "Removing intermediate container 91dfbcaae0e1\n ---> 1b258c546402\n"},
        {"stream": "Step 2/2 : CMD x\n ---> Using cache\n"},
        {"stream": "Successfully built"},
    ]
    seen: list[str] = []
    pass_on(messages, seen.append)
    assert seen == [
        "Step 1/2 : RUN make", "cc: warning", "100%", "Step 2/2 : CMD x", " ---> Using cache",
        "Successfully built",
    ]  # fmt: skip


def test_a_pull_says_nothing_of_single_layers() -> None:
    layer = {"id": "0a", "progressDetail": {"current": 1, "total": 9}, "status": "Downloading"}
    messages: list[Message] = [
        {"status": "Pulling from library/ubuntu"},
        *[layer] * 50,  # type: ignore[list-item]  # fields that are not read
        {"status": "Pull complete", "progressDetail": {}},  # type: ignore[typeddict-unknown-key]
        {"status": "Digest: sha256:1"},
    ]
    seen: list[str] = []
    pass_on(messages, seen.append)
    assert seen == ["Pulling from library/ubuntu", "Digest: sha256:1"]


def test_what_a_build_said_before_it_failed_is_told_first() -> None:
    seen: list[str] = []
    messages: list[Message] = [{"stream": "the cause"}, {"error": "\x1b[91mit failed\x1b[0m\n"}]
    with pytest.raises(DockerHostError, match=r"^it failed$"):
        pass_on(messages, seen.append)
    assert seen == ["the cause"]


def test_a_kernel_without_the_table_that_docker_28_needs_is_recognised() -> None:
    """What Docker says on JetPack 6: https://github.com/moby/moby/issues/49557."""
    said = (
        "failed to set up container networking: failed to create endpoint x on network bridge: "
        "Unable to enable DIRECT ACCESS FILTERING - DROP rule:  (iptables failed: iptables --wait "
        "-t raw -A PREROUTING -d 172.17.0.2 ! -i docker0 -j DROP: iptables v1.8.7 (legacy): can't "
        "initialize iptables table `raw': Table does not exist (do you need to insmod?)\nPerhaps "
        "iptables or your kernel needs to be upgraded.\n (exit status 3))"
    )
    with pytest.raises(DockerHostError) as refused:
        pass_on([{"error": said}], print)
    assert "needs the kernel module iptable_raw" in refused.value.hint
    assert "Docker 27" in refused.value.hint
    with pytest.raises(DockerHostError) as other:
        pass_on([{"error": said.replace("`raw'", "`nat'")}], print)
    assert other.value.hint == ""
