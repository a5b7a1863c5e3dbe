"""The runtime `slurm`, as far as it plans: what a batch job would run in, told from a login node.

The jobs themselves run steps by the host runtime of their node; who submits them, and follows them
to their end, is `mmdet_jetson.slurm`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec

from mmdet_jetson.config.settings import Settings, Variant
from mmdet_jetson.config.slurm import FILE, Slurm, check_steps, load_slurm
from mmdet_jetson.contract.job import Result
from mmdet_jetson.environments.this_machine import Machine
from mmdet_jetson.errors import ConfigError, UserError
from mmdet_jetson.planning.stages import STAGES
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.runtimes.launching import on_one_machine
from mmdet_jetson.runtimes.node_facts import kind_of, read_facts
from mmdet_jetson.runtimes.protocol import OnWait, Place, StageRun
from mmdet_jetson.runtimes.selection import RuntimeOptions, Say
from mmdet_jetson.store import Store

UNKNOWN_GPU = "a GPU that no job has told of yet"
UNKNOWN_DEVICE = "a node that no job has told of yet"


def open_runtime(
    options: RuntimeOptions, settings: Settings, store: Store, say: Say
) -> "SlurmRuntime":
    """Read slurm.toml, and refuse what options of containers mean nothing to.

    Raises:
        UserError: the file is wrong, or an option is.
    """
    if options.docker_host:
        raise UserError(
            "--docker-host says where containers run",
            "with --runtime slurm only `invoke build-jetson-engine` takes it",
        )
    if options.untested:
        raise UserError("--untested is about container images", "add --runtime docker")
    file = settings.slurm or settings.root / "configs" / FILE
    return SlurmRuntime(settings, store, load_slurm(file), file, say)


class SlurmRuntime:
    """What is known here of where jobs run, for plans and keys.

    Environments are folders of the cache, as those of the host runtime, so a result has the same
    key wherever it was made, unless a GPU or the machine itself is in it. Those a job tells.
    """

    def __init__(
        self, settings: Settings, store: Store, slurm: Slurm, file: Path, say: Say = print
    ) -> None:
        self.slurm, self.file, self.store = slurm, file, store
        variant = _variant(settings, slurm)
        self.settings = msgspec.structs.replace(settings, variant=variant)
        self.here = HostRuntime(self.settings, say, on_one_machine)  # which it is never asked

    @property
    def place(self) -> Place:
        """Where its steps run: nowhere here."""
        return Place("slurm", "slurm")

    @property
    def machine(self) -> Machine:
        """A node, as far as slurm.toml tells."""
        return Machine(
            architecture=self.here.by_files.architecture,
            has_gpu=self.slurm.asks_for_gpus,
            name="a node of Slurm",
        )

    def of(self, step: Step) -> Slurm:
        """What slurm.toml says of a step."""
        return self.slurm.of(step.name, step.stage.verb)

    def kind_of_node(self, step: Step) -> str:
        """Name the kind of node that a step asks for."""
        asked = self.of(step)
        gpus = asked.gpus if step.uses_gpu else 0
        return kind_of(
            asked.partition, asked.options, asked.container, asked.image, gpus, asked.cpus
        )

    def environment(self, step: Step) -> str:
        """What a key has of the packages, which are the same on every node."""
        return self.here.environments[step.environment].identity

    def identity(self, step: Step) -> str:
        """As the host runtime's; of a GPU that which the newest job of the kind has told of."""
        identity = self.environment(step)
        if not step.belongs_to_gpu:
            return identity
        facts = read_facts(self.store.root, self.kind_of_node(step), step.name)
        unknown = UNKNOWN_GPU if self.of(step).number_of_gpus else ""
        gpu = facts.gpu if facts else unknown
        return f"{identity}:{gpu}" if gpu else identity

    def evidence(self, step: Step) -> str:
        """As on the host: what is measured there runs where it was built for."""
        return self.here.evidence(step)

    def device(self, step: Step) -> str:
        """What the newest node said that measured this step, or another that asks for the same."""
        facts = read_facts(self.store.root, self.kind_of_node(step), step.name)
        return facts.device if facts else UNKNOWN_DEVICE

    def check(self, steps: Sequence[Step]) -> None:
        """Refuse tables for steps that do not exist, and more processes than GPUs.

        Raises:
            UserError: says which setting.
        """
        verbs = sorted({stage.verb for stage in STAGES})
        check_steps(self.slurm, self.file, verbs, [step.name for step in steps])
        self.here.check(steps)
        for step in steps:
            asked = self.of(step)
            gpus = asked.number_of_gpus
            if step.uses_gpu and 0 < gpus < step.spread.processes:
                raise ConfigError(
                    f"{step.name}: {step.spread.processes} processes on each node, and gpus ="
                    f" {asked.gpus!r} in {self.file}: each process takes a GPU of its own",
                    f"set gpus = {step.spread.processes} in [steps.{step.stage.verb}], or"
                    f" train.processes = {gpus}",
                )

    def prepare(self, step: Step) -> Path:
        """Build the step's environment here: nodes often have no network."""
        return self.here.prepare(step)

    def alone(self, step: Step, run: str, on_wait: OnWait) -> AbstractContextManager[None]:
        """What times has its node to itself (`slurm.batch`); here there is nothing to share."""
        return nullcontext()

    def run(self, stage: StageRun) -> Result:
        """Refuse: a step is a job, and whoever runs one here knows nothing of those.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"{stage.step.name}: this command does not submit jobs", "leave out --runtime slurm"
        )


def _variant(settings: Settings, slurm: Slurm) -> Variant:
    """Which build of PyTorch: that for GPUs where slurm.toml asks for any, wherever it is."""
    if settings.variant_is_told:
        return settings.variant
    return "cu113" if slurm.asks_for_gpus else "cpu"
