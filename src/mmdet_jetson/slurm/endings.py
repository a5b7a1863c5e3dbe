"""What Slurm answers, as sentences: why it takes no job, why one waits, and how one ended."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.config.slurm import Slurm
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.errors import ConfigError, UserError
from mmdet_jetson.processes import ProcessFailed, tail
from mmdet_jetson.slurm.cluster import JobState

UNSEEN = 64
"""The exit code of a batch script whose node lacks the first folder that it needs; and so on."""
NO_MODULE = 80
"""The exit code of a batch script that could not load a module."""
NO_OUTPUT = 53
"""The signal that Slurm tells where a node could not open the file for a job's output."""
OUT_OF_MEMORY = re.compile("oom.kill|exceeded (job |step )?memory limit", re.IGNORECASE)
AGAIN = "run the same command again"


@dataclass(frozen=True)
class Job:
    """A job as sentences need it: of which step, what it asked for, what it needs to see."""

    step: str
    settings: Slurm
    file: Path
    """The slurm.toml that says so."""
    may_resume: bool
    folders: tuple[Path, ...]
    """What its node has to see, in the order of the exit codes from `UNSEEN` on."""
    log: Path

    def set(self, setting: str) -> str:
        """Say where a setting of this step is."""
        return f"{setting} in {self.file}, for all or in [steps.{self.step}]"


def ended(job: Job, state: JobState) -> UserError:
    """The sentence for a job that ended and told nothing itself."""
    what = f"{job.step}: job {state.job}"
    node = f" on node {state.node}" if state.node else ""
    goes_on = f"{AGAIN}: it goes on from its newest checkpoint" if job.may_resume else AGAIN
    limit = state.limit or job.settings.time
    memory = f"the {job.settings.memory} it asked for" if job.settings.memory else "it was given"
    by = {
        "BOOT_FAIL": (f"{what} got no node that would boot (BOOT_FAIL)", AGAIN),
        "CANCELLED": _cancelled(what, state),
        "DEADLINE": (f"{what} could not end before its deadline (DEADLINE)", job.set("options")),
        "NODE_FAIL": (
            f"{what}: its node failed ({_node(state)}, NODE_FAIL), and it was not requeued",
            goes_on,
        ),
        "OUT_OF_MEMORY": (
            f"{what}{node} used more memory than {memory} (OUT_OF_MEMORY)",
            f"raise {job.set('memory')}; a training also takes less with a lower"
            " train.batch_size or train.workers",
        ),
        "PREEMPTED": (
            f"{what}{node} had to make room for a job that comes before it (PREEMPTED), and was not"
            " requeued",
            goes_on,
        ),
        "TIMEOUT": (
            f"{what}{node} was ended by its time limit of {limit} (TIMEOUT)",
            f"raise {job.set('time')}; then {goes_on}",
        ),
        "REVOKED": (f"{what} was taken over by another cluster (REVOKED)", "look at it there"),
        "": (f"{what}: Slurm knows nothing of it any more, and it told nothing itself", AGAIN),
    }
    word = "OUT_OF_MEMORY" if ran_out_of_memory(job, state) else state.state
    return UserError(*(by.get(word) or _failed(job, what, state)))


def ran_out_of_memory(job: Job, state: JobState) -> bool:
    """Whether a job ended by its memory, which Slurm may tell in the log alone.

    So it is where an accounting plugin kills, and where a step was killed and not the script.
    """
    if state.state == "OUT_OF_MEMORY":
        return True
    return state.state == "FAILED" and OUT_OF_MEMORY.search(tail(job.log, 30)) is not None


def _cancelled(what: str, state: JobState) -> tuple[str, str]:
    if "Dependency" in state.reason:
        return f"{what} never started, since a job before it did not succeed (CANCELLED)", AGAIN
    by = f" {state.reason}" if state.reason.startswith("by ") else ""
    return f"{what} was cancelled{by} (CANCELLED)", f"{AGAIN} to go on"


def _failed(job: Job, what: str, state: JobState) -> tuple[str, str]:
    """FAILED, or COMPLETED without an outcome."""
    unseen = None
    if state.code is not None and 0 <= state.code - UNSEEN < len(job.folders):
        unseen = job.folders[state.code - UNSEEN]
    if state.signal == NO_OUTPUT or state.state == "COMPLETED":
        unseen = job.log.parent
    if unseen:
        return (
            f"{job.step}: {_node(state)} does not see {unseen}: it is on no file system that this"
            " node shares",
            f"keep it on a shared one, or leave that node out: options ="
            f' ["--exclude={state.node or "NODE"}"] in {job.file}',
        )
    if state.code == NO_MODULE and job.settings.modules:
        words = " ".join(tail(job.log, 2).split())
        return (
            f"{job.step}: {_node(state)} could not load modules {list(job.settings.modules)}"
            f" ({words or 'its log has no word about it'})",
            f"set {job.set('modules')}; `module avail` on that node lists them",
        )
    how = f"exit code {state.code}" if state.code else f"signal {state.signal or '?'}"
    words = tail(job.log, 6)
    said = f"; the end of its log:\n{words}" if words.strip() else " before it told why"
    why = f", {state.reason}" if state.reason not in ("", "NonZeroExitCode") else ""
    return f"{what} on {_node(state)} ended with {how} ({state.state}{why}){said}", (
        f"read {job.log}"
    )


def _node(state: JobState) -> str:
    return f"node {state.node}" if state.node else "its node"


# Slurm's reason -> why a job waits, and what may be tried where that is no matter of time.
_WAITING: tuple[tuple[str, str, str], ...] = (
    ("Resources", "the nodes that fit are busy", ""),
    ("Priority", "other jobs come first", ""),
    ("DependencyNeverSatisfied", "a job before it did not succeed", AGAIN),
    ("Dependency", "the steps before it are not made yet", ""),
    (
        "BeginTime",
        "it was put back in the queue, and Slurm waits two minutes before it starts such a job",
        "",
    ),
    (
        "ReqNodeNotAvail",
        "no node that fits is available: they are down, drained or reserved",
        "sinfo -R tells why; another partition may have some",
    ),
    (
        "Nodes_required_for_job_are_DOWN",
        "the nodes that fit are down, drained or reserved",
        "sinfo -R tells why; another partition may have some",
    ),
    ("PartitionTimeLimit", "it asks for more time than its partition allows", "lower time"),
    ("PartitionNodeLimit", "it asks for more nodes than its partition allows", "lower train.nodes"),
    ("PartitionConfig", "its partition has no node with so much", "lower cpus or memory"),
    ("PartitionDown", "its partition takes no jobs now", "another partition may"),
    ("PartitionInactive", "its partition starts no jobs now", "another partition may"),
    ("BadConstraints", "no node fulfils its constraints", "change options or gpus"),
    ("JobHeldUser", "it is held", "scontrol release JOB"),
    ("JobHeldAdmin", "an administrator holds it", "ask the site"),
    ("launch_failed_requeued_held", "it could not be started, and is held", "scontrol release JOB"),
    ("Reservation", "it waits for its reservation", ""),
    ("Licenses", "it waits for a licence", ""),
    ("InvalidAccount", "its account does not exist", "set account"),
    ("InvalidQOS", "its QOS does not exist", "set qos"),
    ("Assoc", "a limit of its account is reached", ""),
    ("QOS", "a limit of its QOS is reached", ""),
    ("Max", "a limit of this user or account is reached", ""),
)  # fmt: skip


def waits(state: JobState) -> str:
    """Say why a job waits; its number stands for JOB in what to try."""
    word = state.reason.replace(" ", "_")
    for reason, sentence, hint in _WAITING:
        if word.startswith(reason) or (reason == "QOS" and "QOS" in word):
            told = f"{sentence} ({state.reason})"
            return f"{told}; try: {hint.replace('JOB', state.job)}" if hint else told
    return state.reason or "Slurm has not said why yet"


def requeued(state: JobState, before: str, *, may_resume: bool) -> str:
    """Say that a job was put back in the queue; ``before`` is how it ended, where that is known."""
    why = {
        "NODE_FAIL": "its node failed",
        "REQUEUED": "somebody asked for it",
        "PREEMPTED": "it had to make room for a job that comes before it",
        "TIMEOUT": "its time was up",
    }.get(before, "its node failed, it had to make room, or somebody asked for it")
    goes_on = "goes on from its newest checkpoint" if may_resume else "starts anew"
    return f"job {state.job} is in the queue again: {why}; it {goes_on}"


# What sbatch says -> the setting that it is about, what that means, what to try.
_REFUSALS: tuple[tuple[str, str, str, str], ...] = (
    (r"invalid account|account/partition", "account", "Slurm does not let this user use it", ""),
    (r"invalid qos", "qos", "Slurm does not let this user use it", ""),
    (
        r"invalid feature|invalid constraint",
        "options",
        "no node has what its --constraint asks for",
        "sinfo -o '%n %f' lists what nodes have",
    ),
    (
        r"generic resource|gres",
        "gpus",
        "no node has such GPUs",
        "sinfo -o '%n %G' lists what nodes have",
    ),
    (r"memory specification", "memory", "no node has so much", "sinfo -o '%n %m' lists it in MB"),
    (
        r"node configuration is not available|node count|more processors",
        "cpus, memory, gpus or train.nodes",
        "no node has all of it",
        "sinfo -o '%n %c %m %G %f' lists what nodes have",
    ),
    (r"time limit", "time", "the partition allows no such time", "sinfo -o '%R %l' lists limits"),
    (
        r"accounting/qos policy",
        "account or qos",
        "a limit of it is reached",
        "sacctmgr show assoc user=$USER lists them",
    ),
    (
        r"unrecognized option|invalid option",
        "options",
        "this sbatch has no such option",
        "sbatch --help lists them",
    ),
    (r"invalid dependency|dependency problem", "", "a job before it has gone meanwhile", AGAIN),
    (
        r"unable to contact|socket timed out|connection refused|zero bytes",
        "",
        "its controller does not answer",
        "scontrol ping; later again",
    ),
)  # fmt: skip


def is_told(error: ProcessFailed) -> bool:
    """Whether sbatch says more than that no node is to be had now."""
    kinds = [pattern for pattern, *_ in _REFUSALS if "node configuration" not in pattern]
    return any(re.search(pattern, error.output, re.IGNORECASE) for pattern in kinds)


def refused(error: ProcessFailed, job: Job, partitions: Collection[str]) -> UserError:
    """The sentence for a job that sbatch does not take."""
    said = " ".join(re.sub(r"sbatch: (error: )?", "", error.output).split())
    settings = job.settings
    if re.search("invalid partition", said, re.IGNORECASE):
        return no_partition(job, partitions)
    for pattern, setting, meaning, hint in _REFUSALS:
        if re.search(pattern, said, re.IGNORECASE):
            value = getattr(settings, setting, "") if setting else ""
            about = f"{job.file}: {setting}" if setting else "Slurm takes no job"
            about += f" = {value!r}" if value and isinstance(value, str | int) else ""
            advice = hint or f"set {job.set(setting)}; ask the site which"
            return ConfigError(f"{about}: {meaning}, for step {job.step} (sbatch: {said})", advice)
    return UserError(
        f"Slurm takes no job for step {job.step} (sbatch: {said[:300]})",
        f"look at {job.file}, and ask the site about what is not from there",
    )


def no_partition(job: Job, partitions: Collection[str]) -> ConfigError:
    """The sentence for a partition that does not exist."""
    name = job.settings.partition
    return ConfigError(
        f"{job.file}: partition: there is no partition {name!r}", nearest(name, partitions)
    )
