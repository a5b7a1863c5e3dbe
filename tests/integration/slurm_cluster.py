"""The Slurm that `docker/start-slurm` starts, as tests need it: its jobs, and its nodes' mishaps."""

import contextlib
import itertools
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from commands import ROOT, Commands
from needed import absent

T = TypeVar("T")
FOLDER = Path(os.environ.get("MMDET_JETSON_TEST_SLURM", "/run/mmdet-jetson-slurm"))
CONF = FOLDER / "slurm.conf"
NODES = ("n1", "n2", "n3")
SLURM_TOML = """
cpus = 1
time = "0:20:00"
"""


def until(
    what: str,
    look: Callable[[], T | None],
    seconds: float = 900,
    process: "subprocess.Popen[str] | None" = None,
) -> T:
    """Look until there is something, and give it; it comes of a command, where that is named."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if process and process.poll() is not None:
            raise AssertionError(
                f"no {what} comes of a command that ended: {process.communicate()[0]}"
            )
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.2)
    return found


class Cluster:
    """Three nodes on this machine."""

    def __init__(self) -> None:
        self.env = {"SLURM_CONF": str(CONF)}

    def ask(self, *words: str) -> str:
        """What a program of Slurm answers."""
        return subprocess.check_output(words, env={**os.environ, **self.env}, text=True)

    def heal(self) -> None:
        """Start what is dead, and let every node take jobs."""
        subprocess.run([ROOT / "docker/start-slurm"], check=True, capture_output=True)
        for node in self.ask(
            "sinfo", "-h", "-N", "-p", "main", "-t", "drain,drng,down", "-o", "%N"
        ).split():
            self.ask("scontrol", "update", f"nodename={node}", "state=resume")

    def drain(self, *nodes: str) -> None:
        """Let nodes take no more jobs."""
        self.ask(
            "scontrol", "update", f"nodename={','.join(nodes)}", "state=drain", "reason=testing"
        )

    @contextlib.contextmanager
    def drained(self, *nodes: str) -> Iterator[None]:
        """Let nodes take no jobs for a while."""
        self.drain(*nodes)
        try:
            yield
        finally:
            self.ask("scontrol", "update", f"nodename={','.join(nodes)}", "state=resume")

    def preempt(self) -> None:
        """Take all nodes for a moment, by a job that comes before those in partition ``idle``."""
        self.ask("sbatch", "--partition=urgent", f"--nodes={len(NODES)}", "--exclusive",
                 "--output=/dev/null", "--wrap=true")  # fmt: skip

    def kill_node(self, node: str) -> None:
        """Take a node away as if its power had failed: Slurm's daemon, and all that runs there."""
        ours = [pid for pid in processes() if self._runs_on(pid, node)]
        parents = {parent_of(pid) for pid in ours}
        keepers = [pid for pid in parents if words_of(pid).startswith("slurmstepd")]
        daemon = int((FOLDER / f"pid/slurmd-{node}").read_text())
        for pid in (daemon, *keepers, *ours):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _runs_on(self, pid: int, node: str) -> bool:
        environ = environ_of(pid)
        return (environ.get("SLURM_CONF"), environ.get("SLURMD_NODENAME")) == (str(CONF), node)

    @contextlib.contextmanager
    def blind_node(self, node: str, folder: Path) -> Iterator[None]:
        """Let a node not see what is in a folder, as one without the shared file system."""
        file = FOLDER / f"pid/slurmd-{node}"
        stop(int(file.read_text()))
        script = f'mount -t tmpfs none "{folder}" && exec slurmd -D -N {node}'
        daemon = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script],
            env={**os.environ, **self.env},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
        finally:
            daemon.terminate()
            daemon.wait(30)
            self.heal()

    def rank(self, number: int, job: str) -> int | None:
        """The process of a job's training that has this rank, where it runs by now."""
        for pid in processes():
            environ = environ_of(pid)
            told = (environ.get("SLURM_PROCID"), environ.get("SLURM_JOB_ID"))
            ours = environ.get("SLURM_CONF") == str(CONF) and told == (str(number), job)
            if ours and "mmdet_jetson.stages.train" in words_of(pid):
                return pid
        return None


@dataclass(frozen=True)
class SlurmCommands(Commands):
    """`invoke` with jobs in a cluster, of which only the own ones are looked at."""

    cluster: Cluster = field(default_factory=Cluster)

    def with_toml(self, text: str) -> None:
        """Say what jobs ask for."""
        Path(self.env["MMDET_JETSON_SLURM"]).write_text(text)

    @property
    def submissions(self) -> list[Path]:
        """Their folders, the newest last."""
        return sorted(path.parent for path in self.artifacts.glob("slurm/*/submission.json"))

    def jobs(self, step: str = "") -> dict[str, tuple[str, str]]:
        """Each job of ours that slurmctld still knows: its state and its node."""
        lines = self.cluster.ask("squeue", "-h", "-t", "all", "-o", "%i|%T|%N|%j").splitlines()
        found = {}
        for line in lines:
            job, state, node, name = line.split("|")
            id, _, of = name.removeprefix("mmdet-").partition(".")
            if (self.artifacts / "slurm" / id).exists() and step in ("", of):
                found[job] = (state, node)
        return found

    def running(self, step: str) -> tuple[str, str] | None:
        """The number and the node of the running job of a step."""
        for job, (state, node) in self.jobs(step).items():
            if state == "RUNNING":
                return job, node
        return None

    def idle(self) -> bool:
        """Whether no job of ours waits or runs."""
        going = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING")
        return not any(state in going for state, _ in self.jobs().values())

    def epochs_kept(self) -> int:
        """How many epochs the newest whole checkpoint of the unfinished training has behind it."""
        told = [
            path.read_text() for path in self.artifacts.glob("jobs/train-*/work/last_checkpoint")
        ]
        return max((int(Path(each).stem.rpartition("_")[2]) for each in told if each), default=0)

    def epochs_told(self) -> list[list[int]]:
        """The epochs that each job of a training told of, in order; the oldest job first."""
        found = []
        for file in sorted(self.artifacts.glob("slurm/*/train-*.events")):
            labels = re.findall(r'"label":"epoch (\d+)/', file.read_text())
            found.append([number for number, _ in itertools.groupby(map(int, labels))])
        return found

    def cancel_all(self) -> None:
        """Leave nothing in the queue."""
        for job in self.jobs():
            self.cluster.ask("scancel", "--full", job)
        until("an empty queue", self.idle, 60)


def cluster() -> Cluster:
    """Give the cluster; without it, tests are skipped or fail."""
    if not CONF.exists():
        absent("no Slurm of ours runs here: docker/start-slurm, as root")
    if os.geteuid():
        absent("taking nodes away needs root")
    found = Cluster()
    try:
        found.ask("scontrol", "ping")
    except (OSError, subprocess.CalledProcessError) as error:
        absent(f"the Slurm of {CONF} does not answer ({error}): docker/start-slurm")
    return found


def on_slurm(commands: Commands, cluster: Cluster, toml: str = SLURM_TOML) -> SlurmCommands:
    """The same commands, which submit their jobs to the cluster."""
    file = commands.folder / "slurm.toml"
    file.write_text(toml)
    env = {**commands.env, **cluster.env, "MMDET_JETSON_SLURM": str(file)}
    return SlurmCommands(commands.folder, env, cluster)


def processes() -> list[int]:
    """Every process of this machine."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def environ_of(pid: int) -> dict[str, str]:
    """What a process was started with; nothing where it has gone."""
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(each.partition("=")[::2] for each in content.split("\0"))


def words_of(pid: int) -> str:
    """The command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    """The process that started another."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def stop(pid: int) -> None:
    """End a daemon, and wait until it has ended."""
    os.kill(pid, signal.SIGTERM)
    until(f"the end of {pid}", lambda: not Path(f"/proc/{pid}").exists(), 60)
