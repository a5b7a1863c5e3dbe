"""`invoke promote` with the gates as they are, on whole releases and on known-bad ones."""

from collections.abc import Callable
from pathlib import Path

import pytest
from bad_bundles import BAD
from in_process import Commands, Said
from proven_releases import TARGETS, ProvenRun, copy_of, proven_run
from small_releases import ORIN

from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.promotion.channel_file import read_channel
from mmdet_jetson.promotion.gates import GATES
from mmdet_jetson.promotion.keeping import read_verdict, verdicts_in

POLICY = f"""
[production]
targets = ["{ORIN}"]
image_tests = true
accuracy = {{ ratio = 0.99 }}
figures = {{ AP = 0.5 }}
conditions = {{ seconds = 600 }}
latency = {{ {ORIN} = {{ p99 = 20 }} }}
size_mb = {{ {ORIN} = 1 }}
memory_mb = {{ {ORIN} = 2000 }}
"""
Promote = Callable[..., Said]


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> ProvenRun:
    return proven_run(tmp_path_factory.mktemp("proven") / "home")


@pytest.fixture
def run(proven: ProvenRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProvenRun:
    """A copy of a release, in the store that the commands use, with a policy and a who."""
    run = copy_of(proven, tmp_path)
    configs = tmp_path / "configs"
    configs.mkdir()
    for name in ("targets.toml", "sources.toml", "demo.toml"):
        (configs / name).write_bytes((ROOT / "configs" / name).read_bytes())
    (configs / "promotion.toml").write_text(POLICY)
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(run.store.root))
    monkeypatch.setenv("MMDET_JETSON_CHANNELS", str(tmp_path / "channels"))
    for variable in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(variable, raising=False)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.com")
    return run


@pytest.fixture
def promote(run: ProvenRun, tmp_path: Path, invoke: Commands) -> Promote:
    config = str(tmp_path / "configs/demo.toml")
    return lambda *words: invoke(
        "promote", "candidate", "--to", "production", "--config", config, *words
    )


def test_a_release_that_shows_all_of_it_goes_in(
    run: ProvenRun, promote: Promote, tmp_path: Path
) -> None:
    run.bundle()

    code, said = promote("--reason", "the first")

    assert code == 0, said
    (record,) = read_channel(tmp_path / "channels/production.toml")
    assert (record.judged, record.overrides) == (1, ())
    verdict = read_verdict(run.store, record.verdict)
    assert verdict
    assert verdict.outcome == "pass"
    assert {each.gate for each in verdict.gates} <= set(GATES)
    assert {each.subject for each in verdict.gates if each.gate == "parts"} == {
        "checkpoint",
        *TARGETS,
    }


REJECTED = {
    "stale-engine": 3,
    "evidence-about-another-engine": 3,
    "truncated-evaluation": 3,
    "no-metrics": 3,
    "calibrated-with-validation-pictures": 3,
    "detects-something-else": 3,
    "emulated-profile": 3,
    "loses-a-fifth": 3,
    "throttled": 4,
    "unlocked": 4,
    "too-few-samples": 4,
    "no-memory": 4,
}


@pytest.mark.parametrize("name", REJECTED)
def test_a_bad_one_stays_out_and_its_verdict_is_kept(
    run: ProvenRun, promote: Promote, tmp_path: Path, name: str
) -> None:
    BAD[name].bundle(run)

    code, said = promote()

    assert code == REJECTED[name], said
    assert BAD[name].says in " ".join(said.split())
    assert "Traceback" not in said
    assert not (tmp_path / "channels/production.toml").exists()
    assert "channel-production" not in run.store.tags()
    (kept,) = verdicts_in(run.store)
    assert kept.provenance.metrics["outcome"] == ("fail" if REJECTED[name] == 3 else "inconclusive")


def test_a_gate_that_did_not_pass_is_overridden_for_all_to_see(
    run: ProvenRun, promote: Promote, tmp_path: Path
) -> None:
    BAD["too-large"].bundle(run)

    code, said = promote("--override", f"size:{ORIN}", "--because", "the disk is larger now")

    assert code == 0, said
    (record,) = read_channel(tmp_path / "channels/production.toml")
    (override,) = record.overrides
    assert (override.gate, override.outcome) == (f"size:{ORIN}", "fail")


def test_what_mends_it_is_told_for_the_configuration(
    run: ProvenRun, promote: Promote, tmp_path: Path
) -> None:
    BAD["no-matches"].bundle(run)

    told = f" --config {tmp_path}/configs/demo.toml --set dataset.drawn.seed=0 --target "
    for more in ((), ("--check",)):
        _, said = promote("--set", "dataset.drawn.seed=0", *more)
        assert told in said


def test_what_is_not_whole_is_never_overridden(
    run: ProvenRun, promote: Promote, tmp_path: Path
) -> None:
    BAD["truncated-evaluation"].bundle(run)

    code, said = promote("--override", "parts", "--because", "in a hurry")

    assert code != 0, said
    assert "parts" in said
    assert not (tmp_path / "channels/production.toml").exists()


def test_the_fortieth_candidate_is_told_that_it_is(run: ProvenRun, promote: Promote) -> None:
    BAD["too-large"].bundle(run)
    assert promote()[0] == 3
    run.own.clear()
    run.make_after(f"engine-{ORIN}")
    run.bundle()

    code, _ = promote()

    assert code == 0
    counted = sorted(each.provenance.metrics["judged_before"] for each in verdicts_in(run.store))  # type: ignore[type-var]
    assert counted == [0, 1]
