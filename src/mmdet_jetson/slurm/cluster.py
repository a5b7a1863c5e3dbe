"""The one door to Slurm: its programs, and what they tell of jobs.

Their JSON differs from release to release, so what is asked for here is text with fields that all
releases since 20.11 have.
"""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.errors import UserError
from mmdet_jetson.processes import ProcessFailed, output_of

FIELDS = "%i|%T|%r|%N|%j"
ENDED = frozenset(
    {
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL",
        "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT",
    }
)  # fmt: skip
"""States that a job does not leave, unless it is put back in the queue."""
NARROWING = ("SQUEUE_", "SINFO_", "SCANCEL_")
PROGRAMS = ("sbatch", "squeue", "scontrol", "scancel", "sinfo")


class SlurmError(UserError):
    """Slurm refused something; its own words are in the sentence."""


@dataclass(frozen=True, kw_only=True)
class JobState:
    """What Slurm tells of a job.

    ``state`` is one word as ``squeue`` spells it, ``reason`` why it waits or ended, ``node`` where
    its batch script ran or the nodes that it had. ``code`` is the exit code of the batch script and
    ``signal`` what ended it, each None where Slurm has not told.
    """

    job: str
    state: str
    reason: str = ""
    node: str = ""
    name: str = ""
    code: int | None = None
    signal: int | None = None
    limit: str = ""
    restarts: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether it will not go on."""
        return self.state in ENDED


class Cluster:
    """Slurm as this user sees it from here."""

    def check(self) -> None:
        """Refuse to go on where there is no Slurm, or it does not answer.

        Raises:
            UserError: says what is missing.
        """
        for program in PROGRAMS:
            if not shutil.which(program):
                raise UserError(
                    f"--runtime slurm: there is no {program} here, so this is no login node of a"
                    " Slurm site",
                    "log in where `sinfo` shows nodes, or leave out --runtime slurm",
                )
        file = os.environ.get("SLURM_CONF", "")
        if file and not Path(file).is_file():  # Slurm's programs would look for it for a minute
            raise UserError(
                f"--runtime slurm: SLURM_CONF names {file}, and there is no such file",
                "name the site's slurm.conf, or unset SLURM_CONF",
            )
        self._ask("sinfo", "--noheader", "--format=%R")

    def partitions(self) -> dict[str, str]:
        """The partitions by name, each with its time limit."""
        lines = self._ask("sinfo", "--noheader", "--format=%R|%l").splitlines()
        return dict(line.partition("|")[::2] for line in lines if "|" in line)

    def test(self, options: Sequence[str]) -> None:
        """Ask whether Slurm would take a job, which is not submitted.

        Raises:
            ProcessFailed: it would not; its output says why.
        """
        output_of(["sbatch", "--test-only", *options, "--wrap=true"])

    def submit(self, options: Sequence[str], script: str) -> str:
        """Submit a batch script and give the job's number.

        Raises:
            ProcessFailed: Slurm refuses; its output says why.
        """
        return output_of(["sbatch", "--parsable", *options, script]).partition(";")[0]

    def mine(self) -> dict[str, JobState]:
        """All jobs of this user that Slurm remembers: those that wait and run, and newly ended."""
        told = self._ask(
            "squeue", f"--user={os.getuid()}", "--states=all", "--noheader", f"--format={FIELDS}"
        )
        found = {}
        for line in told.splitlines():
            job, state, reason, node, name = (line.split("|") + [""] * 5)[:5]
            found[job] = JobState(job=job, state=state, reason=_none(reason), node=node, name=name)
        return found

    def details(self, job: str) -> JobState | None:
        """What is known of one job: from the controller, else from accounting; None for nothing."""
        return self._shown(job) or self._accounted(job)

    def ended_before(self, job: str) -> str:
        """How a job's last run ended that was put back in the queue, where accounting tells."""
        asked = ["sacct", f"--jobs={job}", "--allocations", "--duplicates", "--noheader"]
        try:
            told = output_of([*asked, "--parsable2", "--format=State"]).split()
        except ProcessFailed:
            return ""
        return next((word for word in reversed(told) if word in {*ENDED, "REQUEUED"}), "")

    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel jobs; what has ended already is left."""
        if jobs:
            self._ask("scancel", "--quiet", *jobs)

    def requeue(self, job: str) -> None:
        """Put a running job back in the queue; it is killed for that.

        Raises:
            SlurmError: Slurm refuses.
        """
        self._ask("scontrol", "requeue", job)

    def address(self, node: str) -> str:
        """The address of a node as Slurm itself reaches it, since names need not resolve."""
        told = self._ask("scontrol", "--oneliner", "show", "node", node)
        found = re.search(r"\bNodeAddr=(\S+)", told)
        return found[1] if found else node

    def _shown(self, job: str) -> JobState | None:
        try:
            told = output_of(["scontrol", "--oneliner", "show", "job", job])
        except ProcessFailed:
            return None
        field = dict(re.findall(r"(\w+)=(\S*)", told))
        if "JobState" not in field:
            return None
        code, signal = _exit(field.get("ExitCode", ""))
        return JobState(
            job=job,
            state=field["JobState"],
            reason=_none(field.get("Reason", "")),
            node=_none(field.get("BatchHost", "")) or _none(field.get("NodeList", "")),
            name=field.get("JobName", ""),
            code=code,
            signal=signal,
            limit=field.get("TimeLimit", ""),
            restarts=int(field.get("Restarts", "0")),
        )

    def _accounted(self, job: str) -> JobState | None:
        if not shutil.which("sacct"):
            return None
        fields = "State,ExitCode,NodeList,JobName,Timelimit"
        asked = ["sacct", f"--jobs={job}", "--allocations", "--noheader", "--parsable2"]
        try:
            lines = output_of([*asked, f"--format={fields}"]).splitlines()
        except ProcessFailed:  # no accounting here
            return None
        if not lines:
            return None
        state, exit_code, node, name, limit = (lines[-1].split("|") + [""] * 5)[:5]
        code, signal = _exit(exit_code)
        # "CANCELLED by 1000"
        return JobState(
            job=job, state=state.split()[0] if state else "", reason=" ".join(state.split()[1:]),
            node=_none(node), name=name, code=code, signal=signal, limit=limit,
        )  # fmt: skip

    def _ask(self, *command: str) -> str:
        try:
            return output_of(command, _environ())
        except ProcessFailed as error:
            said = " ".join(error.output.split())
            raise SlurmError(
                f"Slurm's {command[0]} failed: {said[:300]}",
                "look whether the site's Slurm answers: sinfo, scontrol ping",
            ) from error


def _environ() -> dict[str, str]:
    """The user's variables but for those that would narrow what Slurm tells to a part of it."""
    return {name: os.environ[name] for name in os.environ if not name.startswith(NARROWING)}


def _none(word: str) -> str:
    return "" if word in ("None", "(null)", "None assigned", "N/A") else word


def _exit(told: str) -> tuple[int | None, int | None]:
    code, _, signal = told.partition(":")
    return (int(code), int(signal)) if code.isdigit() and signal.isdigit() else (None, None)
