"""``slurm.toml``: what may stand in it, and what is said of anything else."""

from pathlib import Path

import pytest

from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.config.slurm import Slurm, check_steps, load_slurm
from mmdet_jetson.errors import ConfigError


def loaded(tmp_path: Path, text: str) -> Slurm:
    path = tmp_path / "slurm.toml"
    path.write_text(text)
    return load_slurm(path)


def test_the_shipped_file_leaves_everything_to_the_site() -> None:
    assert load_slurm(ROOT / "configs/slurm.toml") == Slurm()


def test_a_step_has_what_its_own_table_says_before_that_of_its_command(tmp_path: Path) -> None:
    slurm = loaded(
        tmp_path,
        'partition = "cpu"\ngpus = 0\ntime = "1:00:00"\n'
        '[steps.profile]\npartition = "gpu"\ngpus = "a100:2"\n'
        '[steps.profile-orin]\npartition = "quiet"\n',
    )
    one = slurm.of("profile-orin", "profile")
    assert (one.partition, one.gpus, one.time) == ("quiet", "a100:2", "1:00:00")
    assert one.number_of_gpus == 2
    assert slurm.of("train", "train").number_of_gpus == 0
    assert slurm.asks_for_gpus


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("partion = 'x'", "did you mean 'partition'"),
        ("time = '1h'", "a time is hours:minutes:seconds"),
        ("time = '4 hours'", "a time is hours:minutes:seconds"),
        ("memory = '16 GB'", "memory is a number with K, M, G or T"),
        ("partition = 'a b'", "one name without spaces"),
        ("gpus = -1", "gpus"),
        ("gpus = 'two'", "it is a number of GPUs, or a kind and a number"),
        ("cpus = 0", "cpus"),
        ("on_interrupt = 'ask'", "'ask' is unknown"),
        ("container = 'docker'", 'one of: "", apptainer, pyxis'),
        ("container = 'pyxis'", "container and image go together"),
        ("image = 'x.sif'", "container and image go together"),
        ("options = ['constraint=a100']", "is no option of sbatch"),
        ("options = ['--mem=3G']", "set memory instead"),
        ("options = ['-p gpu']", "set partition instead"),
        ("options = ['--dependency=singleton']", "is what --runtime slurm itself sets"),
        ("options = ['--array=1-3']", "would run a step several times at once"),
        ("options = ['-W']", "would let nothing else be submitted until a job has ended"),
        ("options = ['--wait']", "would let nothing else be submitted until a job has ended"),
        ("options = ['-M other']", "would send jobs to where nobody follows them"),
        ("options = ['--error=/tmp/x']", "would take the errors out of the log"),
        ("options = ['--export=NONE']", "is what --runtime slurm itself sets"),
        ("options = ['--part=gpu']", "set partition instead"),
        ("options = ['--no-requeue']", "set requeues instead"),
        ("mounts = ['/data:/inside']", "a folder that has the same path inside"),
        ("mounts = ['data']", "a folder that has the same path inside"),
        ("[steps.train]\nmemry = '1G'", "did you mean 'memory'"),
        ("[steps.train]\noptions = ['-t 3']", "set time instead"),
    ],
)
def test_what_is_wrong_is_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, text)
    assert told in str(refused.value)
    assert "slurm.toml" in str(refused.value)


def test_other_options_pass(tmp_path: Path) -> None:
    options = (
        "--constraint=a100",
        "--exclude=n7",
        "--mail-type=END",
        "--wait-all-nodes=1",
        "--time-min=5",
        "-x n3",
    )
    listed = ", ".join(map(repr, options))
    assert loaded(tmp_path, f"options = [{listed}]").options == options


@pytest.mark.parametrize("time", ["", "30", "1:30", "1:00:00", "1-12", "2-00:30", "1-12:00:00"])
def test_times_are_slurms_own(tmp_path: Path, time: str) -> None:
    assert loaded(tmp_path, f'time = "{time}"').time == time


def test_a_table_for_no_step_names_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "slurm.toml"
    slurm = loaded(tmp_path, "[steps.trian]\ngpus = 1")
    with pytest.raises(ConfigError, match=r"steps\.trian: there is no such step; .*'train'"):
        check_steps(slurm, path, ["train", "profile"], ["train"])
    of_another_target = loaded(tmp_path, "[steps.profile-orin]\ngpus = 1")
    check_steps(of_another_target, path, ["train", "profile"], ["train"])


def test_a_file_that_is_not_there_says_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="MMDET_JETSON_SLURM"):
        load_slurm(tmp_path / "none.toml")
