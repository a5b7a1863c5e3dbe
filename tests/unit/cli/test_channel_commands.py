"""`invoke push channel-NAME` and `invoke verify` about channels, as they are typed."""

import subprocess
from pathlib import Path

import pytest
from in_process import Commands
from registry_server import RegistryServer
from small_mirrored import SmallChannel, small_channel
from small_releases import PC

from mmdet_jetson.promotion.records import Override
from mmdet_jetson.promotion.verdicts import Judged

pytestmark = pytest.mark.usefixtures("own_home")
DEMO = ("--config", "configs/demo.toml")
FAILED = (Judged(gate="latency", subject=PC, outcome="fail", sentence="It is slow."),)
DID = Override(
    gate=f"latency:{PC}", outcome="fail", who="Ada <ada@example.com>", because="a\x1b[31m demo"
)


@pytest.fixture
def channel(tmp_path: Path) -> SmallChannel:
    return small_channel(tmp_path, "v1", "v2", "v3")


def test_a_channel_goes_to_a_registry_and_is_verified_there(
    channel: SmallChannel, server: RegistryServer, invoke: Commands
) -> None:
    place = server.place("team/mugs")
    code, said = invoke("push", "channel-staging", "--to", place)
    assert code == 0, said
    assert f"channel-staging: v3 ({channel.records[2].bundle[7:19]}), record 3 of 3\n" in said
    assert "pushed channel staging: records 1 to 3 new, 0.0 MB of 0.0 MB sent to docker://" in said
    assert (
        "pushed channel staging: no new record"
        in invoke("push", "channel-staging", "--to", place)[1]
    )
    code, said = invoke("verify", "--mirror", place)
    assert (code, said.splitlines()[-1].startswith("clean: ")) == (0, True), said
    assert said.endswith(", 1 channel\n")
    channel.promote("v4")
    code, said = invoke("verify", "--mirror", place)
    assert code == 0
    assert f"note: channel staging: {place} is behind, it lacks record 4\n" in said
    assert f"  try: invoke push channel-staging --to {place}\n" in said


def test_the_registry_of_the_configuration(
    channel: SmallChannel, server: RegistryServer, invoke: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = [*DEMO, "--set", f"store.registry={server.place('team/mugs')}"]
    assert invoke("push", "channel-staging", *configured)[0] == 0
    assert invoke("verify", "--mirror", *configured)[0] == 0
    monkeypatch.setenv("MMDET_JETSON_OFFLINE", "1")
    count = len(server.asked)
    assert invoke("verify", *configured)[0] == 0
    code, said = invoke("verify", "--mirror", *configured)
    assert (code, "is not reached: MMDET_JETSON_OFFLINE is 1" in said) == (1, True)
    assert len(server.asked) == count


def test_a_fork_is_refused_found_and_mended(
    channel: SmallChannel, server: RegistryServer, invoke: Commands, tmp_path: Path
) -> None:
    place = server.place("team/mugs")
    other = small_channel(tmp_path / "other", "v1", "v2", "v9")
    channels, artifacts = str(other.path.parent), str(other.store.root)
    with pytest.MonkeyPatch.context() as there:
        there.setenv("MMDET_JETSON_CHANNELS", channels)
        there.setenv("MMDET_JETSON_ARTIFACTS", artifacts)
        assert invoke("push", "channel-staging", "--to", place)[0] == 0
    code, said = invoke("push", "channel-staging", "--to", place)
    assert code == 1
    assert "error: channel staging has forked in docker://" in said
    code, verified = invoke("verify", "--mirror", place)
    said = verified
    assert code == 1
    assert f"channel staging: {place} has forked: channel-staging-3 is bundle" in said
    assert "error: 1 problem in " in said
    # As the hint says: git decides, and here it is ours that was merged.
    wanted = channel.records[2].bundle
    code, said = invoke("push", "v2", "--to", f"{place}:channel-staging-3")
    assert code == 1
    assert "error: channel-staging-3 is not what v2 is: by " in said
    assert f"invoke push {wanted} --to {place}:channel-staging-3` mends it" in verified
    assert invoke("push", wanted, "--to", f"{place}:channel-staging-3")[0] == 0
    code, said = invoke("push", "channel-staging", "--to", place)
    assert (code, f"invoke push {wanted} --to {place}:channel-staging` mends it" in said) == (
        1,
        True,
    )
    assert invoke("push", wanted, "--to", f"{place}:channel-staging")[0] == 0
    code, said = invoke("push", "channel-staging", "--to", place)
    assert code == 0, said
    assert invoke("verify", "--mirror", place)[0] == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("push channel-staging --to oci:NEW:v1", "channel-staging goes by its own tags, and not by 'v1'"),
        ("push channel-staging --to oci:NEW --no-evidence", "channel-staging without evidence would prove nothing"),
        ("push channel-stging --to oci:NEW", "channel-stging stands for a channel, and there is no"),
        ("push channel-stging --to oci:NEW", "did you mean 'channel-staging'?"),
        ("push channel-staging-9 --to oci:NEW", "nothing in the store is called 'channel-staging-9'"),
        ("push v1 --to oci:NEW:channel-staging", "channel-staging is not what v1 is: by"),
        ("push v1 --to oci:NEW:channel-staging-7", "no bundle, for there is no such record"),
        ("push v1 --to oci:NEW:channel-other", "channel other has no records in"),
        ("bundle --config configs/demo.toml --name channel-x", "it could be taken for a digest, or for a tag"),
        ("verify --mirror oci:NEW:v1", "names one thing in it"),
        ("channels --mirror oci:NEW:v1", "names one thing in it"),
        ("channels --check --mirror oci:NEW:v1", "names one thing in it"),
        ("verify --mirror oci:NEW", "there is no OCI layout at"),
        ("verify --mirror what", "'what' is not the name of a place"),
    ],
)  # fmt: skip
def test_what_is_refused(
    channel: SmallChannel, invoke: Commands, tmp_path: Path, words: str, sentence: str
) -> None:
    code, said = invoke(*words.replace("NEW", str(tmp_path / "new")).split(" "))
    assert code
    assert sentence in said
    assert not (tmp_path / "new").exists()


def test_what_a_record_says_may_go_by_its_own_tag(
    channel: SmallChannel, invoke: Commands, tmp_path: Path
) -> None:
    place = f"oci:{tmp_path}/new"
    assert invoke("push", "channel-staging-2", "--to", place)[0] == 0
    channel.store.tag(channel.bundle("v1"), "channel-staging-3")
    code, said = invoke("push", "channel-staging-3", "--to", place)
    assert code == 1
    assert "record 3 was replaced: its tag names bundle" in said


def test_a_broken_chain_is_neither_pushed_nor_verified(
    channel: SmallChannel, invoke: Commands, tmp_path: Path
) -> None:
    text = channel.path.read_text()
    channel.path.write_text(
        text.replace("v2 is better", "v2 is \x1b better".replace("\x1b", "much"))
    )
    code, said = invoke("push", "channel-staging", "--to", f"oci:{tmp_path}/new")
    assert code == 1
    assert "record 2 was changed: its digest is of something else" in said
    assert not (tmp_path / "new").exists()
    code, said = invoke("verify")
    assert code == 1
    assert "channel staging: record 2 was changed" in said
    code, said = invoke("channels")
    assert code == 1
    assert "staging: record 2 was changed" in said
    channel.path.write_text("what\x1b[31m?")
    for words in (["verify"], ["channels"], ["push", "channel-staging", "--to", "oci:new"]):
        code, said = invoke(*words)
        assert code == 1
        assert "is no channel file" in said
        assert "\x1b[31m" not in said


def test_verify_mends_tags(channel: SmallChannel, invoke: Commands) -> None:
    channel.store.tag(channel.bundle("v4"), "channel-staging-4")
    channel.store.tag(channel.bundle("stranger"), "channel-staging")
    code, said = invoke("verify")
    assert code == 1
    assert "was begun and not written; its tag is left" in said
    assert "which no record of the channel has" in said
    code, said = invoke("verify", "--mend")
    assert (code, "channel staging: the store's tags name what its records do" in said) == (0, True)
    code, said = invoke("verify")
    assert (code, said.startswith("clean: ")) == (0, True), said


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a", "-c", "commit.gpgsign=0")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def test_tags_of_a_channel_that_git_has_no_file_of_are_a_note(
    channel: SmallChannel, invoke: Commands, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "begin")
    channel.store.untag("v3")
    channel.path.unlink()
    code, said = invoke("verify")
    assert code == 0, said
    assert f"note: channel staging: there is no {channel.path}, and this store has tag " in said
    code, said = invoke("channels")
    assert (code, "and this store has tag channel-staging and 3 more" in said) == (0, True), said
    code, said = invoke("verify", "--mend")
    assert (code, "and its tags are gone" in said) == (0, True), said
    tags = channel.store.tags()
    assert not [each for each in tags if each.startswith("channel-")]
    assert tags[f"digest.{channel.records[2].bundle[7:]}"].digest == channel.records[2].bundle
    assert "note" not in invoke("verify")[1]


def test_a_file_that_git_has_keeps_its_tags(
    channel: SmallChannel, invoke: Commands, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "channels")
    git(tmp_path, "commit", "-q", "-m", "begin")
    channel.path.unlink()
    before = channel.store.tags()
    for words in (["verify"], ["verify", "--mend"], ["channels"], ["history", "staging"]):
        code, said = invoke(*words)
        assert (code, "record 1 was removed: git has it" in said) == (1, True), said
        assert f"git log -p -- {channel.path}" in said
    assert channel.store.tags() == before


def test_without_git_a_file_that_is_gone_is_told_of_and_can_be_given_up(
    channel: SmallChannel, invoke: Commands
) -> None:
    channel.path.unlink()
    for words in (["verify"], ["channels"], ["history", "staging"]):
        code, said = invoke(*words)
        assert (code, "record 1 was removed" in said) == (1, True), said
        assert "put it back from a copy; where it is not to come back: invoke verify --mend" in said
        assert "nothing has been promoted yet" not in said.partition("production")[0]
    code, said = invoke("verify", "--mend")
    assert (code, "and its tags are gone" in said) == (0, True), said
    assert "staging: nothing has been promoted yet" in invoke("channels")[1]


def test_a_reason_survives_a_long_name(channel: SmallChannel, invoke: Commands) -> None:
    channel.promote("v4", who=f"{'Long ' * 30}<ada@example.com>", reason="finds small mugs")
    assert "\n  why: finds small mugs\n" in invoke("channels")[1]


def test_a_fresh_clone_is_clean_and_says_what_to_pull(
    channel: SmallChannel, invoke: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"oci:{tmp_path}/mirror"
    invoke("push", "channel-staging", "--to", place)
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "fresh"))
    code, said = invoke("verify")
    assert code == 0
    assert "note: channel staging: the bundles of records 1 to 3 are not here\n" in said
    assert "  try: invoke pull channel-staging\n" in said
    assert "clean: no store at" in said
    code, said = invoke("channels")
    assert code == 0
    assert "  its bundle is not here: invoke pull channel-staging\n" in said
    assert invoke("pull", "channel-staging", "--from", place)[0] == 0
    code, said = invoke("verify")
    assert code == 0, said
    assert "records 1 to 2 are not here" in said
    assert "its bundle is not here" not in invoke("channels")[1]
    # Its tag follows what comes later.
    channel.promote("v4")
    with pytest.MonkeyPatch.context() as there:
        there.setenv("MMDET_JETSON_ARTIFACTS", str(channel.store.root))
        assert invoke("push", "channel-staging", "--to", place)[0] == 0
    code, said = invoke("pull", "channel-staging", "--from", place)
    assert (code, "channel-staging named" in said) == (0, True), said
    assert invoke("verify")[0] == 0
