"""`invoke promote` and `invoke rollback`, as they are typed, with gates that say what a test wants."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from in_process import Commands
from small_channels import CHANNEL, PICTURES, Clone, judged

from mmdet_jetson.cli import promote as promoting
from mmdet_jetson.cli import promote_check, wrapping
from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS
from mmdet_jetson.promotion import judging
from mmdet_jetson.promotion.channel_file import chain_flaws
from mmdet_jetson.promotion.evidence import Case
from mmdet_jetson.promotion.identity import identity
from mmdet_jetson.promotion.verdicts import Judged

POLICY = """
[staging]
fixed = ["accuracy"]
[production]
"""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """A clone with two bundles, v1 and v2, where the commands work; and git knows who types."""
    clone = Clone(tmp_path)
    configs = tmp_path / "configs"
    configs.mkdir()
    for name in ("targets.toml", "sources.toml"):
        (configs / name).write_bytes((ROOT / "configs" / name).read_bytes())
    (configs / "pipeline.toml").write_bytes((ROOT / "configs/demo.toml").read_bytes())
    (configs / "promotion.toml").write_text(POLICY)
    for name in ("v1", "v2", "v3"):
        clone.bundle(name)
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(clone.store.root))
    monkeypatch.setenv("MMDET_JETSON_CHANNELS", str(clone.path.parent))
    for variable in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(variable, raising=False)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.com")
    return clone


Outcomes = dict[str, str]


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> Outcomes:
    """What the gates say, by gate: a test changes it."""
    found = {"size": PASS, "latency": PASS}

    def gate(name: str, case: Case) -> Iterator[Judged]:
        yield judged(name, found[name], "pc" if name == "latency" else "")

    gates = {name: lambda case, name=name: gate(name, case) for name in found}
    monkeypatch.setattr(judging, "GATES", gates)
    monkeypatch.setattr(judging, "_validation", lambda _: PICTURES)
    return found


@pytest.fixture
def run(clone: Clone, outcomes: Outcomes, invoke: Commands) -> Commands:
    """A command with the configuration of the clone."""
    config = str(clone.folder / "configs/pipeline.toml")

    def run(*words: str) -> tuple[int, str]:
        with_config = words if words[0] != "promote" else (*words, "--config", config)
        return invoke(*with_config)

    return run


def test_a_terminal_gets_lines_that_fit(run: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrapping, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    code, said = run("promote", "v1", "--to", "staging", "--reason", "finds small mugs " * 9)
    assert code == 0
    told, _, commands = said.partition("next: ")
    assert max(map(len, told.splitlines())) <= 60
    assert max(map(len, commands.splitlines())) > 60, "what is to be copied stays in one line"


def test_a_long_reason_is_repeated_in_short(run: Commands) -> None:
    run("promote", "v1", "--to", "staging")
    run("promote", "v2", "--to", "staging")
    run("rollback", "staging", "--reason", "it broke " * 50)
    code, said = run("promote", "v3", "--to", "staging")
    assert code == 1
    assert said.count("it broke") == 6
    assert " it ...\n" in said


def test_a_bundle_goes_into_a_channel(run: Commands, clone: Clone) -> None:
    code, said = run("promote", "v1", "--to", CHANNEL, "--reason", "the first")

    assert code == 0, said
    (record,) = clone.records
    assert (record.who, record.reason, record.name) == ("Ada <ada@example.com>", "the first", "v1")
    assert "pass          size: It says pass." in said
    assert "staging is v1 now: record 1 (promote of v1 by Ada <ada@example.com>, " in said
    git = f"git -C {clone.path.parent}"
    assert f"next: {git} add staging.toml && {git} commit -m 'Promote v1 to staging' && " in said
    assert "      invoke push channel-staging --to PLACE\n" in said


def test_what_comes_next_is_told_for_the_registry_that_is_configured(
    run: Commands, clone: Clone, invoke: Commands
) -> None:
    config = clone.folder / "configs/pipeline.toml"
    registry = "store.registry=docker://registry.example.com/mugs"

    code, said = run("promote", "v1", "--to", CHANNEL, "--set", registry)

    assert code == 0
    assert f"      invoke push channel-staging --config {config} --set {registry}\n" in said
    run("promote", "v2", "--to", CHANNEL)
    code, said = run("rollback", CHANNEL)
    assert code == 0
    assert "      invoke push channel-staging --to PLACE\n" in said


def test_what_is_there_has_the_outcome_that_let_it_in(
    run: Commands, clone: Clone, outcomes: Outcomes
) -> None:
    told = [json.loads(run("promote", "v1", "--to", CHANNEL, "--json")[1]) for _ in range(2)]

    assert [each["promoted"] for each in told] == [True, False]
    assert [each["outcome"] for each in told] == ["pass", "pass"]
    assert told[0].keys() == told[1].keys()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--junit", "a.xml"], "--junit is for --check"),
        (["--base", "main", "--summary", "a.md"], "--base and --summary are for --check"),
    ],
)
def test_options_of_a_check_are_refused_without_one(
    run: Commands, clone: Clone, words: list[str], sentence: str
) -> None:
    code, said = run("promote", "v1", "--to", CHANNEL, *words)

    assert (code, sentence in said) == (2, True), said
    assert clone.records == ()


def test_a_check_of_what_is_there_says_so(run: Commands, clone: Clone, outcomes: Outcomes) -> None:
    run("promote", "v1", "--to", CHANNEL)

    code, said = run("promote", "v1", "--to", CHANNEL, "--check")

    assert code == 0
    assert "v1 is in staging already: record 1 (promote of v1 by Ada" in said
    assert "promoting it changes nothing" in said
    code, said = run("promote", "v2", "--to", CHANNEL, "--check")
    assert "already" not in said
    run("promote", "v2", "--to", CHANNEL)
    run("rollback", CHANNEL)
    code, said = run("promote", "v1", "--to", CHANNEL, "--check")
    assert (code, "v1 is in staging already" in said) == (0, True), "as promote, held or not"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("latensy", "did you mean 'latency'?"),
        ("latency:pv", "did you mean 'latency:pc'?"),
        ("zzz", "one of: latency:pc"),
    ],
)
def test_an_override_that_is_misspelt_is_answered(
    run: Commands, outcomes: Outcomes, name: str, hint: str
) -> None:
    outcomes["latency"] = FAIL
    code, said = run("promote", "v1", "--to", CHANNEL, "--override", name, "--because", "x")
    assert code == 2
    assert f"--override {name}: no gate judged that\n  try: {hint}" in said
    outcomes["latency"] = PASS
    code, said = run("promote", "v1", "--to", CHANNEL, "--override", name, "--because", "x")
    assert (code, "leave it out: every gate passed" in said) == (2, True)


def test_a_reason_is_asked_for_before_anything_is_judged(
    run: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promoting, "judge", None)
    for more in ((), ("--check",)):
        code, said = run("promote", "v1", "--to", CHANNEL, "--override", "size", *more)
        assert (code, "nobody says why" in said) == (2, True)


def test_a_channel_that_is_none_is_named_without_a_store(
    run: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "nowhere"))
    code, said = run("rollback", "nosuch")
    assert code == 1
    assert "there is no channel 'nosuch'" in said


def test_what_is_there_already_is_said(run: Commands, clone: Clone) -> None:
    run("promote", "v1", "--to", CHANNEL)
    was = clone.path.read_bytes()

    code, said = run("promote", "v1", "--to", CHANNEL)

    assert code == 0
    assert "v1 is in staging already: record 1 (promote of v1 by " in said
    assert "nothing was changed" in said
    assert clone.path.read_bytes() == was
    code, said = run("promote", "v1", "--to", CHANNEL, "--json")
    assert json.loads(said)["promoted"] is False


@pytest.mark.parametrize(("outcome", "code"), [(FAIL, 3), (INCONCLUSIVE, 4)])
def test_what_does_not_pass_stays_out(
    run: Commands, clone: Clone, outcomes: Outcomes, outcome: str, code: int
) -> None:
    outcomes["latency"] = outcome

    ended, said = run("promote", "v1", "--to", CHANNEL)

    assert ended == code
    assert f"{outcome:<13} latency:pc: It says {outcome}." in said
    assert f"error: not promoted to staging: latency:pc is {outcome}: It says {outcome}\n" in said
    assert not clone.path.exists()
    ended, said = run("promote", "v1", "--to", CHANNEL, "--json")
    found = json.loads(said[: said.index("error: ")])
    assert (ended, found["promoted"], found["outcome"], found["record"]) == (
        code,
        False,
        outcome,
        None,
    )


def test_the_refused_count(run: Commands, clone: Clone, outcomes: Outcomes) -> None:
    outcomes["latency"] = FAIL
    run("promote", "v1", "--to", CHANNEL)
    outcomes["latency"] = PASS

    run("promote", "v2", "--to", CHANNEL)

    assert clone.records[0].judged == 2


def test_an_override_is_shown_by_name(run: Commands, clone: Clone, outcomes: Outcomes) -> None:
    outcomes["latency"] = FAIL

    code, said = run(
        "promote", "v1", "--to", CHANNEL, "--override", "latency", "--because", "a demo only"
    )

    assert code == 0, said
    assert "): fail, 1 gate was overridden\n" in said
    assert "overridden    latency:pc: It says fail." in said
    assert "latency:pc (fail) overridden by Ada <ada@example.com>: a demo only" in said
    assert clone.records[0].overrides[0].because == "a demo only"


def test_a_rollback_holds_until_it_is_released(run: Commands, clone: Clone) -> None:
    run("promote", "v1", "--to", CHANNEL)
    run("promote", "v2", "--to", CHANNEL)

    code, said = run("rollback", CHANNEL, "--reason", "it sees ghosts")

    assert code == 0, said
    assert "staging is v1 now: record 3 (rollback of v1 by Ada" in said
    assert "as record 1 had it; taken back: 2" in said
    assert "invoke rollback staging --release" in said
    code, said = run("promote", "v3", "--to", CHANNEL)
    assert code == 1
    assert "staging is held by record 3 (rollback of v1 by Ada <ada@example.com>, " in said
    assert "): it sees ghosts" in said
    code, said = run("promote", "v3", "--to", CHANNEL, "--check")
    assert code == 1, "a check says what a promotion would"
    code, said = run("rollback", CHANNEL, "--release", "--reason", "mended", "--json")
    assert code == 0
    assert json.loads(said)["record"]["action"] == "release"
    code, said = run("promote", "v3", "--to", CHANNEL)
    assert code == 0
    code, said = run("rollback", CHANNEL, "--to", "2")
    assert code == 0
    assert "as record 2 had it; taken back: 3 to 5" in said
    code, said = run("promote", "v2", "--to", CHANNEL, "--release")
    assert code == 0
    assert "v2 is in staging already" in said
    assert "it is held until: invoke rollback staging --release" in said
    code, said = run("promote", "v3", "--to", CHANNEL, "--release", "--reason", "it is fine")
    assert code == 0
    assert [each.action for each in clone.records] == [
        "promote", "promote", "rollback", "release", "promote", "rollback", "promote",
    ]  # fmt: skip
    assert chain_flaws(clone.records) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["promote", "v9", "--to", CHANNEL], 1, "no run, bundle or artifact 'v9'"),
        (["promote", "v1"], 2, "--to: which channel?\n  try: one of: staging, production"),
        (["promote", "v1", "--to", "nowhere"], 2, "there is no table [nowhere]"),
        (["promote", "v1", "--to", "../x"], 1, "'../x' is no name for a channel"),
        (["promote", "v1", "--to", "a-1"], 1, "'a-1' is no name for a channel"),
        (["promote", "v1", "--to", ""], 1, "--to is empty"),
        (["promote", "v1", "--to", CHANNEL, "--because", "x"], 2, "nothing is overridden"),
        (["promote", "v1", "--to", CHANNEL, "--override", "size"], 2, "nobody says why"),
        (["promote", "-", "--to", CHANNEL], 1, "no run, bundle or artifact '-'"),
        (["rollback", CHANNEL], 1, "there is no channel 'staging'\n  try: invoke promote BUNDLE"),
        (["rollback", CHANNEL, "--to", "x"], 2, "--to x: not the number of a record"),
        (["rollback", CHANNEL, "--to", "²"], 2, "not the number of a record"),
        (["rollback", CHANNEL, "--to", "1", "--release"], 2, "leave one out"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_in_a_sentence(
    run: Commands, words: list[str], code: int, said: str
) -> None:
    ended, told = run(*words)
    assert (ended, said in told) == (code, True), told


def test_a_run_is_no_bundle(run: Commands, clone: Clone) -> None:
    artifact = clone.store.artifacts()[0]
    clone.store.tag(artifact, "some.train")
    code, said = run("promote", "some.train", "--to", CHANNEL)
    assert code == 1
    assert "some.train is no bundle, and only bundles are promoted" in said


def test_a_check_changes_nothing(run: Commands, clone: Clone, outcomes: Outcomes) -> None:
    before = sorted(clone.folder.rglob("*"))

    code, said = run("promote", "v1", "--to", CHANNEL, "--check")
    assert code == 0, said
    assert "pass          latency:pc" in said
    outcomes["latency"] = FAIL
    assert run("promote", "v1", "--to", CHANNEL, "--check")[0] == 3
    covered = ("--override", "latency", "--because", "x")
    assert run("promote", "v1", "--to", CHANNEL, "--check", *covered)[0] == 0
    outcomes["latency"] = INCONCLUSIVE
    assert run("promote", "v1", "--to", CHANNEL, "--check")[0] == 4

    assert sorted(clone.folder.rglob("*")) == before


def test_a_check_of_all_needs_no_name(
    run: Commands, clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[object]()
    monkeypatch.setattr(
        promote_check, "check_channels", lambda *_, **options: asked.append(options)
    )

    code, said = run("promote", "--check")

    assert code == 0, said
    assert asked == [{"base": "", "to": "", "junit": "", "summary": "", "as_json": False}]
    run(
        "promote",
        "--check",
        "--base",
        "main",
        "--to",
        CHANNEL,
        "--junit",
        "a",
        "--summary",
        "b",
        "--json",
    )
    assert asked[1] == {
        "base": "main",
        "to": CHANNEL,
        "junit": "a",
        "summary": "b",
        "as_json": True,
    }
    code, said = run("promote", "--to", CHANNEL)
    assert code == 1
    assert "did not receive required positional arguments: 'bundle'" in said


def test_nobody_is_no_name(
    run: Commands, clone: Clone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{role}_NAME")
        monkeypatch.delenv(f"GIT_{role}_EMAIL")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.setattr(promoting, "identity", lambda environ, _: identity(environ, tmp_path))

    code, said = run("promote", "v1", "--to", CHANNEL)

    assert code == 1
    assert "git does not know you" in said
    assert "git config --global user.name" in said
    assert not clone.path.exists()


def test_in_ci_it_is_who_started_the_run(
    run: Commands, clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    github = {
        "GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "bob", "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "team/mugs", "GITHUB_RUN_ID": "77",
    }  # fmt: skip
    for name, value in github.items():
        monkeypatch.setenv(name, value)
    run("promote", "v1", "--to", CHANNEL)
    monkeypatch.delenv("GITHUB_ACTIONS")
    for name, value in {
        "GITLAB_CI": "true",
        "GITLAB_USER_LOGIN": "eve",
        "CI_JOB_URL": "https://gitlab/1",
    }.items():
        monkeypatch.setenv(name, value)
    run("promote", "v2", "--to", CHANNEL)

    assert [(each.who, each.run) for each in clone.records] == [
        ("bob", "https://github.com/team/mugs/actions/runs/77"),
        ("eve", "https://gitlab/1"),
    ]


def test_gc_keeps_what_a_file_names(run: Commands, clone: Clone, invoke: Commands) -> None:
    """In a clone that was pulled into by digest, no tag of a channel keeps a bundle."""
    run("promote", "v1", "--to", CHANNEL)
    run("promote", "v2", "--to", CHANNEL)
    for bundle in clone.store.bundles():
        clone.store.untag(*clone.store.tags())
        clone.store.put_bundle(bundle.parts, bundle.annotations)
    assert clone.store.tags() == {}

    code, said = invoke("gc", "--days", "0")

    assert code == 0, said
    assert clone.store.bundle(clone.records[0].bundle)
    assert clone.store.bundle("v3") is None
    assert sorted(clone.store.tags()) == ["channel-staging-1", "channel-staging-2"]
    assert all(clone.store.find(each.verdict) for each in clone.records)


def test_gc_stops_where_a_channel_cannot_be_read(
    run: Commands, clone: Clone, invoke: Commands
) -> None:
    run("promote", "v1", "--to", CHANNEL)
    clone.path.write_text("<<<<<<< HEAD\n=======\n>>>>>>> x\n")
    code, said = invoke("gc", "--days", "0")
    assert code == 1
    assert "is in conflict: nothing here, nothing there" in said


def test_the_shipped_file_of_git_ignores_what_a_kill_leaves() -> None:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "check-ignore", "channels/.staging.toml.12.new"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
