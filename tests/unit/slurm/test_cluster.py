"""What Slurm's programs print, and what is made of it; programs of these tests stand in for them."""

from pathlib import Path

import pytest

from mmdet_jetson.errors import UserError
from mmdet_jetson.processes import ProcessFailed
from mmdet_jetson.slurm.cluster import PROGRAMS, Cluster, JobState, SlurmError
from mmdet_jetson.slurm.queue import Queue

SHOWN = (
    "JobId=16 JobName=mmdet-a.train UserId=root(0) JobState=TIMEOUT Reason=TimeLimit"
    " Dependency=(null) Requeue=1 Restarts=2 ExitCode=0:15 TimeLimit=01:00:00 NodeList=n[1-2]"
    " BatchHost=n1 Comment=x"
)
LISTED = """12|RUNNING|None|n1|mmdet-a.train
13|PENDING|Nodes required for job are DOWN, DRAINED or reserved for jobs in higher||mmdet-a.report
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that has all programs, which print nothing."""
    monkeypatch.delenv("SLURM_CONF", raising=False)
    for name in (*PROGRAMS, "sacct"):
        prints(tmp_path, name, "")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def prints(folder: Path, name: str, text: str, code: int = 0, error: str = "") -> None:
    path = folder / name
    path.write_text(
        f"#!/bin/sh\necho \"$@\" >>{folder}/calls\ncat <<'END'\n{text}\nEND\n"
        f"echo '{error}' >&2\nexit {code}\n"
    )
    path.chmod(0o755)


def test_a_machine_without_slurm_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no sbatch here, so this is no login node"):
        Cluster().check()


def test_a_controller_that_does_not_answer_is_told(programs: Path) -> None:
    prints(programs, "sinfo", "", 1, "slurm_load_partitions: Unable to contact slurm controller")
    with pytest.raises(SlurmError, match="sinfo failed: slurm_load_partitions: Unable to contact"):
        Cluster().check()


def test_a_slurm_conf_that_is_not_there_is_told_at_once(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(programs / "none.conf"))
    with pytest.raises(
        UserError, match=r"SLURM_CONF names .*none\.conf, and there is no such file"
    ):
        Cluster().check()
    assert not (programs / "calls").exists()


def test_jobs_are_read_from_their_list(programs: Path) -> None:
    prints(programs, "squeue", LISTED)
    jobs = Cluster().mine()
    assert jobs["12"] == JobState(job="12", state="RUNNING", node="n1", name="mmdet-a.train")
    assert jobs["13"].reason.startswith("Nodes required for job are DOWN")
    assert not jobs["13"].has_ended


def test_details_are_the_controllers(programs: Path) -> None:
    prints(programs, "scontrol", SHOWN)
    found = Cluster().details("16")
    assert found
    assert (found.state, found.node, found.limit) == ("TIMEOUT", "n1", "01:00:00")
    assert (found.code, found.signal, found.restarts) == (0, 15, 2)
    assert found.has_ended


def test_what_the_controller_forgot_accounting_may_know(programs: Path) -> None:
    prints(programs, "scontrol", "", 1, "slurm_load_jobs error: Invalid job id specified")
    prints(programs, "sacct", "CANCELLED by 1000|0:15|n2|mmdet-a.train|01:00:00")
    found = Cluster().details("16")
    assert found == JobState(
        job="16", state="CANCELLED", reason="by 1000", node="n2", name="mmdet-a.train",
        code=0, signal=15, limit="01:00:00",
    )  # fmt: skip


@pytest.mark.parametrize("code", [0, 1])
def test_without_accounting_nothing_is_known_of_it(programs: Path, code: int) -> None:
    prints(programs, "scontrol", "", 1, "Invalid job id specified")
    prints(programs, "sacct", "", code, "Slurm accounting storage is disabled")
    assert Cluster().details("16") is None
    assert Cluster().ended_before("16") == ""


def test_how_the_run_before_ended(programs: Path) -> None:
    prints(programs, "sacct", "NODE_FAIL\nPENDING")
    assert Cluster().ended_before("16") == "NODE_FAIL"


def test_a_job_has_the_number_that_sbatch_prints(programs: Path) -> None:
    prints(programs, "sbatch", "17;a-cluster")
    assert Cluster().submit(["--requeue"], "x.sh") == "17"
    assert (programs / "calls").read_text().strip() == "--parsable --requeue x.sh"


def test_what_sbatch_refuses_is_in_its_error(programs: Path) -> None:
    prints(programs, "sbatch", "", 1, "sbatch: error: Invalid qos specification")
    with pytest.raises(ProcessFailed) as refused:
        Cluster().test(["--qos=x"])
    assert "Invalid qos" in refused.value.output


def test_a_node_is_reached_as_slurm_reaches_it(programs: Path) -> None:
    prints(programs, "scontrol", "NodeName=n1 Arch=x86_64 NodeAddr=10.0.0.7 NodeHostName=n1")
    assert Cluster().address("n1") == "10.0.0.7"


def test_while_slurm_is_silent_no_thread_takes_a_job_for_ended() -> None:
    class Silent(Cluster):
        def mine(self) -> dict[str, JobState]:
            raise SlurmError("squeue failed")

    said: list[str] = []
    queue = Queue(Silent(), said.append, clock=lambda: 100.0)
    for _ in range(2):  # only the first look asks
        with pytest.raises(SlurmError):
            queue.state("11")
    assert len(said) == 1


def test_a_shell_that_narrows_what_is_listed_hides_no_job(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (programs / "squeue").write_text(
        f'#!/bin/sh\n[ -n "$SQUEUE_PARTITION" ] && exit 0\ncat <<END\n{LISTED}END\n'
    )
    monkeypatch.setenv("SQUEUE_PARTITION", "other")
    assert sorted(Cluster().mine()) == ["12", "13"]
