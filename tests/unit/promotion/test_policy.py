"""`configs/promotion.toml`: what is read, and how each mistake is answered."""

from pathlib import Path

import pytest

from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.errors import ConfigError
from mmdet_jetson.promotion.gates import GATES
from mmdet_jetson.promotion.policy import (
    GATE_NAMES,
    NEVER_OVERRIDDEN,
    POLICY_FILE,
    channels_in,
    load_policy,
)

SHIPPED = ROOT / "configs" / POLICY_FILE
DEFAULTS = """
[a]
evidence = "measured"
image_tests = false
[a.conditions]
seconds = 0
trip_margin = 5
drift = 0.1
others = 0.1
locked_clocks = true
"""


def written(folder: Path, text: str) -> Path:
    path = folder / POLICY_FILE
    path.write_text(text)
    return path


def test_the_shipped_channels_are_read() -> None:
    assert channels_in(SHIPPED) == ["staging", "production"]
    staging, production = (load_policy(SHIPPED, each) for each in channels_in(SHIPPED))

    assert staging.accuracy is None
    assert production.accuracy
    assert production.accuracy.ratio == 0.99
    assert production.conditions.seconds == 600
    assert production.evidence == "measured"
    assert production.image_tests


def test_a_limit_in_days_ends_before_calendars_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="max_evidence_days"):
        load_policy(written(tmp_path, "[a]\nmax_evidence_days = 9999999"), "a")


def test_every_gate_has_a_name_that_a_policy_may_fix() -> None:
    assert set(GATES) <= set(GATE_NAMES)
    assert set(GATE_NAMES) >= NEVER_OVERRIDDEN == {"parts", "belonging"}


def test_what_is_stated_as_the_default_is_the_same_policy(tmp_path: Path) -> None:
    silent = load_policy(written(tmp_path, "[a]"), "a")

    stated = load_policy(written(tmp_path, DEFAULTS), "a")

    assert stated == silent
    assert stated.digest == silent.digest


@pytest.mark.parametrize(
    "text",
    [
        '[a]\nevidence = "proxy"',
        "[a.accuracy]\nratio = 0.98",
        "[a.latency.pc]\np99 = 10",
        '[a]\nfixed = ["age"]',
        "[a.agreement.int8]\nalone = 0.1",
    ],
)
def test_each_field_is_in_the_digest(tmp_path: Path, text: str) -> None:
    silent = load_policy(written(tmp_path, "[a]"), "a")

    assert load_policy(written(tmp_path, text), "a").digest != silent.digest


def test_the_tolerances_of_a_precision_may_be_replaced(tmp_path: Path) -> None:
    found = load_policy(written(tmp_path, "[a.agreement.int8]\nalone = 0.1"), "a")

    changed, other = found.tolerances("int8"), found.tolerances("fp32")
    assert changed
    assert other
    assert (changed.alone, changed.from_score, other.alone) == (0.1, 0.3, 0.001)
    assert found.tolerances("int4") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"there is no table \[a\], so nothing says what that channel takes"),
        ("[b]\n[c]", r"channels with one: b, c"),
        ("a = 3", "a: expected a table, got a whole number"),
        ("[[[", "not valid TOML"),
        ('[a]\nevidence = "good"', "a.evidence: 'good' is unknown"),
        ("[a.figures]\nAP = nan", "a.figures.AP: nan is no limit"),
        ("[a.latency]\npc = { p99 = inf }", "a.latency.pc.p99: inf is no limit"),
        ("[a.latency]\npc = {}", "a.latency.pc does not say what it demands"),
        ("[a.latency]\npc = { p95 = 3 }", "unknown key 'a.latency.pc.p95'"),
        ("[a.incumbent]", "a.incumbent does not say what it demands"),
        (
            "[a.incumbent]\nworse_by = 0.1\nbetter_by = 0.1",
            "a.incumbent has both worse_by and better_by, and one is to be stated",
        ),
        ("[a.figures]", "a.figures does not say what it demands"),
        ("[a.figures.at_score]\nscore = 0.3", "a.figures.at_score does not say what it demands"),
        ("[a.figures]\nap = 0.3", "unknown key 'a.figures.ap'"),
        ("[a.figures]\nAP = 1.5", "a.figures.AP: expected a number <= 1.0"),
        ("[a.agreement.int8]", "a.agreement.int8 does not say what it demands"),
        ("[a.agreement.int4]\nalone = 1", "a.agreement: 'int4' is unknown; did you mean 'int8'?"),
        ('[a]\nfixed = ["latenc"]', "a.fixed: 'latenc' is unknown; did you mean 'latency'?"),
        ("[a.accuracy]\nratio = 0", "a.accuracy.ratio: expected a number > 0"),
        ("[a]\nmax_evidence_days = 0", "a.max_evidence_days: expected a whole number >= 1"),
        ("[a.size_mb]\npc = 0", "a.size_mb.pc: expected a number > 0"),
    ],
)
def test_a_mistake_is_answered_with_its_file_and_field(
    tmp_path: Path, text: str, says: str
) -> None:
    path = written(tmp_path, text)

    with pytest.raises(ConfigError, match=f"{POLICY_FILE}: (.|\n)*") as caught:
        load_policy(path, "a")

    assert caught.match(says)


@pytest.mark.parametrize(
    "text",
    [
        '[a]\ntargets = ["pc-onxruntime"]',
        "[a.latency]\npc-onxruntime = { p99 = 3 }",
        "[a.size_mb]\npc-onxruntime = 3",
        "[a.memory_mb]\npc-onxruntime = 3",
    ],
)
def test_a_target_that_is_misspelt_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "targets.toml").write_bytes((ROOT / "configs/targets.toml").read_bytes())

    with pytest.raises(ConfigError) as caught:
        load_policy(written(tmp_path, text), "a")

    assert caught.value.exit_code == 2
    assert "targets.toml beside it has no target 'pc-onxruntime'" in caught.value.message
    assert caught.value.hint == "did you mean 'pc-onnxruntime'?"
    assert load_policy(written(tmp_path, text.replace("onx", "onnx")), "a")


def test_a_file_that_is_missing_is_answered_with_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / POLICY_FILE

    assert channels_in(path) == []
    with pytest.raises(ConfigError, match=r"no such file\n.*\[a\] with what a bundle has to show"):
        load_policy(path, "a")


def test_a_channel_is_called_as_a_file_can_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the name of a channel: a name has letters"):
        load_policy(written(tmp_path, '["a/b"]'), "a/b")
