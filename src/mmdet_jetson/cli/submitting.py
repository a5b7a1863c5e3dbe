"""``--runtime slurm`` beside a command: its steps are submitted as jobs, and followed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console

from mmdet_jetson.cli.request import config_file
from mmdet_jetson.errors import Detached, UserError
from mmdet_jetson.files import remove
from mmdet_jetson.locks import hold
from mmdet_jetson.planning.explain import IN_REGISTRY
from mmdet_jetson.planning.steps import ExternalInput, Step
from mmdet_jetson.running.jobs import DAYS_KEPT
from mmdet_jetson.runtimes.slurm import SlurmRuntime
from mmdet_jetson.slurm import queue, records
from mmdet_jetson.slurm.chain import Chain, before
from mmdet_jetson.slurm.cluster import Cluster, JobState
from mmdet_jetson.slurm.following import Follower
from mmdet_jetson.slurm.prints import fingerprints
from mmdet_jetson.slurm.queue import Queue
from mmdet_jetson.slurm.records import Folder, Submission

if TYPE_CHECKING:
    from mmdet_jetson.cli.request import Request
    from mmdet_jetson.cli.verbs import Session
    from mmdet_jetson.running.run_step import RunContext
    from mmdet_jetson.store import Artifact

INTERRUPTED = 130
"""The exit code after Ctrl-C."""
KNOWN = ("cached", IN_REGISTRY)


@contextmanager
def submitted(now: Session, steps: Sequence[Step], context: RunContext) -> Iterator[RunContext]:
    """Submit what has to be made by jobs, and give the context in which those are followed.

    It is the context itself where no step is for Slurm, or nothing is to be made.

    Raises:
        UserError: Slurm does not take the jobs, or something that they need is not there.
        Detached: the jobs are left to themselves, as was asked for or by Ctrl-C.
    """
    runtimes = {step.name: now.runtimes.of(step) for step in steps}
    batch = {name: each for name, each in runtimes.items() if isinstance(each, SlurmRuntime)}
    if not batch:
        if now.request and now.request.detach:
            raise UserError("--detach is for jobs of Slurm", "add --runtime slurm")
        yield context
        return
    chain = _Submitting(now, steps, batch, context).chain()
    if chain is None:
        yield context
        return
    follower = Follower(chain, Queue(chain.cluster, now.display.say), now.display.say)
    try:
        if now.request and now.request.detach:
            raise _detached(chain)
        yield replace(context, makers={**context.makers, **dict.fromkeys(batch, follower)})
    except KeyboardInterrupt:
        raise _interrupted(chain, next(iter(batch.values()))) from None


@dataclass(frozen=True)
class _Submitting:
    """A command on its way to Slurm. ``batch`` are the runtimes of the steps that are for it."""

    now: Session
    steps: Sequence[Step]
    batch: Mapping[str, SlurmRuntime]
    context: RunContext

    def chain(self) -> Chain | None:
        """Give the jobs of this command: new ones, or those that are followed; None for none."""
        request = self.now.request
        if request and request.attach:
            return self._attached(request.attach)
        _, waiting = self._known()
        if not waiting:
            return None
        cluster = Cluster()
        cluster.check()
        for runtime in {id(each): each for each in self.batch.values()}.values():
            runtime.check([step for step in waiting if self.batch.get(step.name) is runtime])
        root = self.now.store.root / records.FOLDER
        settings = next(iter(self.batch.values())).settings
        # Before minutes of downloads: what Slurm will not take is told at once.
        trial = Folder(root / records.new_id())
        Chain(trial, cluster, settings, self.steps, self.batch, {}, {}).check(waiting)
        self._fetch(waiting)
        self._prepare(waiting)
        self.now.store.create()
        with hold(root / records.LOCK, lambda: self.now.display.say("another command submits")):
            # In this order: what ends meanwhile is known.
            live = Queue(cluster, self.now.display.say).live()
            known, waiting = self._known()
            self._bring(waiting, known)
            if not waiting:
                return None
            runtime = next(iter(self.batch.values()))
            chain = self._new(root / records.new_id(), cluster, runtime)
            try:
                return self._submit(chain, live, waiting, known)
            except KeyboardInterrupt:
                if not chain.folder.path.exists():
                    raise  # there is no submission yet that could go on
                raise _interrupted(chain, runtime) from None

    def _known(self) -> tuple[dict[str, Artifact], list[Step]]:
        """The results that are known, and the steps for Slurm that have to be made."""
        states = self.now.states(self.steps)
        anew = set(self.context.again)
        for step in self.steps:
            anew |= {step.name} if anew & {*before(step)} else set()
        known = {
            each.step.name: each.artifact
            for each in states
            if each.artifact and each.word in KNOWN and each.step.name not in anew
        }
        # A step that has to come before another is made with that.
        first = {name for step in self.steps if step.name in anew for name in step.after}
        idle = {each.step.name for each in states if each.word == "not needed"} - first
        todo = [step for step in self.steps if step.name not in known and step.name not in idle]
        return known, [step for step in todo if step.name in self.batch]

    def _fetch(self, steps: Sequence[Step]) -> None:
        """Fetch what comes from outside: nodes often have no network."""
        for step in steps:
            for each in step.inputs.values():
                if isinstance(each, ExternalInput):
                    each.digest()
                    each.fetch()

    def _prepare(self, steps: Sequence[Step]) -> None:
        """Build environments here, for the same reason."""
        for step in {step.environment: step for step in steps}.values():
            self.batch[step.name].prepare(step)

    def _bring(self, steps: Sequence[Step], known: Mapping[str, Artifact]) -> None:
        """Have in the store what jobs read of it, and only a registry may have."""
        for name in sorted({name for step in steps for name in before(step) if name in known}):
            self.context.bring(known[name])

    def _new(self, path: Path, cluster: Cluster, runtime: SlurmRuntime) -> Chain:
        environments = {step.name: runtime.environment(step) for step in self.steps}
        prints, parts = fingerprints(self.steps, self.batch, environments)
        return Chain(Folder(path), cluster, runtime.settings, self.steps, self.batch, prints, parts)

    def _submit(
        self,
        chain: Chain,
        live: Mapping[tuple[str, str], JobState],
        waiting: Sequence[Step],
        known: Mapping[str, Artifact],
    ) -> Chain:
        chain.borrow(live, [step for step in waiting if step.name not in self.context.again])
        whose = {sent.folder.path for sent in chain.sent.values()}
        if len(whose) == 1 and len(chain.sent) == len(waiting):
            chain.folder = Folder(whose.pop())
            chain.reopen()
            self._say(f"submission {chain.folder.id} makes this already; following it")
            return chain
        records.sweep(self.now.store.root, {name for name, _ in live}, DAYS_KEPT)
        new = [step for step in waiting if step.name not in chain.sent]
        chain.folder.write_submission(self._record(chain))
        chain.note_borrowed()
        try:
            for step in new:
                if chain.may_send(step, known):
                    chain.send(step, known)
        except UserError:
            queue.cancel({chain.folder.id}, chain.cluster)
            remove(chain.folder.path)
            raise
        chain.folder.completed()
        self._say(_told(chain))
        return chain

    def _record(self, chain: Chain) -> Submission:
        request, ending = self.now.request, self.now.ending
        if request is None or ending is None:
            raise TypeError("a command that submits jobs says what it was asked for")
        return Submission(
            id=chain.folder.id,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            run=self.now.name,
            ending=ending,
            request=encoded(request, self.now.settings.root),
            again=sorted(self.context.again),
            batch=sorted(self.batch),
            prints=dict(chain.prints),
        )

    def _attached(self, id: str) -> Chain:
        runtime = next(iter(self.batch.values()))
        chain = self._new(self.now.store.root / records.FOLDER / id, Cluster(), runtime)
        try:
            chain.reopen()
            self._say(_told(chain))
        except KeyboardInterrupt:
            raise _interrupted(chain, runtime) from None
        return chain

    def _say(self, sentence: str) -> None:
        self.now.display.say(sentence)


def encoded(request: Request, root: Path) -> dict[str, object]:
    """What was asked for, as JSON can say it and as it means the same from any folder."""
    onnx = Path(request.onnx)
    settled = replace(
        request,
        config=str(config_file(request.config, root).absolute()),
        onnx=str(onnx.absolute()) if request.onnx and onnx.exists() else request.onnx,
        detach=False,
        attach="",
    )
    plain: dict[str, object] = msgspec.to_builtins(asdict(settled))
    return plain


def _told(chain: Chain) -> str:
    jobs = ", ".join(f"{name} {job}" for name, job in chain.own().items())
    others = len(chain.sent) - len(chain.own())
    more = f"; {others} more are of submissions before it" if others else ""
    return f"submission {chain.folder.id}: {jobs or 'no jobs yet'}{more}"


def _detached(chain: Chain) -> Detached:
    id = chain.folder.id
    lines = [f"submission {id}: {len(chain.sent)} jobs", *_what_next(id)]
    rest = [step.name for step in chain.steps if step.name not in chain.runtimes]
    if rest:
        lines.append(f"  {rest[0]} is for no job: it is made by whoever is attached")
    Console().print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    return Detached()


def _interrupted(chain: Chain, runtime: SlurmRuntime) -> Detached:
    id = chain.folder.id
    if runtime.slurm.on_interrupt == "detach":
        lines = [f"detached; submission {id} goes on", *_what_next(id)]
        if not chain.folder.is_complete:
            lines.insert(1, "  submit the rest of it: run the same command again")
        return Detached("\n".join(lines), INTERRUPTED)
    queue.cancel({id}, chain.cluster)
    return Detached(f"cancelled submission {id}; run the same command again to go on", INTERRUPTED)


def _what_next(id: str) -> list[str]:
    return [f"  follow it: invoke attach --id {id}", f"  end it: invoke cancel --id {id}"]
