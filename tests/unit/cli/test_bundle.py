"""`invoke bundle` and `invoke show`, as they are typed, on a run that was made in no time."""

import json
import shutil
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import small_releases
from in_process import BROAD, Commands
from small_artifacts import blob_of, found
from small_releases import OPENVINO, ORIN, PC, TARGETS, SmallRun, as_json

from mmdet_jetson.bundles.making import MISSING
from mmdet_jetson.bundles.overview import age
from mmdet_jetson.registry.names import digest_tag
from mmdet_jetson.store import Store

DEMO = ("--config", "configs/demo.toml")


@pytest.fixture
def run(whole_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallRun:
    """A copy of the whole run, in the store that the commands use."""
    run = small_releases.copy_of(whole_run, tmp_path)
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(run.store.root))
    return run


def test_a_run_becomes_a_release(run: SmallRun, invoke: Commands) -> None:
    code, said = invoke("bundle", *DEMO, "--name", "v1.2", "--name", "stable")

    bundle = run.store.bundle("demo.bundle")
    assert code == 0
    assert bundle
    assert f"bundle demo.bundle, v1.2, stable: {bundle.digest}" in said
    assert run.store.bundle("v1.2") == run.store.bundle("stable") == bundle
    assert "warning" not in said


def test_an_engine_that_is_missing_is_said_with_its_command(
    run: SmallRun, invoke: Commands
) -> None:
    targets = f'targets=["{PC}", "{ORIN}"]'

    code, said = invoke("bundle", *DEMO, "--set", targets)

    assert code == 0
    assert f"warning: it has no engine {ORIN}: invoke build-jetson-engine --config" in said
    assert f"--target {ORIN}" in said
    code, shown = invoke("show", "demo.bundle")
    assert code == 0
    assert (
        f"missing: engine {ORIN}: invoke build-jetson-engine --config configs/demo.toml "
        f"--target {ORIN}\n" in shown
    )
    assert f"evaluation {ORIN}" not in shown


def test_a_bundle_that_must_be_complete_is_refused_and_nothing_is_named(
    run: SmallRun, invoke: Commands
) -> None:
    run.store.untag("demo.report")

    code, said = invoke("bundle", *DEMO, "--complete", "--name", "v1")

    assert code == 1
    assert "error: demo has no report\n  try: invoke report --config configs/demo.toml" in said
    assert run.store.bundle("v1") is None
    assert run.store.bundle("demo.bundle") is None


def test_what_was_timed_as_told_is_not_timed_anew_by_a_hint(
    run: SmallRun, invoke: Commands
) -> None:
    for target in TARGETS:
        told = run.step(f"profile-{target}").parameters
        parameters = {**asdict(told), "samples": 300, "seconds": 1.5}
        run.make(f"profile-{target}", {"profile.json": b"{}"}, parameters=parameters)

    code, said = invoke("bundle", *DEMO)

    sets = "--set profile.samples=300 --set profile.seconds=1.5"
    assert code == 1
    assert "demo.report shows another profile than demo.profile-" in said
    assert f"try: invoke report --config configs/demo.toml {sets}\n" in said
    run.store.untag("demo.report")
    assert (
        f"it has no report: invoke report {' '.join(DEMO)} {sets}\n" in invoke("bundle", *DEMO)[1]
    )


def test_only_some_targets(run: SmallRun, invoke: Commands) -> None:
    code, said = invoke("bundle", *DEMO, "--target", PC)

    assert code == 0
    assert f"engines for {PC}\n" in said


def test_parts_of_two_trainings_are_refused(run: SmallRun, invoke: Commands) -> None:
    run.salt = "new"
    run.make("train")

    code, said = invoke("bundle", *DEMO)

    assert code == 1
    assert "was made from another checkpoint than demo.train" in said
    assert "try: invoke pipeline --config configs/demo.toml, which makes again" in said
    assert run.store.bundle("demo.bundle") is None


def test_a_stale_engine_of_a_target_beside_may_be_left_out(run: SmallRun, invoke: Commands) -> None:
    run.make(f"engine-{OPENVINO}", inputs={"onnx": "sha256:" + "1" * 64})

    code, said = invoke("bundle", *DEMO, "--target", OPENVINO)

    assert code == 1
    assert f"demo.engine-{OPENVINO} was made from another ONNX" in said
    assert invoke("bundle", *DEMO, "--target", PC)[0] == 0


def test_a_stale_engine_that_no_command_makes_again_is_left_out(
    run: SmallRun, invoke: Commands
) -> None:
    """A target that has left the configuration would stop every later release."""
    run.make(f"engine-{OPENVINO}", inputs={"onnx": "sha256:" + "1" * 64})

    code, said = invoke("bundle", *DEMO, "--complete")

    assert code == 0
    assert f"warning: it has no {OPENVINO}, which run demo has of another training" in said
    bundle = run.store.bundle("demo.bundle")
    assert bundle
    assert OPENVINO not in bundle.annotations["mmdet-jetson.targets"]


def test_a_release_keeps_its_name(run: SmallRun, invoke: Commands) -> None:
    invoke("bundle", *DEMO, "--name", "v1")
    first = run.store.bundle("v1")
    run.make(f"profile-{PC}", created="2026-11-09T10:00:00+00:00")
    run.make("report")

    code, said = invoke("bundle", *DEMO, "--name", "v1")

    assert code == 1
    assert first
    assert f"--name v1: that is the name of bundle {first.digest[7:19]} already" in said
    assert run.store.bundle("v1") == run.store.bundle("demo.bundle") == first
    assert invoke("bundle", *DEMO, "--name", "v2")[0] == 0
    assert run.store.bundle("demo.bundle") == run.store.bundle("v2") != first


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("demo.train", "is the name of artifact"),
        ("demo", "is the name of a run"),
        ("cache.1", "could be taken for"),
        ("digest.abc", "could be taken for"),
        ("d6ee50590722", "could be taken for a digest"),
        ("a/b", "nothing can be tagged so"),
    ],
)
def test_names_that_are_no_releases(run: SmallRun, invoke: Commands, name: str, says: str) -> None:
    code, said = invoke("bundle", *DEMO, "--name", name)

    assert code == 1
    assert says in said


def test_a_damaged_training_is_said_to_be(run: SmallRun, invoke: Commands) -> None:
    (layer,) = run.made["train"].parts(["best.pth"])
    blob_of(run.store, layer.blob.digest).unlink()

    code, said = invoke("bundle", *DEMO)

    assert code == 1
    assert "error: demo.train is damaged: blob " in said


def test_no_run_is_said(run: SmallRun, invoke: Commands) -> None:
    code, said = invoke("bundle", *DEMO, "--set", "name=mugs")

    assert code == 1
    assert "there is no run mugs in " in said


def test_a_bundle_is_no_artifact_to_check_out(run: SmallRun, invoke: Commands) -> None:
    invoke("bundle", *DEMO)

    code, said = invoke("checkout", "demo.bundle", "somewhere")

    assert code == 1
    assert "error: demo.bundle is a bundle\n  try: name one of its parts: invoke show" in said


def test_gc_keeps_what_a_bundle_needs_to_be_found_again(run: SmallRun, invoke: Commands) -> None:
    invoke("bundle", *DEMO)
    engine = found(run.store, f"demo.engine-{PC}")
    run.store.untag(*(tag for tag in run.store.tags() if tag.startswith(("demo.e", "demo.p"))))

    assert invoke("gc", "--days", "0")[0] == 0

    cached = [tag for tag, named in run.store.tags().items() if named.digest == engine.digest]
    assert cached
    assert invoke("show", "demo.bundle")[0] == 0


def test_the_tree_fits_its_terminal(run: SmallRun, invoke: Commands) -> None:
    invoke("bundle", *DEMO)

    code, said = invoke("show", "demo.bundle")

    bundle = run.store.bundle("demo.bundle")
    assert code == 0
    assert bundle
    assert max(map(len, said.splitlines())) <= BROAD
    assert bundle.digest in said
    assert "verdict: pass" in said
    assert f"engine {PC}  {run.made[f'engine-{PC}'].digest[7:19]}" in said
    assert "AP 0.750, AP50 0.750, 1 pictures" in said
    assert "p50 1.2 ms, p99 3.5 ms, 200 times" in said
    assert "20% of detections differ from PyTorch's, 25% may" in said
    assert "without the pictures" in said


def test_a_percentile_that_is_not_claimed_is_a_dash_with_its_reason(
    run: SmallRun, invoke: Commands
) -> None:
    few = {
        "backend": "onnxruntime", "precision": "fp32", "samples": 200, "seconds": 1.5, "warmup": 20,
        "unit": "ms", "steps": {}, "total": {"mean": 1.5, "p50": 1.25, "p90": 2.0, "p99": None},
        "gpu": None, "pictures": 1, "machine": {"cpu": "a CPU"}, "evidence": "measured",
        "bounds": {"p50": {"low": 1.2, "high": 1.3}, "p99": {"low": 2.1, "high": None}},
        "conditions": {"kind": "pc", "looks": 3, "seconds": 1.5, "drift": 0.02},
    }  # fmt: skip
    run.make(f"profile-{PC}", {"profile.json": as_json(few)})
    run.make("report")
    code, said = invoke("bundle", *DEMO)
    assert code == 0, said

    said = invoke("show", "demo.bundle")[1]
    told = json.loads(invoke("show", "demo.bundle", "--json")[1])

    assert "p50 1.2 ms, p99 -, 200 times" in said
    assert "no p99: there are 200 samples, and it asks for 459" in said
    (found,) = (
        each["found"]
        for each in told["parts"]
        if (each["kind"], each["subject"]) == ("profile", PC)
    )
    assert (found["p99"], found["samples"], found["seconds"]) == (None, 200, 1.5)
    assert found["bounds"] == {"p50": [1.2, 1.3], "p99": [2.1, None]}
    assert found["conditions"] == {"looked at": "3 times in 2 s", "drift": "+2.0%"}


def test_a_tag_that_only_keeps_is_no_name(run: SmallRun, invoke: Commands) -> None:
    invoke("bundle", *DEMO)
    bundle = run.store.bundle("demo.bundle")
    assert bundle
    run.store.tag(bundle, digest_tag(bundle.digest))

    assert "also named" not in invoke("show", "demo.bundle")[1]


def test_the_interval_of_a_report_is_shown(run: SmallRun, invoke: Commands) -> None:
    run.make("report", metrics={"AP50_intervals": {PC: [0.7, 0.8]}})

    _, said = invoke("show", "demo")

    assert "AP50 0.750 (95%: 0.700 to 0.800)" in said


def test_one_artifact_is_shown_with_its_files(run: SmallRun, invoke: Commands) -> None:
    code, said = invoke("show", f"demo.engine-{PC}")

    assert code == 0
    assert "passport.json" in said
    assert "missing" not in said


def test_json_says_all_of_it(run: SmallRun, invoke: Commands) -> None:
    invoke("bundle", *DEMO)

    code, said = invoke("show", "demo.bundle", "--json")

    told = json.loads(said)
    bundle = run.store.bundle("demo.bundle")
    assert code == 0
    assert bundle
    assert told["what"] == "bundle"
    assert told["digest"] == bundle.digest
    assert told["names"] == ["demo.bundle"]
    assert told["targets"] == sorted(TARGETS)
    assert told["missing"] == told["contradictions"] == []
    engine = next(
        each for each in told["parts"] if (each["kind"], each["subject"]) == ("engine", PC)
    )
    assert engine["digest"] == run.made[f"engine-{PC}"].digest
    assert engine["found"]["precision"] == "fp32"
    assert {each["title"] for each in engine["files"]} == {
        "engine.onnx", "graph.json", "passport.json",
    }  # fmt: skip


def test_a_stale_run_is_shown_with_what_does_not_belong(run: SmallRun, invoke: Commands) -> None:
    run.salt = "new"
    run.make("train")

    code, said = invoke("show", "demo")

    assert code == 0
    assert "does not belong: demo.export-documented was made from another checkpoint" in said


def test_a_bundle_that_contradicts_itself_is_refused_when_it_is_shown(
    run: SmallRun, invoke: Commands
) -> None:
    """As from a place where nobody compared its parts."""
    invoke("bundle", *DEMO)
    bundle = run.store.bundle("demo.bundle")
    assert bundle
    wrong = run.make(f"profile-{PC}", subject=f"engine-{OPENVINO}", tags=[])
    old = run.store.find(f"demo.profile-{PC}")
    assert old
    parts = [
        type(each)(
            media_type=each.media_type,
            digest=wrong.digest if each.digest == old.digest else each.digest,
            size=wrong.descriptor.size if each.digest == old.digest else each.size,
            annotations=each.annotations,
        )
        for each in bundle.parts
    ]
    run.store.put_bundle(parts, bundle.annotations, ["forged"])

    code, said = invoke("show", "forged")

    assert code == 1
    assert "error: the parts of forged do not belong together: profile pc-onnxruntime" in said


def test_a_bundle_shows_in_a_store_that_has_nothing_else(
    run: SmallRun, invoke: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke("bundle", *DEMO)
    here = invoke("show", "demo.bundle")
    run.store.untag(*(tag for tag in run.store.tags() if tag != "demo.bundle"))
    run.store.gc(lambda _: True)
    shutil.move(run.store.root, tmp_path / "elsewhere")
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "elsewhere"))

    assert invoke("show", "demo.bundle") == here
    assert Store(tmp_path / "elsewhere").verify().problems == ()


def test_what_comes_from_elsewhere_gives_the_terminal_no_orders(
    run: SmallRun, invoke: Commands
) -> None:
    made = {"config": "\x1b[2Jx", "evidence": "\x1b]0;owned\x07"}
    run.make("train", parameters=made)

    code, said = invoke("show", "demo.train")

    assert code == 0
    assert "\x1b" not in said
    assert "?[2Jx" in said


def test_what_a_bundle_says_is_missing_makes_no_commands(run: SmallRun, invoke: Commands) -> None:
    invoke("bundle", *DEMO)
    bundle = run.store.bundle("demo.bundle")
    assert bundle
    said = f"signature x,engine \x1b[31m; rm -rf ~,engine $(ls),profile {ORIN}"
    run.store.put_bundle(bundle.parts, {**bundle.annotations, MISSING: said}, ["foreign"])

    code, shown = invoke("show", "foreign")

    assert code == 0
    assert f"missing: profile {ORIN}: invoke " in shown
    assert [word for word in ("signature", "\x1b", "rm -rf", "$(") if word in shown] == []


def test_what_turns_letters_around_is_not_shown(run: SmallRun, invoke: Commands) -> None:
    run.make("train", parameters={"config": "x\u202ey"})

    assert "x?y" in invoke("show", "demo.train")[1]


def test_a_part_of_a_run_that_no_release_has_may_be_another_steps(
    run: SmallRun, invoke: Commands
) -> None:
    run.store.tag(run.made["check"], "demo.check-other")

    code, said = invoke("show", "demo")

    assert code == 0
    assert "does not belong: demo.check-other is what step check made\n  try: invoke pipe" in said


def test_a_release_that_does_not_pass_is_said_to(run: SmallRun, invoke: Commands) -> None:
    run.make("report", metrics={"verdict": "fail"})

    code, said = invoke("bundle", *DEMO, "--complete")

    assert code == 0
    assert "warning: the verdict of its report is fail" in said


def test_what_is_not_there_is_said(run: SmallRun, invoke: Commands) -> None:
    code, said = invoke("show", "demo.bundel")

    assert code == 1
    assert "has no run, bundle or artifact 'demo.bundel'" in said


@pytest.mark.parametrize(
    ("minutes", "says"),
    [
        (-5, "0 minutes"),
        (1, "1 minute"),
        (59, "59 minutes"),
        (90, "2 hours"),
        (47 * 60, "47 hours"),
        (3 * 1440, "3 days"),
        (70 * 1440, "2 months"),
        (800 * 1440, "2 years"),
    ],
)
def test_ages_are_said_as_people_do(minutes: int, says: str) -> None:
    now = datetime(2026, 11, 26, tzinfo=timezone.utc)

    assert age((now - timedelta(minutes=minutes)).isoformat(), now) == says


def test_a_time_that_is_none_has_no_age() -> None:
    assert age("yesterday", datetime.now(timezone.utc)) == "?"
