"""Channel files: written and read back, whatever is in them, and refused in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from small_chains import WHO, bundle_digest, chain_of, following

from mmdet_jetson.config.settings import ROOT, read_settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion import channel_text
from mmdet_jetson.promotion.channel_file import (
    append,
    chain_flaws,
    channel_names,
    channel_path,
    read_channel,
)
from mmdet_jetson.promotion.records import ROLLBACK, Override, Record

HARD = 'a "quoted" \\ line\nand \t another, ünïcode, 🚀, \x00\x1b[31m\x7f\u202e\ufeff\U000e0001 [[record]] = # end'


def written(path: Path, records: tuple[Record, ...]) -> Path:
    for each in records:
        append(path, each)
    return path


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    override = Override(gate="size:pc", outcome="fail", who=WHO, because=HARD)
    one, two = chain_of("v1", "v2")
    three = following((one, two), "v1", action=ROLLBACK, restores=1, undoes=(2,), reason=HARD)
    four = following((one, two, three), HARD, overrides=(override, override), released=True)

    path = written(tmp_path / "channels/production.toml", (one, two, three, four))

    assert read_channel(path) == (one, two, three, four)
    assert chain_flaws(read_channel(path)) == []
    assert path.read_text().startswith("# Channel production: ")
    assert path.read_text().isprintable() is False  # newlines alone:
    assert path.read_text().replace("\n", "").isprintable()


def test_both_ways_of_reading_agree(tmp_path: Path) -> None:
    """The quick one takes what we write, and TOML's own parser finds the same in it."""
    records = chain_of("v1", "v2", "a \\u0041 \x1b \" '''")
    text = written(tmp_path / "a.toml", records).read_text()

    quick = channel_text._as_written(text)

    assert quick is not None
    assert quick == msgspec.toml.decode(text, type=dict[str, object])["record"]


@pytest.mark.parametrize(
    "line",
    [
        "sequence = 01",
        "sequence = 1\nsequence = 1",
        'name = "\\/"',
        'name = "\\ud83d\\ude80"',
        "name = 'single'",
        "judged = 1 # why",
        "undoes = [1, 2,]",
        "[other]",
        'name = "x" ',
        "name=1",
        '"name" = "x"',
    ],
)
def test_what_somebody_else_wrote_is_left_to_the_parser_of_toml(line: str) -> None:
    assert channel_text._as_written(f"[[record]]\n{line}\n") is None


def test_an_addition_leaves_what_is_there_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    one, two = chain_of("v1", "v2")
    path.write_text("# our own words\r\n" + channel_text.text_of(one).rstrip("\n"))
    before = path.read_bytes()

    append(path, two)

    assert path.read_bytes().startswith(before + b"\n")
    assert read_channel(path) == (one, two)


def test_what_a_killed_writer_left_goes_with_the_next_record(tmp_path: Path) -> None:
    left = tmp_path / ".a.toml.123.new"
    left.write_text("half")

    append(tmp_path / "a.toml", *chain_of("v1"))

    assert not left.exists()


def test_no_file_is_an_empty_channel(tmp_path: Path) -> None:
    assert read_channel(tmp_path / "a.toml") == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "is no channel file: line 1 is no text in UTF-8"),
        (b"[[record]\n", "is no channel file: "),
        (b"record = 3\n", "its record is no list of tables"),
        (b"sequence = 3\n", "it has 'sequence' besides records"),
        (b"[[record]]\nsequence = 0\n", "record 1.sequence: expected a whole number >= 1"),
        (b"[[record]]\nsequence = 1\naction = 'eat'\n", "'eat' is unknown"),
        (b"[[record]]\nsequence = 1\nbundel = 'x'\n", "unknown key 'record 1.bundel'"),
        (b"[[record]]\nsequence = 1\naction='promote'\nbundle = '../x'\n", "record 1.bundle: a digest is sha256: and 64 digits"),
        (b"record = [3]\n", "record 1: expected a table, got a whole number"),
        (b"[[record]]\nsequence = 1\naction='promote'\nbundle = '" + bundle_digest("a").encode() + b"'\n[[record.overrides]]\ngaet = 1\n", "did you mean 'gate'?"),
        (b"record = " + b"[" * 3000, "is no channel file: "),
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_a_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)

    with pytest.raises(UserError) as refused:
        read_channel(path)

    assert said in refused.value.message
    assert str(path) in refused.value.message
    # Nobody is to write into it by hand.
    assert refused.value.hint == f"git has it as it was: git checkout -- {path}"
    assert refused.value.exit_code == 1


def test_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").mkdir()
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_channel(tmp_path / "a.toml")
    os.mkfifo(tmp_path / "b.toml")
    with pytest.raises(UserError, match="it is a pipe"):
        read_channel(tmp_path / "b.toml")


def test_channels_are_the_files_of_a_folder(tmp_path: Path) -> None:
    settings = read_settings({"MMDET_JETSON_CHANNELS": str(tmp_path)})
    for name in ("b.toml", "a.toml", ".a.toml.12.new", ".c.toml", "a-17.toml", "notes.txt"):
        (tmp_path / name).touch()

    assert channel_names(settings) == ["a", "b"]
    assert channel_path(settings, "a") == tmp_path / "a.toml"
    assert channel_path(read_settings({}), "a") == ROOT / "channels/a.toml"
    assert channel_names(read_settings({"MMDET_JETSON_CHANNELS": str(tmp_path / "no")})) == []


@pytest.mark.parametrize(
    "name", ["", "../a", "a/b", ".a", "a-17", "production-1", "a.b", "ä", "-a", "a\n"]
)
def test_a_channel_cannot_be_called_so(name: str) -> None:
    with pytest.raises(UserError, match="is no name for a channel"):
        channel_path(read_settings({}), name)


def git(folder: Path, *words: str, fails: bool = False) -> str:
    config = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=0")
    done = subprocess.run(
        ["git", "-C", str(folder), *config, *words], check=False, capture_output=True, text=True
    )
    assert bool(done.returncode) == fails, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("way", ["merge", "rebase"])
@pytest.mark.parametrize("style", ["merge", "diff3", "zdiff3"])
def test_a_conflict_names_both_records_and_what_to_type(
    tmp_path: Path, way: str, style: str
) -> None:
    path = tmp_path / "a.toml"
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "config", "merge.conflictStyle", style)
    base = chain_of("v1")
    commit(path, base[0])
    git(tmp_path, "checkout", "-q", "-b", "mine")
    commit(path, following(base, "mine"))
    git(tmp_path, "checkout", "-q", "main")
    theirs = following(base, "theirs", who="Bob <bob@example.com>")
    commit(path, theirs)
    git(tmp_path, "checkout", "-q", "mine")
    git(tmp_path, *(way, "main"), fails=True)

    with pytest.raises(UserError) as refused:
        read_channel(path)

    assert (
        "is in conflict: record 2 (promote of mine, Ada <ada@example.com>" in refused.value.message
    )
    assert "there, both after the same record" in refused.value.message
    assert " here, record 2 (promote of theirs, Bob <bob@example.com>" in refused.value.message
    words = refused.value.hint.partition(": ")[2].replace(", then ", " && ")
    subprocess.run(
        [
            "sh",
            "-c",
            words.replace("git commit", "git -c user.name=A -c user.email=a commit --no-edit"),
        ],
        cwd=tmp_path,
        check=True,
    )
    assert read_channel(path) == (*base, theirs)
    assert git(tmp_path, "status", "--porcelain") == ""


def typed(folder: Path, hint: str) -> None:
    """Do what a hint says."""
    words = hint.partition(": ")[2].replace(", then ", " && ")
    words = words.replace("git ", "git -c user.name=A -c user.email=a -c core.editor=true ")
    subprocess.run(["sh", "-ec", words], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("way", ["rebase", "rebase --apply", "stash", "cherry-pick", "squash"])
def test_theirs_is_what_others_have_whatever_git_calls_it(tmp_path: Path, way: str) -> None:
    path = tmp_path / "a.toml"
    git(tmp_path, "init", "-q", "-b", "main")
    base = chain_of("v1")
    commit(path, base[0])
    theirs = following(base, "theirs", who="Bob <bob@example.com>")
    git(tmp_path, "checkout", "-q", "-b", "mine")
    if way == "stash":
        append(path, following(base, "mine"))
        git(tmp_path, "stash", "-q")
        commit(path, theirs)
        git(tmp_path, "stash", "pop", fails=True)
    else:
        (tmp_path / "other").write_text("of the same commit")
        git(tmp_path, "add", "other")
        commit(path, following(base, "mine"))
        git(tmp_path, "checkout", "-q", "main")
        commit(path, theirs)
        if way == "cherry-pick":
            git(tmp_path, "cherry-pick", "mine", fails=True)
        else:
            git(tmp_path, "checkout", "-q", "mine")
            words = "merge --squash main" if way == "squash" else f"{way} main"
            git(tmp_path, *words.split(), fails=True)

    with pytest.raises(UserError) as refused:
        read_channel(path)

    assert "record 2 (promote of mine, " in refused.value.message.partition(" here, ")[0]
    typed(tmp_path, refused.value.hint)
    assert read_channel(path) == (*base, theirs)
    assert not git(tmp_path, "status", "--porcelain").startswith("U")
    if way == "rebase":
        assert (tmp_path / "other").exists(), "the rest of the commit is not lost"


def commit(path: Path, record: Record) -> None:
    append(path, record)
    git(path.parent, "add", path.name)
    git(path.parent, "commit", "-q", "-m", record.name)


def test_a_thousand_records_are_read_at_once(tmp_path: Path) -> None:
    """By their form: TOML's parser is never asked."""
    records = chain_of(*map(str, range(1000)))
    path = tmp_path / "a.toml"
    path.write_text("".join(map(channel_text.text_of, records)))
    code = (
        "import sys, pathlib\nfrom mmdet_jetson.promotion.channel_file import *\n"
        "records = read_channel(pathlib.Path(sys.argv[1]))\n"
        "assert len(records) == 1000 and not chain_flaws(records)\n"
        "assert not {'tomllib', 'tomli'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_digests_of_a_bundle_are_whole() -> None:
    assert len(bundle_digest("a")) == 71


def test_a_link_is_no_channel_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.toml").write_text("")
    (tmp_path / "staging.toml").symlink_to("elsewhere.toml")

    with pytest.raises(UserError, match="is a link"):
        read_channel(tmp_path / "staging.toml")
