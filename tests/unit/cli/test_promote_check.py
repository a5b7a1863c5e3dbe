"""`invoke promote --check`: a change to a channel file, compared with git and judged anew."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from in_process import Commands
from invoke.exceptions import Exit
from judged_channels import Channel, channel_of
from registry_server import RegistryServer
from small_releases import SmallRun

from mmdet_jetson.cli.answering import answering
from mmdet_jetson.cli.promote_check import check_channels
from mmdet_jetson.cli.request import Request
from mmdet_jetson.config.settings import ROOT, read_settings
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE
from mmdet_jetson.processes import output_of
from mmdet_jetson.promotion.channel_file import append
from mmdet_jetson.promotion.records import Override
from mmdet_jetson.registry import places
from mmdet_jetson.registry.places import Options, open_place
from mmdet_jetson.registry.push import push
from mmdet_jetson.store import Store

Said = tuple[int, str]


class Clone:
    """A clone with a configuration, channel files and a store."""

    def __init__(self, folder: Path, channel: Channel) -> None:
        self.folder, self.channel = folder, channel
        shutil.copytree(ROOT / "configs", folder / "configs")
        (folder / "channels").mkdir()
        self.git("init", "-q")
        self.commit()

    @property
    def request(self) -> Request:
        return Request(config=str(self.folder / "configs/demo.toml"))

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        return output_of(["git", "-C", str(self.folder), *who, *words])

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", "a change", "--allow-empty")

    def promote(self, name: str, **changes: object) -> None:
        record = self.channel.promote(name, **changes)
        append(self.folder / f"channels/{self.channel.name}.toml", record)

    def policy(self, text: str) -> None:
        (self.folder / "configs/promotion.toml").write_text(text)


@pytest.fixture
def clone(whole_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    (tmp_path / "made-there").mkdir()
    channel = channel_of(whole_run, tmp_path / "made-there", monkeypatch)
    (tmp_path / "clone").mkdir()
    made = Clone(tmp_path / "clone", channel)
    made.policy("[staging]\n")
    monkeypatch.setenv("MMDET_JETSON_CHANNELS", str(made.folder / "channels"))
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(channel.run.store.root))
    return made


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def run_(verb: Callable[..., None], *given: object, **options: object) -> Said:
        code, error = 0, ""
        try:
            answering(verb)(*given, **options)
        except Exit as exited:
            code, error = exited.code, exited.message or ""
        said = capsys.readouterr()
        return code, said.out + said.err + error

    return run_


def test_a_good_change_passes_and_writes_its_reports(
    clone: Clone, run: Callable[..., Said], tmp_path: Path
) -> None:
    clone.promote("v1")
    before = (clone.channel.run.store.root / "index.json").read_bytes()
    files = {"junit": str(tmp_path / "j.xml"), "summary": str(tmp_path / "s.md")}

    code, said = run(check_channels, clone.request, **files)

    assert (code, "staging: 1 new record since" in said) == (0, True)
    assert Xml.parse(tmp_path / "j.xml").getroot().findall(".//testcase")
    assert "## Promotion: pass" in (tmp_path / "s.md").read_text()
    assert (clone.channel.run.store.root / "index.json").read_bytes() == before
    assert clone.git("status", "--porcelain", "channels") == "?? channels/"


def test_a_policy_that_is_changed_along_is_noted(clone: Clone, run: Callable[..., Said]) -> None:
    clone.promote("v1")

    assert "the policies were changed since" in run(check_channels, clone.request)[1]
    clone.git("add", "configs")
    clone.git("commit", "-qm", "a policy")
    assert "the policies were changed since" not in run(check_channels, clone.request)[1]


@pytest.mark.parametrize(("outcome", "expected"), [(FAIL, 3), (INCONCLUSIVE, 4)])
def test_a_gate_that_does_not_pass_blocks(
    clone: Clone, run: Callable[..., Said], tmp_path: Path, outcome: str, expected: int
) -> None:
    clone.channel.say("latency", outcome, 20.0)
    clone.promote("v1")

    code, said = run(check_channels, clone.request, summary=str(tmp_path / "s.md"))

    assert code == expected
    assert f"error: staging: {outcome}: latency: So" in said
    assert f"## Promotion: {outcome}" in (tmp_path / "s.md").read_text()


def test_a_failure_outweighs_what_is_inconclusive(clone: Clone, run: Callable[..., Said]) -> None:
    clone.channel.say("latency", INCONCLUSIVE)
    clone.channel.say("size", FAIL)
    clone.promote("v1")

    code, said = run(check_channels, clone.request)

    assert code == 3
    assert "fail: size: So" in said


def test_what_is_overridden_is_told_to_programs(clone: Clone, run: Callable[..., Said]) -> None:
    clone.channel.say("latency", FAIL)
    override = Override(gate="latency", outcome=FAIL, who="Ada", because="a customer waits")
    clone.promote("v1", overrides=(override,))

    code, said = run(check_channels, clone.request, as_json=True)

    found = json.loads(said)
    (added,) = found["channels"][0]["added"]
    assert (code, found["outcome"], added["outcome"]) == (0, "pass", "pass")
    assert (added["judged"], added["overridden"]) == ("fail", ["latency"])


def test_what_git_has_is_not_judged_again(clone: Clone, run: Callable[..., Said]) -> None:
    clone.promote("v1")
    clone.commit()
    clone.channel.say("latency", FAIL)

    assert run(check_channels, clone.request)[0] == 0
    code, said = run(check_channels, clone.request, base="HEAD~1")
    assert code == 3
    assert "1 new record since HEAD~1" in said


def test_a_record_that_is_gone_is_found(clone: Clone, run: Callable[..., Said]) -> None:
    clone.promote("v1")
    clone.commit()
    (clone.folder / "channels/staging.toml").unlink()

    code, said = run(check_channels, clone.request)

    assert code == 3
    assert "record 1 was removed: git has it" in said


def test_a_conflict_is_found(clone: Clone, run: Callable[..., Said]) -> None:
    clone.promote("v1")
    path = clone.folder / "channels/staging.toml"
    path.write_text(f"<<<<<<< HEAD\n{path.read_text()}=======\n>>>>>>> theirs\n")

    code, said = run(check_channels, clone.request)

    assert code == 3
    assert "is in conflict" in said


def test_one_channel_alone_can_be_checked(clone: Clone, run: Callable[..., Said]) -> None:
    clone.channel.say("latency", FAIL)
    clone.promote("v1")
    (clone.folder / "channels/production.toml").write_text("# empty\n")

    assert run(check_channels, clone.request, to="production")[0] == 0
    assert run(check_channels, clone.request)[0] == 3
    code, said = run(check_channels, clone.request, to="stagin")
    assert code == 1
    assert "there is no channel 'stagin'" in said
    assert "staging" in said


def test_a_channel_without_a_policy_proves_nothing(clone: Clone, run: Callable[..., Said]) -> None:
    clone.promote("v1")
    clone.policy("[production]\n")

    code, said = run(check_channels, clone.request)

    assert code == 4
    assert "It cannot be judged anew" in said
    assert "promotion.toml" in said


def test_no_channel_is_no_failure(clone: Clone, run: Callable[..., Said]) -> None:
    assert run(check_channels, clone.request) == (0, "there is no channel yet\n")


def test_programs_are_told_everything(clone: Clone, run: Callable[..., Said]) -> None:
    clone.channel.say("latency", FAIL, 20.0)
    clone.promote("v1")

    code, said = run(check_channels, clone.request, as_json=True)

    assert code == 3
    told = json.loads(said[: said.rindex("}") + 1])
    (added,) = told["channels"][0]["added"]
    assert (told["outcome"], added["outcome"], added["record"]["name"]) == (FAIL, FAIL, "v1")
    assert added["verdict"]["gates"][0]["measured"] == 20.0


def test_a_report_that_cannot_be_written_is_one_sentence(
    clone: Clone, run: Callable[..., Said], tmp_path: Path
) -> None:
    code, said = run(check_channels, clone.request, junit=str(tmp_path / "none/j.xml"))

    assert code == 1
    assert said.startswith("error: ") or "\nerror: " in said


@pytest.fixture
def fresh(
    clone: Clone, server: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Request:
    """A runner with an empty store, and a registry with ``v1``, promoted, and its evidence."""
    clone.promote("v1")
    where = places.parse(server.place("team/mugs"))
    with open_place(where, read_settings(), writing=True, options=Options()) as it:
        push(clone.channel.run.store, ["v1"], it, evidence=True)
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "fresh"))
    return Request(
        config=clone.request.config, overrides=[f"store.registry={server.place('team/mugs')}"]
    )


def test_a_fresh_runner_fetches_what_it_judges(
    clone: Clone, fresh: Request, run: Callable[..., Said], tmp_path: Path
) -> None:
    code, said = run(check_channels, fresh)

    assert code == 0, said
    assert Store(tmp_path / "fresh").bundle(clone.channel.records[0].bundle)


def test_offline_it_is_not_fetched(
    clone: Clone, fresh: Request, run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMDET_JETSON_OFFLINE", "1")

    code, said = run(check_channels, fresh)

    assert code == 4
    assert "is not in" in said


def test_what_the_registry_does_not_have_is_inconclusive(
    clone: Clone, fresh: Request, server: RegistryServer, run: Callable[..., Said]
) -> None:
    server.repositories.clear()

    code, said = run(check_channels, fresh)

    assert code == 4
    assert "warning: " in said


def test_the_commands_of_a_job_go_all_the_way(
    clone: Clone,
    fresh: Request,
    invoke: Commands,
    server: RegistryServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in `examples/ci`: each job has a clone and an empty store, and the registry has the rest."""
    there = clone.folder.parent
    asked = ("--config", fresh.config, "--set", *fresh.overrides)
    files = ("--summary", str(there / "promotion.md"), "--junit", str(there / "j.xml"))

    code, said = invoke("promote", "--check", "--base", "HEAD", *files, *asked)
    assert (code, "1 new record since HEAD: pass" in said) == (0, True), said
    assert (there / "promotion.md").exists()
    assert (there / "j.xml").exists()
    assert invoke("push", "channel-staging", *asked)[0] == 0

    clone.commit()
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(there / "next"))
    code, said = invoke("promote", "--check", "--base", "HEAD", *asked)
    assert (code, "nothing new" in said) == (0, True), said
    code, said = invoke("push", "channel-staging", *asked)
    assert (code, "no new record" in said) == (0, True), said
    assert not (there / "next").exists()
    tags = server.repositories["team/mugs"].tags
    assert tags["channel-staging"] == tags["channel-staging-1"]
    assert invoke("pull", "channel-staging", *asked)[0] == 0


def test_a_bundle_is_judged_by_the_same_words(clone: Clone, invoke: Commands) -> None:
    words = ("--to", "staging", "--check", "--config", clone.request.config)
    assert invoke("promote", "v1", *words)[0] == 0

    clone.channel.say("latency", FAIL, 20.0)
    code, said = invoke("promote", "v1", *words)

    assert code == 3
    assert "fail          latency" in said
    assert list((clone.folder / "channels").iterdir()) == []
