"""Channel files as git has them: what a change is compared with."""

import os
from pathlib import Path

import msgspec
import pytest
from small_chains import chain_of

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.processes import output_of
from mmdet_jetson.promotion.channel_file import append
from mmdet_jetson.promotion.earlier import earlier

RECORDS = chain_of("v1", "v2", "v3")


def git(clone: Path, *words: str) -> str:
    named = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = (
        "-c",
        "user.name=Ada",
        "-c",
        "user.email=ada@example.com",
        "-c",
        "init.defaultBranch=main",
    )
    command = ["git", "-C", str(clone), *who, *words]
    return output_of(command, {**os.environ, **named})


def commit(clone: Path) -> str:
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "a change", "--allow-empty")
    return git(clone, "rev-parse", "HEAD")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with a channel of two records at `main`, and one more in the working tree."""
    clone = tmp_path / "clone"
    clone.mkdir()
    git(clone, "init", "-q")
    for record in RECORDS[:2]:
        append(clone / "deploy/channels/staging.toml", record)
    commit(clone)
    append(clone / "deploy/channels/staging.toml", RECORDS[2])
    return clone


@pytest.fixture
def own(settings: Settings, clone: Path) -> Settings:
    return msgspec.structs.replace(settings, root=clone, channels=clone / "deploy/channels")


def test_by_default_it_is_what_was_committed(own: Settings, clone: Path) -> None:
    found = earlier(own)

    assert found.channels == {"staging": RECORDS[:2]}
    assert git(clone, "rev-parse", "HEAD").startswith(found.called)


def test_in_a_clone_it_is_where_the_branch_left_origin(
    own: Settings, clone: Path, tmp_path: Path
) -> None:
    git(clone, "checkout", "-q", "--", ".")
    git(tmp_path, "clone", "-q", str(clone), "second")
    second = tmp_path / "second"
    append(second / "deploy/channels/staging.toml", RECORDS[2])
    commit(second)
    append(clone / "deploy/channels/production.toml", RECORDS[0])
    commit(clone)
    git(second, "fetch", "-q")
    there = msgspec.structs.replace(own, channels=second / "deploy/channels")

    assert earlier(there).channels == {"staging": RECORDS[:2]}
    assert set(earlier(there, "origin/main").channels) == {"staging", "production"}
    assert earlier(there, "HEAD").channels == {"staging": RECORDS}


def test_a_file_that_is_gone_now_is_known(own: Settings, clone: Path) -> None:
    (clone / "deploy/channels/staging.toml").unlink()
    (clone / "deploy/channels").rmdir()

    assert earlier(own).channels == {"staging": RECORDS[:2]}


def test_before_the_first_record_there_was_none(own: Settings, clone: Path) -> None:
    git(clone, "rm", "-q", "-r", "-f", "deploy")
    (clone / "deploy/channels").mkdir(parents=True)
    (clone / "deploy/channels/README.md").write_text("")
    (clone / "deploy/channels/no channel.toml").write_text("x")
    commit(clone)

    assert earlier(own).channels == {}


@pytest.mark.parametrize("base", ["no-such-branch", "--help", "-n", "HEAD:deploy"])
def test_a_commit_that_is_none_is_named(own: Settings, base: str) -> None:
    with pytest.raises(UserError, match=f"git knows no commit '{base}'") as caught:
        earlier(own, base)
    assert "fetch-depth: 0" in str(caught.value)


@pytest.mark.parametrize("content", [b"[[record]]\nbundle = 1\n", b"\xff\xfe\n", b"["])
def test_a_channel_that_git_has_broken_is_named(own: Settings, clone: Path, content: bytes) -> None:
    (clone / "deploy/channels/staging.toml").write_bytes(content)
    commit(clone)

    with pytest.raises(UserError, match=r"channels/staging.toml at HEAD|is no text"):
        earlier(own, "HEAD")


def test_outside_of_git_nothing_tells(settings: Settings, tmp_path: Path) -> None:
    outside = msgspec.structs.replace(settings, channels=tmp_path / "channels")

    with pytest.raises(UserError, match="is in no clone of git"):
        earlier(outside)
