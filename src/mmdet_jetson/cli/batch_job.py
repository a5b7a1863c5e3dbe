"""What a batch job runs: one step of a submission, ``python -m mmdet_jetson.cli.batch_job``.

It plans again from the files as they are now, and refuses where they changed; then it runs the step
as every command does, on its node. Nothing needs the machine that it was submitted from.
"""

import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from mmdet_jetson.cli.request import Plan, Request, read_plan
from mmdet_jetson.config.slurm import FILE
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.keys import Ingredients
from mmdet_jetson.planning.steps import Step, needed_for
from mmdet_jetson.running.context import RunContext
from mmdet_jetson.running.run_step import ingredients_on, job_folder, run_step
from mmdet_jetson.running.together import name_it
from mmdet_jetson.runtimes.node_facts import NodeFacts, write_facts
from mmdet_jetson.runtimes.outcome import StageFailed
from mmdet_jetson.runtimes.protocol import Runtimes
from mmdet_jetson.runtimes.selection import RuntimeOptions
from mmdet_jetson.runtimes.slurm import SlurmRuntime, open_runtime
from mmdet_jetson.slurm.chain import refuse_changed
from mmdet_jetson.slurm.cluster import Cluster, SlurmError
from mmdet_jetson.slurm.events import Events
from mmdet_jetson.slurm.launching import NodeRuntime, launcher
from mmdet_jetson.slurm.prints import fingerprints
from mmdet_jetson.slurm.records import (
    Failure,
    Folder,
    Outcome,
    Planned,
    Submission,
    read_outcome,
)
from mmdet_jetson.slurm.time_limit import Ended, TimeIsUp, checkpoints, listening
from mmdet_jetson.store import Artifact
from mmdet_jetson.tracking.trainings import Trainings

T = TypeVar("T")
TERMINATED = 143
LATE = 60.0
"""Seconds until what another node wrote is seen: clients of NFS remember what is in a folder."""


class Job:
    """One batch job at work."""

    def __init__(self, folder: Folder, name: str, environ: Mapping[str, str]) -> None:
        self.folder, self.name = folder, name
        self.number = environ["SLURM_JOB_ID"]
        self.node = environ.get("SLURMD_NODENAME") or platform.node()
        self.restarts = int(environ.get("SLURM_RESTART_COUNT") or 0)
        self.events = Events(folder.events(name, self.number))
        self.cluster = Cluster()
        self.work: Path | None = None
        self.had: frozenset[str] = frozenset()
        self.most = 0
        self.may_be_left_out = False

    def run(self) -> int:
        """Run the step, tell how it ended, and return the exit code of the job."""
        if self.restarts:
            # What an earlier run told of this job is not how it ends.
            self.folder.outcome_file(self.name, self.number).unlink(missing_ok=True)
            self.events.say(f"{self.name:<28} started again on node {self.node}")
        try:
            return self._run()
        except Ended:  # whatever it was at, be it telling why its stage was killed
            return TERMINATED

    def _run(self) -> int:
        try:
            with listening():
                outcome = self._made()
        except TimeIsUp:
            return self._out_of_time()
        except StageFailed as error:
            time.sleep(1)  # the signal that ended the stage may be ours next
            killed = "was killed" in error.message
            return self._failed(error, of_stage=True, killed=killed)
        except UserError as error:
            if not self.may_be_left_out:
                return self._failed(error)
            outcome = Outcome(job=self.number, node=self.node, left_out=error.message)
        except Exception as error:
            traceback.print_exc()
            log = self.folder.log(self.name, self.number)
            bug = (
                f"{self.name}: job {self.number} stopped on a bug: {type(error).__name__}: {error}"
            )
            return self._failed(UserError(bug, f"read {log}"))
        self.folder.write_outcome(self.name, outcome)
        return 0

    def _made(self) -> Outcome:
        submission, planned = self.folder.submission(), self.folder.planned(self.name)
        if planned is None:
            raise UserError(f"submission {self.folder.id} has no step {self.name}", "submit anew")
        request = msgspec.convert(submission.request, Request)
        here = RuntimeOptions(runtime="host")
        plan = read_plan(replace(request, runtime=here, for_device=False, push=False))
        step = self._step(plan, planned)
        say, settings = self.events.say, plan.settings
        login = open_runtime(RuntimeOptions(runtime="slurm"), settings, plan.store, say)
        asked = login.of(step)
        launch = launcher(self.cluster, asked, settings, uses_gpu=step.uses_gpu)
        node = NodeRuntime(settings, say, launch)
        self._refuse_changed(plan, step, planned, submission, login)
        self.may_be_left_out = step.stage.may_be_left_out
        artifacts = self._artifacts(plan, planned)
        tag = f"{submission.run}.{step.name}"
        context = RunContext(
            runtimes=Runtimes({step.environment: node}),
            store=plan.store,
            listener=self.events,
            again=frozenset(submission.again) & {step.name},
            recorder=Trainings(plan.store, submission.run, self.events.say),
        )
        now = ingredients_on(context.runtimes, step, artifacts)
        self._remember(plan, step, now, node, login)
        artifact = run_step(step, context, artifacts, tag)
        name_it(plan.store, artifact, tag)
        cached = not self.events.has_started and not self.restarts
        return Outcome(job=self.number, node=self.node, digest=artifact.digest, cached=cached)

    def _step(self, plan: Plan, planned: Planned) -> Step:
        for step in plan.steps:
            if step.name == planned.step:
                return step
        raise UserError(
            f"{planned.step}: submission {self.folder.id} was to make it, and it is no longer a"
            " step of the pipeline",
            "undo that change, or `invoke cancel` and run the command again",
        )

    def _refuse_changed(
        self, plan: Plan, step: Step, planned: Planned, submission: Submission, login: SlurmRuntime
    ) -> None:
        steps = needed_for(plan.steps, [step])
        environments = {each.name: login.environment(each) for each in steps}
        prints, parts = fingerprints(steps, submission.batch, environments)
        refuse_changed(planned, prints, parts, f"submission {submission.id}")

    def _artifacts(self, plan: Plan, planned: Planned) -> dict[str, Artifact]:
        """The results of the steps before, by what was known then and what their jobs told."""
        digests = dict(planned.artifacts)
        for name, file in planned.outcomes.items():
            digests[name] = self._digest(name, Path(file))
        found = {}
        for name, digest in digests.items():
            artifact = self._late(partial(plan.store.find, digest))
            if artifact is None:
                raise UserError(
                    f"{self.name}: the result of {name}, {digest[:19]}, is no longer in the store",
                    "run the same command again, which makes it anew",
                )
            found[name] = artifact
        # In the order of the plan, as everywhere: a report's key has what it is told of them.
        return {step.name: found[step.name] for step in plan.steps if step.name in found}

    def _digest(self, name: str, file: Path) -> str:
        outcome = self._late(lambda: read_outcome(file))
        if outcome is None or not outcome.digest:
            raise UserError(
                f"{self.name}: the job of {name} left no result in {file}",
                "run the same command again",
            )
        return outcome.digest

    def _late(self, look: Callable[[], T | None]) -> T | None:
        """Look until it is there, as long as a shared file system may take to show it."""
        deadline = time.monotonic() + LATE
        while (found := look()) is None and time.monotonic() < deadline:
            time.sleep(1)
        return found

    def _remember(
        self, plan: Plan, step: Step, now: Ingredients, node: NodeRuntime, login: SlurmRuntime
    ) -> None:
        """Write down what of this node is in keys, and how far the training is."""
        if step.belongs_to_gpu or step.stage.measures_device:
            facts = NodeFacts(
                node=self.node,
                gpu=node.gpu_identity,
                device=node.device(step),
                found=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            )
            write_facts(plan.store.root, login.kind_of_node(step), step.name, facts)
        if step.stage.may_resume:
            self.work = job_folder(plan.store, step, now)
            self.had = checkpoints(self.work)
        self.most = login.of(step).requeues

    def _out_of_time(self) -> int:
        """Ask Slurm for more time if this run gained anything, else say that it cannot."""
        limit = self._limit()
        waited = not self.events.has_started
        gained = self.work is not None and bool(checkpoints(self.work) - self.had)
        if not (waited or gained):
            kept = "one epoch that is kept as a checkpoint"
            more = "; or keep more: train.overrides of default_hooks.checkpoint.interval"
            return self._failed(
                UserError(
                    f"{self.name}: the time limit of {limit} is too short for"
                    f" {kept if self.work else 'this step'}",
                    f"raise time in {FILE}, for all or in [steps.{self.name}]"
                    f"{more if self.work else ''}",
                )
            )
        again = "run the same command again: it goes on from its newest checkpoint"
        if self.restarts >= self.most:
            return self._failed(
                UserError(
                    f"{self.name}: its time limit of {limit} ended it {self.restarts + 1}"
                    f" times, and requeues is {self.most} in {FILE}",
                    again,
                )
            )
        told = f"its time of {limit} is up: it goes back in the queue"
        self.events.say(f"{self.name:<28} {told}", "time")
        try:
            self.cluster.requeue(self.number)
        except SlurmError as error:
            time.sleep(1)  # what ended scontrol may be that it worked, and this process is next
            return self._failed(UserError(f"{self.name}: {error.message}", again))
        signal.pause()  # until Slurm ends this process
        return TERMINATED

    def _limit(self) -> str:
        state = self.cluster.details(self.number)
        return state.limit if state else "its partition"

    def _failed(self, error: UserError, *, of_stage: bool = False, killed: bool = False) -> int:
        print(f"error: {error}", flush=True)
        failure = Failure(
            message=error.message,
            hint=error.hint,
            of_stage=of_stage,
            killed=killed,
            exit_code=error.exit_code,
        )
        outcome = Outcome(job=self.number, node=self.node, failure=failure)
        self.folder.write_outcome(self.name, outcome)
        return 1


def main(arguments: list[str]) -> int:
    """Run the step that the arguments name: the folder of its submission, and its name."""
    folder, step = arguments
    return Job(Folder(Path(folder)), step, os.environ).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
