"""``slurm.toml``: how ``--runtime slurm`` asks a site for nodes, for all steps and for some."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mmdet_jetson.config.toml import Section, convert, nearest, pattern, read_toml
from mmdet_jetson.errors import ConfigError

FILE = "slurm.toml"
DEFAULTS = "copy configs/slurm.toml of the project there, or name one with MMDET_JETSON_SLURM"
# sbatch takes the first of an option that it is given twice, or the last, depending on its version.
OWN_OPTIONS = {
    "account": "account", "chdir": "", "comment": "", "container-image": "container",
    "cpus-per-task": "cpus", "dependency": "", "export": "", "gres": "gpus", "gpus": "gpus",
    "gpus-per-node": "gpus", "job-name": "", "kill-on-invalid-dep": "", "mem": "memory",
    "nodes": "train.nodes", "ntasks": "train.processes", "ntasks-per-node": "train.processes",
    "open-mode": "", "output": "", "parsable": "", "partition": "partition", "qos": "qos",
    "requeue": "requeues", "no-requeue": "requeues", "signal": "", "time": "time", "wrap": "",
}  # fmt: skip
"""Options of sbatch that are no extra ones, with the setting that is for each, if there is one."""
UNFIT = {
    "array": "would run a step several times at once",
    "clusters": "would send jobs to where nobody follows them",
    "error": "would take the errors out of the log that is read",
    "help": "submits nothing",
    "test-only": "submits nothing",
    "usage": "submits nothing",
    "version": "submits nothing",
    "wait": "would let nothing else be submitted until a job has ended",
}
"""Options of sbatch with which no chain of jobs comes about, and why."""
SHORT = {
    "A": "account", "a": "array", "c": "cpus-per-task", "d": "dependency", "D": "chdir",
    "e": "error", "G": "gpus", "h": "help", "J": "job-name", "M": "clusters", "n": "ntasks",
    "N": "nodes", "o": "output", "p": "partition", "q": "qos", "t": "time", "V": "version",
    "W": "wait",
}  # fmt: skip

Word = Annotated[str, pattern(r"^[^\s,;]*$", "one name without spaces")]
Time = Annotated[
    str,
    pattern(
        r"^(|\d+|\d+:\d\d|\d+:\d\d:\d\d|\d+-\d+|\d+-\d+:\d\d|\d+-\d+:\d\d:\d\d)$",
        "a time is hours:minutes:seconds, days-hours:minutes:seconds or minutes",
    ),
]
Memory = Annotated[str, pattern(r"^(|\d+[KMGT]?)$", "memory is a number with K, M, G or T, as 16G")]
Mount = Annotated[
    str, pattern("^/[^:,]*$", "a folder that has the same path inside, as /shared/data")
]
Gpus = (
    Annotated[int, msgspec.Meta(ge=0)]
    | Annotated[
        str,
        pattern(r"^[A-Za-z0-9_.-]+:\d+$", "it is a number of GPUs, or a kind and a number: a100:2"),
    ]
)


class Resources(Section, frozen=True, kw_only=True):
    """What the jobs of some steps ask for; None leaves it to the table above."""

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    time: Time | None = None
    gpus: Gpus | None = None
    cpus: Annotated[int, msgspec.Meta(ge=1)] | None = None
    memory: Memory | None = None
    modules: tuple[str, ...] | None = None
    before: tuple[str, ...] | None = None
    options: tuple[str, ...] | None = None
    image: str | None = None


class Slurm(Section, frozen=True, kw_only=True):
    """``slurm.toml`` as a whole; what is empty is left to the site's own defaults."""

    partition: Word = ""
    account: Word = ""
    qos: Word = ""
    time: Time = ""
    gpus: Gpus = 0
    """On each node, for steps that compute on one."""
    cpus: Annotated[int, msgspec.Meta(ge=1)] = 2
    """For each process."""
    memory: Memory = ""
    """On each node."""
    modules: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    """Lines of shell that come before our program, after the modules."""
    options: tuple[str, ...] = ()
    """Further options of sbatch."""
    container: Literal["", "pyxis", "apptainer"] = ""
    image: str = ""
    mounts: tuple[Mount, ...] = ()
    """Folders that a container sees beside those of the project, the cache and the store."""
    on_interrupt: Literal["detach", "cancel"] = "detach"
    requeues: Annotated[int, msgspec.Meta(ge=0)] = 100
    """How often a training may be put back in the queue by its time limit."""
    steps: dict[str, Resources] = msgspec.field(default_factory=dict)
    """What differs, by a step's name or the command that makes it."""

    def of(self, step: str, verb: str) -> "Slurm":
        """Give what holds for one step: its own table counts before that of its command."""
        changes: dict[str, object] = {}
        for table in (self.steps.get(verb), self.steps.get(step)):
            if table:
                stated = msgspec.structs.asdict(table)
                changes.update({key: value for key, value in stated.items() if value is not None})
        return msgspec.structs.replace(self, **changes, steps={})

    @property
    def number_of_gpus(self) -> int:
        """How many GPUs on each node."""
        return self.gpus if isinstance(self.gpus, int) else int(self.gpus.rpartition(":")[2])

    @property
    def asks_for_gpus(self) -> bool:
        """Whether any step is to have one."""
        every = (self, *(self.of(name, name) for name in self.steps))
        return any(each.number_of_gpus for each in every)


def load_slurm(path: Path) -> Slurm:
    """Read ``slurm.toml``.

    Raises:
        ConfigError: something in it is wrong; names the field.
    """
    slurm = convert(read_toml(path, DEFAULTS), Slurm, path)
    tables = [("", slurm.options, slurm), *(
        (f"steps.{name}.", each.options or (), slurm.of(name, name))
        for name, each in slurm.steps.items()
    )]  # fmt: skip
    for where, options, settings in tables:
        for option in options:
            _check_option(f"{path}: {where}options", option)
        if bool(settings.container) != bool(settings.image):
            raise ConfigError(
                f"{path}: {where}container and image go together",
                'give both, as container = "apptainer" and image = "/shared/cuda.sif", or neither',
            )
    return slurm


def check_steps(slurm: Slurm, path: Path, verbs: Collection[str], steps: Collection[str]) -> None:
    """Refuse a table for steps that no pipeline has.

    A step of a target that this pipeline does not build for is fine.

    Raises:
        ConfigError: names the nearest.
    """
    for name in slurm.steps:
        about = name in verbs or any(name.startswith(f"{verb}-") for verb in verbs)
        if not about:
            near = nearest(name, sorted({*verbs, *steps}))
            raise ConfigError(f"{path}: steps.{name}: there is no such step; {near}")


def _check_option(where: str, option: str) -> None:
    long = re.match(r"--([a-z][a-z-]*)(=|$)", option)
    short = re.match(r"-([A-Za-z])", option)
    if not (long or short):
        raise ConfigError(
            f"{where}: {option!r} is no option of sbatch", 'write it as "--constraint=a100"'
        )
    name = _full(long[1]) if long else SHORT.get(short[1] if short else "", "")
    if name in UNFIT:
        raise ConfigError(f"{where}: {option!r} {UNFIT[name]}", "leave it out")
    if name not in OWN_OPTIONS:
        return
    setting = OWN_OPTIONS[name]
    if setting:
        raise ConfigError(f"{where}: {option!r} has a setting of its own", f"set {setting} instead")
    raise ConfigError(f"{where}: {option!r} is what --runtime slurm itself sets", "leave it out")


def _full(name: str) -> str:
    """Give the option that a long name stands for: sbatch takes the beginning of one, as well."""
    listed = sorted({*OWN_OPTIONS, *UNFIT})
    return name if name in listed else next((each for each in listed if each.startswith(name)), "")
