"""What sbatch is told of a step's job."""

from pathlib import Path

from fake_slurm import FakeCluster

from mmdet_jetson.cli import verbs
from mmdet_jetson.cli.request import Request
from mmdet_jetson.config.slurm import Slurm
from mmdet_jetson.slurm.batch import options
from mmdet_jetson.slurm.records import Folder


def test_only_what_is_timed_has_its_node_to_itself(cluster: FakeCluster, tmp_path: Path) -> None:
    with verbs.session(Request(config="configs/demo.toml")) as now:
        alone = {
            step.stage.verb
            for step in now.steps
            if "--exclusive" in options(step, Slurm(), Folder(tmp_path / "ID"), [])
        }
    assert alone == {"profile"}


def test_a_folder_with_a_percent_sign_is_no_pattern(cluster: FakeCluster, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "50%jobs" / "ID")
    with verbs.session(Request(config="configs/demo.toml")) as now:
        told = options(now.steps[0], Slurm(), folder, [])
    (output,) = [each for each in told if each.startswith("--output=")]
    assert output.endswith("/50%%jobs/ID/dataset-%j.log")
