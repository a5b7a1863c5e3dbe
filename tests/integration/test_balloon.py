"""The documented case, from the mirrored archive, with the network blocked."""

import json
import subprocess

from commands import BalloonRun


def test_the_dataset_is_whole(balloon_run: BalloonRun) -> None:
    splits = json.loads((balloon_run.dataset / "summary.json").read_text())["splits"]
    assert (splits["train"]["pictures"], splits["train"]["annotations"]) == (61, 255)
    assert (splits["val"]["pictures"], splits["val"]["annotations"]) == (13, 50)
    assert len(list((balloon_run.dataset / "train").iterdir())) == 61
    assert len(balloon_run.val_pictures) == 13


def test_it_ran_to_the_report(balloon_run: BalloonRun) -> None:
    page = (balloon_run.report / "report.html").read_text()
    assert "balloon" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "verdict" in balloon_run.output


def test_the_weights_it_started_from_are_measured_too(balloon_run: BalloonRun) -> None:
    assert "base" in balloon_run.output


def test_checkpoint_and_engine_agree(balloon_run: BalloonRun) -> None:
    gates = json.loads((balloon_run.report / "verdict.json").read_text())["gates"]
    drop = next(gate for gate in gates if gate["name"] == "max_AP_difference:pc-onnxruntime")
    # A model this young has little AP to lose, which the gate itself points out.
    assert drop["outcome"] in ("pass", "inconclusive")
    assert drop["measured"] <= 0.002


def test_the_lock_remembers_the_archive(balloon_run: BalloonRun) -> None:
    lock = json.loads((balloon_run.commands.config.parent / "sources.lock").read_text())
    digest = "623b26691a9b6d5b9f8d6981ea3302be4307db14237494fd467b26a3ff76b458"
    assert digest in json.dumps(lock["balloon"])


def test_skopeo_reads_the_store(balloon_run: BalloonRun) -> None:
    done = subprocess.run(
        ["skopeo", "inspect", f"oci:{balloon_run.commands.artifacts}:balloon.train"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["Labels"]["mmdet-jetson.stage"] == "train"
